// One trial: its configuration beside the best's, curves, attempts, what it printed, its predictions, its command.

import { built, duration, el, short, stopButton } from "./dom.js";
import { Plot, rowsCame } from "./figures.js";
import { ask, listen, post, sweepPath } from "./net.js";
import { append } from "./sweep.js";

const LOG_EVERY_MS = 3000;

export async function trial(root, name, id) {
  const live = new Map(), path = `${sweepPath(name)}/trials/${encodeURIComponent(id)}`;
  let line = 0, row = null, control = false, closed = false, timer = null;
  const kicker = el("p", { class: "kicker" }), lead = el("p", { class: "lead" });
  const home = {};
  const place = (key, title) => (home[key] = el("section", { "data-section": key }, ...(title ? [el("h2", {}, title)] : [])));
  const stopping = stopButton("this trial", async () => (await post(`${sweepPath(name)}/stop`, { trial: id })).says);
  stopping.hidden = true;
  root.append(el("header", {}, kicker, el("h1", {}, `Trial ${id}`), lead), stopping, place("mark"), place("curves"), place("config"), place("attempts"),
    place("pictures", "Predictions"), place("command"), place("log"));
  const button = el("button", { type: "button", onclick: draw }, "Draw them by its last checkpoint");
  const shots = el("div", { class: "shots" }), why = el("p", { class: "note" }, "Runs the task's code, as the report does.");
  home.pictures.append(button, why, shots);

  async function start() {
    const [found, whole] = await Promise.all([ask(path), ask(sweepPath(name))]);
    if (closed) return;
    line = found.line;
    live.set(id, found.rows);
    row = whole.trials.find(each => each.trial_id == id);
    show(whole.facts);
    control = whole.control;
    stopping.hidden = !control || row.status != "running";
    showMark(whole.marks[id] || { star: false, note: "" }, whole.control);
    if (found.curves) fill("curves", built(found.curves, figure => new Plot(figure, live).box));
    else fill("curves", [el("p", { class: "note" }, found.trouble || "No epoch has ended yet.")]);
    showConfig(found.config, found.best);
    showAttempts(found.attempts);
    fill("command", found.command ? [el("h2", {}, "To train it again"), copied(found.command)] : []);
    rowsCame([id]);
    log();
  }

  function show(facts) {
    kicker.textContent = `${facts.task} · ${name}`;
    const value = row.objective === null ? "no objective yet" : `${facts.objective} ${short(row.objective, 5)} at epoch ${row.best_epoch}`;
    lead.textContent = [row.status, value, `${row.epochs} epochs in ${duration(row.seconds)}`, row.node && `on ${row.node}`, `seed ${row.seed}`]
      .filter(Boolean).join(" · ");
  }

  function showMark(mark, control) {
    if (!control) {
      fill("mark", mark.star || mark.note ? [el("p", { class: "noted" }, `${mark.star ? "★ " : ""}${mark.note}`)] : []);
      return;
    }
    const said = el("span", { class: "note", role: "status" });
    const text = el("textarea", { rows: "2", maxlength: "2000", placeholder: "a note on this trial", "aria-label": "note" });
    text.value = mark.note;
    const starred = el("button", { type: "button", class: "star", "aria-pressed": String(mark.star), onclick: () => save({ star: !mark.star }) },
      mark.star ? "★ starred" : "☆ star");
    async function save(change) {
      try {
        const { marks } = await post(`${path}/mark`, { star: mark.star, note: text.value, ...change });
        mark = marks[id] || { star: false, note: "" };
        starred.textContent = mark.star ? "★ starred" : "☆ star";
        starred.setAttribute("aria-pressed", String(mark.star));
        said.textContent = "kept";
      } catch (error) { said.textContent = error.message; }
    }
    fill("mark", [el("div", { class: "tools" }, starred, el("button", { type: "button", class: "keep", onclick: () => save({}) }, "Keep the note"), said), text]);
  }

  function showConfig(config, best) {
    const differs = key => best && JSON.stringify(best[key]) != JSON.stringify(config[key]);
    const keys = Object.keys(config).sort((a, b) => differs(b) - differs(a));
    const rows = keys.map(key => el("tr", { class: differs(key) ? "differs" : null },
      el("th", { scope: "row" }, key), el("td", {}, short(config[key], 6)), best ? el("td", {}, short(best[key], 6)) : null, el("td", {}, differs(key) ? "≠" : "")));
    fill("config", [el("h2", {}, best ? "Configuration, beside the best's" : "Configuration"), el("div", { class: "scroll" },
      el("table", {}, el("tr", {}, ...["", "this trial", ...(best ? ["the best"] : []), ""].map(text => el("th", {}, text))), ...rows))]);
  }

  function showAttempts(attempts) {
    if (!attempts.length) return;
    const rows = attempts.map((each, i) => el("tr", {}, ...[i + 1, new Date(each.since * 1000).toLocaleString(),
      each.until ? duration(each.until - each.since) : "runs", each.how || "", each.node || "", each.error || ""].map(text => el("td", {}, String(text)))));
    fill("attempts", [el("h2", {}, "Attempts"), el("div", { class: "scroll" }, el("table", {},
      el("tr", {}, ...["", "begun", "for", "ended by", "node", "error"].map(text => el("th", {}, text))), ...rows))]);
  }

  async function log() {
    clearTimeout(timer);
    try {
      const { logs } = await ask(`${path}/log`);
      if (closed) return;
      const old = home.log.querySelector("pre"), atEnd = !old || old.scrollTop + old.clientHeight > old.scrollHeight - 20;
      const top = old?.scrollTop;
      fill("log", logs.length ? [el("h2", {}, "Log"), ...logs.flatMap(each => [
        ...(logs.length > 1 ? [el("p", { class: "note" }, each.name)] : []),
        ...(each.cut ? [el("p", { class: "note" }, `The end; all of it: balltrain logs ${name} ${id}`)] : []),
        el("pre", { class: "log", tabindex: "0" }, each.text)])] : [el("h2", {}, "Log"), el("p", { class: "note" }, "It has printed nothing.")]);
      const pre = home.log.querySelector("pre");
      if (pre) pre.scrollTop = atEnd ? pre.scrollHeight : top;
    } catch (error) { fill("log", [el("p", { class: "note" }, error.message)]); }
    if (!closed && row?.status == "running") timer = setTimeout(log, LOG_EVERY_MS);
  }

  async function draw() {
    button.disabled = true;
    why.textContent = "Drawing …";
    try {
      const { pictures } = await post(`${path}/pictures`);
      shots.replaceChildren(...pictures.map((source, i) => el("img", { src: source, alt: `prediction ${i + 1}` })));
      why.textContent = "";
    } catch (error) { why.textContent = error.message; }
    button.disabled = false;
  }

  function fill(key, nodes) { home[key].replaceChildren(...nodes); }

  function tell(message) {
    if (message.kind != "change" || message.line <= line) return;
    line = message.line;
    const status = row?.status;
    for (const each of message.trials) if (each.trial_id == id) row = each;
    const mine = message.rows.filter(([trial]) => trial == id);
    for (const [, figures] of mine) append(live, id, figures);
    if (mine.length) rowsCame([id]);
    if (row && (row.status != status || (mine.length && !home.curves.querySelector(".figure")))) start();
  }

  const stop = listen(`/api/events?${new URLSearchParams({ sweep: name })}`, start, tell);
  return { close() { closed = true; clearTimeout(timer); stop(); }, again: start };
}

function copied(command) {
  const button = el("button", { type: "button", onclick: async () => {
    await navigator.clipboard.writeText(command);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  } }, "Copy");
  return el("div", { class: "command" }, el("pre", {}, command), button);
}

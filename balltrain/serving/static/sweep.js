// One sweep, as it runs: its rows as they come, and the report's sections whenever its tables are new.

import { built, duration, el, short, stopButton } from "./dom.js";
import { Plot, rowsCame } from "./figures.js";
import { ask, listen, post, sweepPath, trialLink } from "./net.js";
import { Table } from "./table.js";

const ORDER = ["said", "best_config", "marked", "confirmation", "front", "learning_curves", "#trials", "parallel_coordinates", "importance",
  "best_so_far", "slices", "planes", "contours", "distribution", "rungs", "infeasible", "pauses", "timeline", "failures_table", "provenance"];
const GROUPS = ["quick", "slow"];
const MARKS = { running: "▶", completed: "✓", stopped: "■", failed: "✕", interrupted: "…", paused: "❙❙", infeasible: "∅" };
const NEVER_BEST = ["failed", "infeasible"];
const STATES = { running: "running", silent: "no sign of life", ended: "ended" };

export async function sweep(root, name) {
  const live = new Map(), trials = new Map(), places = {}, sections = {};
  let facts = {}, marks = {}, control = false, line = 0, plan = null, chosen = null, brushed = null, tablesVersion = 0, dirty = false, closed = false, again = {}, whole = null;
  const kicker = el("p", { class: "kicker" }), lead = el("p", { class: "lead" }), bar = el("progress", { "aria-label": "progress" });
  const tiles = el("div", { class: "tiles" }), drawnAt = el("span", { class: "note" });
  const filter = el("input", { class: "filter", type: "search", spellcheck: "false", "aria-label": "filter trials by an expression",
    placeholder: "filter: config.lr < 1e-3 and status = 'completed'", onkeydown: event => { if (event.key == "Enter") select(); },
    onsearch: () => select() });
  const trouble = el("span", { class: "trouble", role: "alert" });
  const brushNote = el("button", { type: "button", hidden: true, onclick: () => brush(null) });
  const table = new Table([], { open: row => { location.hash = trialLink(name, row.trial_id); }, label: "trials", toggle: row => star(row.trial_id),
    id: row => row.trial_id, css: row => row.status });
  table.filter = row => (!chosen || chosen.has(row.trial_id)) && (!brushed || brushed.has(row.trial_id));
  const stopping = stopButton("the sweep", async () => (await post(`${sweepPath(name)}/stop`)).says);
  root.append(el("header", {}, kicker, el("h1", {}, name), bar, lead, tiles, stopping));
  const box = el("section", { id: "trials" }, el("h2", {}, "Trials"),
    el("div", { class: "tools" }, filter, el("button", { type: "button", onclick: () => select() }, "Filter"), brushNote, table.count, trouble), table.box);
  for (const id of ORDER) root.append(places[id] = id == "#trials" ? box : el("div", { "data-section": id }));
  root.append(el("p", {}, el("button", { type: "button", onclick: () => draw(true) }, "Draw the figures again"), " ", drawnAt));

  function columns(found) {
    const plain = (key, label, width, numeric = true) => ({ key, label, width, numeric, value: row => row[key], cell: row => short(row[key]) });
    const starred = control || Object.keys(marks).length;
    return [
      ...(starred ? [{ key: "star", label: "★", width: 3, value: row => (marks[row.trial_id]?.star ? 0 : marks[row.trial_id] ? 1 : null), cell: starCell }] : []),
      { key: "trial_id", label: "trial", width: 7, value: row => row.trial_id, cell: row => el("a", { href: trialLink(name, row.trial_id) }, row.trial_id) },
      { key: "status", label: "status", width: 13, value: row => row.status, cell: row => `${MARKS[row.status] || ""} ${row.status}` },
      plain("objective", facts.objective, Math.max(9, (facts.objective || "").length + 1)), plain("best_epoch", "best epoch", 9), plain("epochs", "epochs", 7),
      { key: "seconds", label: "time", width: 12, numeric: true, value: row => row.seconds, cell: row => (row.seconds ? duration(row.seconds) : "") },
      ...found.config.map(key => ({ key: `config.${key}`, label: key, width: Math.max(9, key.length + 1), numeric: true,
        value: row => row.config[key], cell: row => short(row.config[key]) })),
      ...found.metrics.filter(key => key != facts.objective).map(key => ({ key: `metric.${key}`, label: key, width: Math.max(9, key.length + 1),
        numeric: true, value: row => row.metrics[key], cell: row => short(row.metrics[key]) })),
      ...(starred ? [{ key: "note", label: "note", width: 24, value: row => marks[row.trial_id]?.note }] : []),
      { key: "node", label: "node", width: 14, value: row => row.node }, { key: "error", label: "error", width: 40, value: row => row.error },
    ];
  }

  function starCell(row) {
    const mark = marks[row.trial_id], text = mark?.star ? "★" : mark ? "✎" : control ? "☆" : "";
    if (!control) return text;
    return el("button", { type: "button", class: "star", "aria-pressed": String(Boolean(mark?.star)), "aria-label": `star trial ${row.trial_id}`,
      onclick: () => star(row.trial_id) }, text);
  }

  async function star(trial) {
    if (!control) return;
    const mark = marks[trial] || { star: false, note: "" };
    try { marked((await post(`${sweepPath(name)}/trials/${trial}/mark`, { ...mark, star: !mark.star })).marks); }
    catch (error) { trouble.textContent = error.message; }
  }

  function marked(found) {
    const before = Object.keys(marks).length > 0;
    marks = found;
    if (whole && before != Object.keys(marks).length > 0) table.setColumns(columns(whole));
    table.update();
  }

  // everything anew: when connected, and when the connection was lost
  async function start() {
    const found = await ask(sweepPath(name));
    facts = found.facts; line = found.line; marks = found.marks; control = found.control; whole = found;
    trials.clear(); live.clear();
    for (const row of found.trials) trials.set(row.trial_id, row);
    for (const [trial, curve] of Object.entries(found.curves)) live.set(trial, curve);
    kicker.textContent = `${facts.task} · ${facts.method}`;
    table.setColumns(columns(found));
    table.setRows(ordered());
    showPlan(found.plan);
    tablesVersion = found.tables;
    rowsCame([...live.keys()]);
    draw(false);
  }

  function ordered() {
    const sign = facts.mode == "max" ? -1 : 1;
    const bad = row => row.objective === null || NEVER_BEST.includes(row.status) || row.same_as !== null || row.confirms !== null;
    return [...trials.values()].sort((a, b) => (b.status == "running") - (a.status == "running") || bad(a) - bad(b)
      || (bad(a) ? 0 : sign * (a.objective - b.objective)) || a.trial_id.localeCompare(b.trial_id));
  }

  function tell(message) {
    if (message.kind == "change" && message.line > line) {
      line = message.line;
      for (const row of message.trials) trials.set(row.trial_id, row);
      for (const [trial, figures] of message.rows) append(live, trial, figures);
      if (!dirty) { dirty = true; setTimeout(() => { dirty = false; if (!closed) table.setRows(ordered()); }, 250); }
      rowsCame(message.rows.map(([trial]) => trial));
    } else if (message.kind == "plan") showPlan(message.plan);
    else if (message.kind == "marks") { marked(message.marks); draw(false); }
    else if (message.kind == "tables") { tablesVersion = message.version; draw(false); if (chosen) select(); }
  }

  function showPlan(found) {
    plan = found;
    const planned = plan.search_epochs ?? plan.planned, done = plan.search_epochs ? Math.min(plan.num_epochs, planned) : plan.ended;
    if (planned) { bar.max = planned; bar.value = done; } else bar.removeAttribute("value");
    const counts = Object.entries(plan.counts).filter(([, count]) => count).map(([status, count]) => `${count} ${status}`).join(" · ");
    const state = plan.state == "silent" ? `no sign of life for ${duration(plan.silent_s)}: if it was killed, --resume goes on with it` : STATES[plan.state];
    lead.textContent = `${state}. ${counts}`;
    stopping.hidden = !control || plan.state == "ended";
    lead.className = plan.state == "silent" ? "lead warn" : "lead";
    const budget = facts.budget || {}, hours = seconds => `${short(seconds / 3600, 3)} h`;
    const of = (used, limit) => (limit ? `${used} of ${limit}` : used);
    const best = plan.best && el("a", { href: trialLink(name, plan.best.trial_id) }, short(plan.best.objective, 5));
    const shown = [
      [`best ${facts.objective}`, best || "—", plan.best ? `trial ${plan.best.trial_id}, epoch ${plan.best.epoch}` : ""],
      ["trials", of(String(plan.ended), plan.planned && String(plan.planned)), `${plan.concurrency} at a time`],
      ["epochs", of(short(plan.num_epochs), plan.search_epochs && String(plan.search_epochs)), plan.epochs_per_second ? `${short(plan.epochs_per_second, 3)} a second` : ""],
      ["time", of(duration(plan.used.wall), budget.seconds && duration(budget.seconds)), plan.left_s === null ? "" : `about ${duration(plan.left_s)} left`],
      ["CPUs", of(hours(plan.used.cpu), budget.cpu_hours && `${budget.cpu_hours} h`), "held by trials"],
      ...(plan.used.gpu || budget.gpu_hours ? [["GPUs", of(hours(plan.used.gpu), budget.gpu_hours && `${budget.gpu_hours} h`), "held by trials"]] : []),
    ];
    if (plan.front) shown.push(["front", plan.front, ""]);
    if (plan.limit) shown.push(["the search has ended", plan.limit, ""]);
    tiles.replaceChildren(...shown.map(([title, value, more]) => el("div", { class: "tile" }, el("span", { class: "note" }, title), el("strong", {}, value), el("span", { class: "note" }, more))));
  }

  // the sections, which a process of its own draws by the tables
  async function draw(now) {
    await Promise.all(GROUPS.map(async group => {
      clearTimeout(again[group]);
      try {
        const found = await ask(`${sweepPath(name)}/sections/${group}${now ? "?now=1" : ""}`);
        if (closed) return;
        if (sections[group] !== found.version) { sections[group] = found.version; found.sections.forEach(place); forget(found.tables / 1e9, group); }
        drawnAt.textContent = found.tables ? `as of ${new Date(found.tables / 1e6).toLocaleTimeString()}` : "";
        if (found.again_s !== null) again[group] = setTimeout(() => draw(false), 1000 * found.again_s + 500);
      } catch (error) {
        if (closed) return;
        drawnAt.textContent = error.message;
        again[group] = setTimeout(() => draw(false), 10000);
      }
    }));
  }

  function place(section) {
    const home = places[section.id];
    if (!home) return;
    const old = [...home.querySelectorAll(".figure")].map(each => each.plot);
    const nodes = built(section.nodes, figure => {
      const plot = old.shift();
      if (!plot) return new Plot(figure, live, brush).box;
      plot.set(figure);
      return plot.box;
    });
    home.replaceChildren(...nodes);
    old.forEach(plot => plot.close());
  }

  // what the figures have by now is theirs
  function forget(until, group) {
    if (group != "quick") return;
    for (const trial of live.keys()) {
      const row = trials.get(trial);
      if (row && row.status != "running" && row.ended_at && row.ended_at < until - 1) live.delete(trial);
    }
  }

  async function select() {
    trouble.textContent = "";
    const text = filter.value.trim();
    if (!text) { chosen = null; table.update(); return; }
    try {
      const found = await ask(`${sweepPath(name)}/select?${new URLSearchParams({ where: text })}`);
      chosen = new Set(found.trials);
    } catch (error) { trouble.textContent = error.message.replace(/^--where /, ""); }
    table.update();
  }

  function brush(ids) {
    brushed = ids ? new Set(ids.filter(Boolean)) : null;
    brushNote.hidden = !brushed;
    brushNote.textContent = brushed ? `${brushed.size} dragged over ✕` : "";
    table.update();
  }

  const stop = listen(`/api/events?${new URLSearchParams({ sweep: name })}`, start, tell);
  return {
    close() { closed = true; stop(); Object.values(again).forEach(clearTimeout); table.resized.disconnect(); },
    again: () => draw(true),
    escape() { filter.value = ""; brush(null); select(); },
  };
}

// the figures of an epoch, at the end of a trial's columns
export function append(live, trial, figures) {
  let curve = live.get(trial);
  if (!curve) live.set(trial, curve = { epoch: [] });
  const length = curve.epoch.length;
  if (length && figures.epoch <= curve.epoch[length - 1]) return;
  for (const [column, value] of Object.entries(figures)) (curve[column] ||= Array(length).fill(null)).push(value);
  for (const values of Object.values(curve)) if (values.length == length) values.push(null);
}

// All sweeps of the storage, those that run first.

import { duration, el, short, sparkline } from "./dom.js";
import { ask, listen, sweepLink } from "./net.js";
import { Table } from "./table.js";

const ORDER = { running: 0, silent: 1, ended: 2 };
const STATES = { running: "▶ running", silent: "? silent", ended: "■ ended" };
const MAX_COMPARED = 8;

export async function list(root) {
  const ticked = new Set();
  const compareButton = el("button", { type: "button", disabled: true, onclick: compareTicked }, "Compare");
  const filter = el("input", { class: "filter", type: "search", placeholder: "filter: a part of a name, task or method",
    "aria-label": "filter sweeps", oninput: () => table.update() });
  const open = row => { location.hash = sweepLink(row.name); };
  const table = new Table(columns(), { open, label: "sweeps", id: row => row.name, toggle: row => tick(row.name),
    css: row => row.state + (row.error ? " failed" : "") });
  table.filter = row => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = [row.name, row.task, row.state, row.objective].join(" ").toLowerCase();
    return words.every(word => text.includes(word));
  };
  const where = el("p", { class: "note" });
  const empty = el("p", { class: "note" });
  root.append(el("header", {}, el("h1", {}, "Sweeps"), where), el("div", { class: "tools" }, filter, compareButton, table.count),
    table.box, empty);
  table.box.classList.add("tall");

  function columns() {
    return [
      { key: "tick", label: "", width: 3, value: row => (ticked.has(row.name) ? 0 : 1), cell: row => {
        const box = el("input", { type: "checkbox", "aria-label": `compare ${row.name}`, onchange: () => tick(row.name) });
        box.checked = ticked.has(row.name);
        return box;
      } },
      { key: "name", label: "sweep", width: 24, value: row => row.name, cell: row => el("a", { href: sweepLink(row.name) }, row.name) },
      { key: "state", label: "state", width: 9, value: row => ORDER[row.state], cell: row => STATES[row.state] || row.state },
      { key: "progress", label: "trials", width: 16, value: row => done(row) / (row.planned || 1), cell: progress },
      { key: "best", label: "best", width: 9, numeric: true, value: row => row.best, cell: row => short(row.best) },
      { key: "spark", label: "best so far", width: 12, value: row => row.spark?.length, cell: row => sparkline(row.spark || [], row.mode == "min") },
      { key: "failed", label: "failed", width: 5, numeric: true, value: row => row.failed || null, cell: row => (row.error ? "damaged" : row.failed || "") },
      { key: "age", label: "begun", width: 11, value: row => row.started, cell: row => age(row.started) },
      { key: "objective", label: "objective", width: 12, value: row => row.objective },
      { key: "task", label: "task", width: 12, value: row => row.task },
    ];
  }

  function tick(name) {
    if (!ticked.delete(name) && ticked.size < MAX_COMPARED) ticked.add(name);
    compareButton.disabled = ticked.size < 2;
    compareButton.textContent = ticked.size ? `Compare ${ticked.size}` : "Compare";
    table.render();
  }

  function compareTicked() {
    location.hash = `#/compare?${new URLSearchParams([...ticked].map(name => ["sweep", name]))}`;
  }

  function show(found) {
    where.textContent = found.storage;
    const rows = found.sweeps.sort((a, b) =>
      ORDER[a.state] - ORDER[b.state] || String(b.started || "").localeCompare(String(a.started || "")));
    table.setRows(rows);
    empty.textContent = rows.length ? "" : `No sweep is in ${found.storage} yet: balltrain sweep TASK`;
    for (const name of ticked) if (!rows.some(row => row.name == name)) ticked.delete(name);
  }

  const stop = listen("/api/events", async () => show(await ask("/api/sweeps")), message => show(message));
  return { close: stop, escape: () => { filter.value = ""; table.update(); } };
}

const done = row => (row.completed || 0) + (row.stopped || 0) + (row.failed || 0) + (row.infeasible || 0);

function progress(row) {
  const bar = el("progress", { max: Math.max(1, row.planned || row.trials || 1), value: done(row), "aria-label": "trials that have ended" });
  return el("span", { class: "progress" }, bar, ` ${done(row)}/${row.planned || "?"}`);
}

function age(started) {
  if (!started) return "";
  const seconds = (Date.now() - Date.parse(started)) / 1000;
  return `${duration(Math.max(0, seconds)).split(" ").slice(0, 2).join(" ")} ago`;
}

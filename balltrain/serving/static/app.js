// Which view is shown follows from what stands after # in the address.

import { el } from "./dom.js";
import { closeAll } from "./figures.js";
import { list } from "./list.js";
import { sweep } from "./sweep.js";
import { trial } from "./trial.js";
import { compare } from "./compare.js";
import { sweepLink } from "./net.js";

const KEYS = [["/", "the filter"], ["j k ↑ ↓", "along the rows"], ["Enter", "open the row"], ["Space", "tick the sweep, star the trial"],
  ["u", "up: trial → sweep → all sweeps"], ["r", "draw the figures again"], ["?", "these keys"], ["Esc", "leave a field; show all rows again"]];
let shown = null, serial = 0;

async function route() {
  const at = ++serial;
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  shown?.close();
  shown = null;
  closeAll();
  const root = el("div");
  document.getElementById("view").replaceChildren(root);
  const where = [];
  if (parts[0] == "sweep") where.push(el("a", { href: sweepLink(parts[1]) }, parts[1]));
  if (parts[2] == "trial") where.push(el("span", {}, parts[3]));
  if (parts[0] == "compare") where.push(el("span", {}, "compared"));
  document.getElementById("where").replaceChildren(...where);
  document.title = [...parts.slice(1).filter(part => part != "trial"), "balltrain"].join(" · ");
  scrollTo(0, 0);
  try {
    const made = parts[0] == "sweep" && parts[2] == "trial" ? await trial(root, parts[1], parts[3])
      : parts[0] == "sweep" ? await sweep(root, parts[1])
      : parts[0] == "compare" ? await compare(root, new URLSearchParams(query).getAll("sweep"))
      : await list(root);
    if (at == serial) shown = made; else made.close();
  } catch (error) {
    if (at == serial) root.replaceChildren(el("p", { class: "warn" }, error.message));
  }
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input, textarea, select");
  if (event.key == "Escape") { if (typing) typing.blur(); shown?.escape?.(); return; }
  if (typing) return;
  const actions = {
    "/": () => document.querySelector(".filter")?.focus(),
    "?": help,
    u: () => { location.hash = document.querySelector("#where span") && document.querySelector("#where a")
      ? document.querySelector("#where a").getAttribute("href") : "#/"; },
    r: () => shown?.again?.(),
    j: () => { if (!event.target.closest(".virtual")) document.querySelector(".virtual")?.focus(); },
  };
  if (!(event.key in actions)) return;
  actions[event.key]();
  event.preventDefault();
});

function help() {
  const dialog = document.getElementById("help");
  dialog.replaceChildren(el("h2", {}, "Keys"),
    el("dl", {}, ...KEYS.flatMap(([key, what]) => [el("dt", {}, key), el("dd", {}, what)])),
    el("button", { type: "button", onclick: () => dialog.close() }, "Close"));
  dialog.showModal();
}

addEventListener("hashchange", route);
route();

// Several sweeps beside each other.

import { built, el } from "./dom.js";
import { Plot } from "./figures.js";
import { ask, sweepLink } from "./net.js";

export async function compare(root, names) {
  const links = names.flatMap((name, i) => [i ? ", " : "", el("a", { href: sweepLink(name) }, name)]);
  const note = el("p", { class: "note" }, "Reading …");
  root.append(el("header", {}, el("h1", {}, `${names.length} sweeps compared`), el("p", {}, ...links)), note);
  const found = await ask(`/api/compare?${new URLSearchParams(names.map(name => ["sweep", name]))}`);
  note.replaceWith(...built(found.nodes, figure => new Plot(figure).box));
  return { close() {} };
}

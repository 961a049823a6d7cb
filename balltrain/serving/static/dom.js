// Elements by createElement and text nodes alone: what a journal holds is never read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const TAGS = new Set(("section h2 h3 p ul li dl dt dd pre code table thead tbody tr th td div strong em b span img " +
  "figure figcaption details summary header nav").split(" "));

export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}

// The nodes of a section, as serving/parts.py has them; `plot` makes the element of a figure.
export function built(nodes, plot) {
  return nodes.map(node => {
    if (typeof node == "string") return document.createTextNode(node);
    const [tag, attributes, children] = node;
    if (tag == "plot") return plot(children[0]);
    const known = Object.fromEntries(
      Object.entries(attributes).filter(([name, value]) =>
        ["class", "alt", "open"].includes(name) || (name == "src" && value.startsWith("data:image/"))));
    return el(TAGS.has(tag) ? tag : "span", known, ...built(children, plot));
  });
}

export function short(value, digits = 4) {
  if (value === null || value === undefined) return "";
  if (typeof value != "number") return typeof value == "object" ? JSON.stringify(value) : String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const rounded = Number(value.toPrecision(digits));
  const text = rounded && Math.abs(rounded) < 1e-3 ? rounded.toExponential() : String(rounded);
  return text.replace("e+", "e");
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "—";
  if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
  const whole = Math.round(seconds);
  for (const [size, unit, part, partUnit] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (whole < size) continue;
    const rest = Math.floor(whole % size / part);
    return `${Math.floor(whole / size)} ${unit}` + (rest ? ` ${rest} ${partUnit}` : "");
  }
  return `${whole} s`;
}

// A button that asks once more before it does what cannot be undone; `act` gives a promise of what to say.
export function stopButton(what, act) {
  const said = el("span", { class: "note", role: "status" });
  let asked = null;
  const button = el("button", { type: "button", class: "stop", onclick: async () => {
    if (!asked) {
      button.textContent = `Really stop ${what}?`;
      asked = setTimeout(() => { asked = null; button.textContent = `Stop ${what}`; }, 5000);
      return;
    }
    clearTimeout(asked); asked = null;
    button.disabled = true;
    button.textContent = `Stop ${what}`;
    said.textContent = "asking who runs it …";
    try { said.textContent = await act(); } catch (error) { said.textContent = error.message; }
    button.disabled = false;
  } }, `Stop ${what}`);
  return el("span", { class: "tools" }, button, said);
}

export function sparkline(values, isMin, width = 96, height = 22) {
  const there = values.filter(value => value !== null);
  if (there.length < 2) return el("span", { class: "note" }, "—");
  const log = isMin && Math.min(...there) > 0;
  const scaled = there.map(value => (log ? Math.log(value) : value));
  const low = Math.min(...scaled), span = Math.max(...scaled) - low || 1;
  const points = scaled.map((value, i) =>
    `${(i / (scaled.length - 1) * (width - 2) + 1).toFixed(1)},${((1 - (value - low) / span) * (height - 4) + 2).toFixed(1)}`);
  const label = `best so far, from ${short(there[0])} to ${short(there[there.length - 1])}`;
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "spark" },
    svg("polyline", { points: points.join(" ") }));
}

// Parallel coordinates as SVG, of the trace that the report hands to plotly; dragging along an axis brushes it.

import { svg } from "./dom.js";

const TOP = 92, BOTTOM = 22, SIDE = 64, MIN_GAP = 74;

export function parallel(target, figure, brush) {
  const trace = figure.data[0], dimensions = trace.dimensions;
  const height = figure.layout.height, gaps = Math.max(1, dimensions.length - 1);
  const width = Math.max(target.clientWidth || 640, 2 * SIDE + gaps * MIN_GAP);
  const ink = figure.layout.font.color, stops = trace.line.colorscale;
  const ranges = target.ranges || (target.ranges = new Map());
  const x = i => SIDE + i * (width - 2 * SIDE) / gaps;
  const y = (i, value) => {
    const [low, high] = dimensions[i].range;
    return height - BOTTOM - (high > low ? (value - low) / (high - low) : 0.5) * (height - TOP - BOTTOM);
  };
  const count = dimensions[0].values.length;
  const order = [...Array(count).keys()].sort((a, b) => trace.line.color[a] - trace.line.color[b]);
  const lines = order.map(row => {
    const points = dimensions.map((dimension, i) => `${x(i).toFixed(1)},${y(i, dimension.values[row]).toFixed(1)}`);
    const line = svg("polyline", { points: points.join(" "), class: "line" },
      svg("title", {}, String(trace.ids?.[row] ?? "")));
    line.style.stroke = trace.line.color[row] >= 0.75 ? stops[3][1] : stops[0][1];
    line.row = row;
    return line;
  });
  const axes = dimensions.map((dimension, i) => axis(dimension, i));
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "parallel", role: "group",
    "aria-label": "parallel coordinates" }, svg("g", {}, ...lines), ...axes);
  root.style.color = ink;
  target.replaceChildren(root);
  apply(false);

  function axis(dimension, i) {
    const ticks = dimension.tickvals.map((value, n) =>
      svg("text", { x: x(i) + 6, y: y(i, value) + 4 }, plain(dimension.ticktext[n])));
    const marker = svg("rect", { x: x(i) - 7, width: 14, y: 0, height: 0, class: "brush" });
    const grip = svg("rect", { x: x(i) - 14, width: 28, y: TOP - 6, height: height - TOP - BOTTOM + 12, class: "grip" });
    const label = svg("text", { x: x(i), y: TOP - 14, class: "label", transform: `rotate(-20 ${x(i)} ${TOP - 14})` },
      plain(dimension.label));
    grip.addEventListener("pointerdown", event => drag(event, grip, i));
    const group = svg("g", {}, svg("line", { x1: x(i), x2: x(i), y1: TOP, y2: height - BOTTOM }), ...ticks, label, marker, grip);
    group.marker = marker;
    return group;
  }

  function drag(event, grip, i) {
    const at = pointer => (pointer.clientY - root.getBoundingClientRect().top) * height / root.getBoundingClientRect().height;
    const from = at(event);
    grip.setPointerCapture(event.pointerId);
    grip.onpointermove = moved => { ranges.set(i, [from, at(moved)].sort((a, b) => a - b)); apply(false); };
    grip.onpointerup = ended => {
      grip.onpointermove = grip.onpointerup = null;
      if (Math.abs(at(ended) - from) < 4) ranges.delete(i);
      apply(true);
    };
    event.preventDefault();
  }

  function apply(tell) {
    axes.forEach((group, i) => {
      const range = ranges.get(i);
      group.marker.setAttribute("y", range ? range[0] : 0);
      group.marker.setAttribute("height", range ? range[1] - range[0] : 0);
    });
    const kept = row => [...ranges].every(([i, [top, bottom]]) => {
      const at = y(i, dimensions[i].values[row]);
      return at >= top - 1 && at <= bottom + 1;
    });
    for (const line of lines) line.classList.toggle("out", ranges.size > 0 && !kept(line.row));
    if (tell && brush) brush(ranges.size ? order.filter(kept).map(row => trace.ids[row]) : null);
  }
}

// labels were escaped for plotly, which reads some HTML in them
function plain(text) {
  return String(text).replace(/&(amp|lt|gt|quot|#x27);/g, (_, name) =>
    ({ amp: "&", lt: "<", gt: ">", quot: '"', "#x27": "'" })[name]);
}

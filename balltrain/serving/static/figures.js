// Figures of the report, drawn when they are seen, with rows that have come since; the zoom stays.

import { el, svg } from "./dom.js";
import { parallel } from "./parallel.js";
import { palettes, styled } from "./plotting.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const coarse = matchMedia("(pointer: coarse)");
const plots = new Set();
const REST = 2; // after a drawing as many times what it took, so that the browser stays free

dark.addEventListener("change", () => plots.forEach(plot => plot.ask(true)));

const seen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const plot = entry.target.plot;
    plot.isSeen = entry.isIntersecting;
    if (plot.isSeen) plot.ask();
  }
}, { rootMargin: "80px" });

export class Plot {
  // `live` has the epochs of trials that train, by trial and column; `brush` gets ids of trials that were dragged over
  constructor(figure, live = null, brush = null) {
    this.live = live; this.brush = brush;
    this.target = el("div", { class: "plot" });
    this.tools = el("div", { class: "tools" });
    this.area = svg("svg", { overflow: "hidden" });
    this.over = svg("svg", { class: "over", "aria-hidden": "true" }, this.area);
    this.box = el("div", { class: "figure" }, this.tools, el("div", { class: "stage" }, this.target, this.over));
    this.upTo = new Map(); // the last epoch of each trial that plotly has drawn
    this.box.plot = this;
    this.axes = {};
    this.zoomed = { x: false, y: false };
    this.isSeen = false; this.stale = true; this.pending = false; this.free = 0;
    this.set(figure);
    plots.add(this);
    seen.observe(this.box);
  }

  set(figure) {
    this.figure = figure;
    this.base = null;
    this.box.style.minHeight = `${figure.layout.height}px`;
    this.isParallel = figure.data[0]?.type == "parcoords";
    this.column = figure.layout.meta?.column;
    // of learning curves a trial with one epoch is a point, too
    this.isPoints = this.brush && this.column === undefined
      && figure.data.some(trace => trace.mode == "markers" && Array.isArray(trace.text));
    this.tools.replaceChildren(...this.buttons());
    this.ask(true);
  }

  close() {
    plots.delete(this);
    seen.unobserve(this.box);
    if (window.Plotly && this.drawn) window.Plotly.purge(this.target);
  }

  buttons() {
    const lines = this.figure.data.some(trace => trace.type == "scatter" && /lines/.test(trace.mode || ""));
    if (!lines) return [];
    return ["x", "y"].map(name => {
      const button = el("button", { type: "button", "aria-pressed": String(this.isLog(name)),
        title: `logarithmic ${name} axis`, onclick: () => {
          this.axes[name] = !this.isLog(name);
          button.setAttribute("aria-pressed", String(this.isLog(name)));
          this.ask(true);
        } }, `log ${name}`);
      return button;
    });
  }

  isLog(name) {
    return this.axes[name] ?? this.figure.layout[`${name}axis`]?.type == "log";
  }

  concerns(trial) {
    return this.column !== undefined || this.figure.data.some(trace => trace.meta?.trial == trial);
  }

  // draw soon: as often as the browser can without being busy with it
  ask(stale = true) {
    this.stale ||= stale;
    if (!this.isSeen || this.pending || !this.stale || !window.Plotly) return;
    this.pending = true;
    setTimeout(() => requestAnimationFrame(() => { this.pending = false; if (this.isSeen) this.draw(); }),
      Math.max(0, this.free - performance.now()));
  }

  draw() {
    const began = performance.now();
    this.stale = false;
    const figure = this.composed();
    if (this.isParallel) parallel(this.target, figure, this.brush);
    else {
      window.Plotly.react(this.target, figure.data, figure.layout, { responsive: true, displayModeBar: false });
      if (!this.drawn) this.listen();
    }
    this.drawn = !this.isParallel;
    this.free = performance.now() + Math.min(1000, REST * (performance.now() - began));
  }

  // rows have come: lines over the figure, as plotly would draw all of it again; unless they leave its axes
  came() {
    if (!this.drawn || !this.isSeen) { this.ask(true); return; }
    if (this.coming) return;
    this.coming = requestAnimationFrame(() => { this.coming = null; if (this.drawOver()) this.ask(true); });
  }

  // whether a point lies outside of axes that follow the data
  drawOver() {
    const axes = this.target._fullLayout, lines = [];
    if (!this.live || !axes?.xaxis?.d2p) return this.live !== null;
    const { xaxis, yaxis } = axes;
    let leaves = false;
    for (const [trial, curve] of this.live) {
      const from = curve.epoch.indexOf(this.upTo.get(trial)), last = curve.epoch.length - 1;
      if (last <= from) continue;
      for (const [column, color] of this.linesOf(trial)) {
        const values = curve[column];
        if (!values) continue;
        const points = [];
        for (let i = Math.max(0, from); i <= last; i++) {
          if (values[i] === null) continue;
          const x = xaxis.d2p(curve.epoch[i]), y = yaxis.d2p(values[i]);
          if (!Number.isFinite(x + y)) continue;
          leaves ||= (xaxis.autorange && (x < 0 || x > xaxis._length)) || (yaxis.autorange && (y < 0 || y > yaxis._length));
          points.push(`${x.toFixed(1)},${y.toFixed(1)}`);
        }
        const line = svg("polyline", { points: points.join(" "), "data-trial": trial, "data-last": curve.epoch[last] });
        line.style.stroke = color;
        lines.push(line);
      }
    }
    for (const [name, value] of [["x", xaxis._offset], ["y", yaxis._offset], ["width", xaxis._length], ["height", yaxis._length]])
      this.area.setAttribute(name, value);
    this.area.replaceChildren(...lines);
    return leaves;
  }

  // columns of a trial that this figure has, each with its colour
  linesOf(trial) {
    const own = this.base.data.filter(trace => trace.meta?.trial == trial).map(trace => [trace.meta.column, trace.line.color]);
    if (own.length || this.column === undefined) return own;
    return [[this.column, palettes[dark.matches ? "dark" : "light"][2]]];
  }

  listen() {
    this.target.on("plotly_relayout", change => {
      for (const name of ["x", "y"]) {
        const zoomed = `${name}axis.range[0]` in change || (this.zoomed[name] && !change[`${name}axis.autorange`]);
        if (zoomed != this.zoomed[name]) { this.zoomed[name] = zoomed; this.ask(true); }
      }
    });
    if (!this.isPoints) return;
    this.target.on("plotly_selected", event => this.brush(event ? event.points.map(point => point.text) : null));
    this.target.on("plotly_deselect", () => this.brush(null));
  }

  // what was drawn by the tables in the page's colours, which is kept; and what has come since
  composed() {
    const colors = dark.matches ? "dark" : "light", key = `${colors} ${this.axes.x} ${this.axes.y} ${this.zoomed.x} ${this.zoomed.y}`;
    if (this.base?.key != key) this.base = { key, ...styled({ data: this.figure.data, layout: this.layout() }, dark.matches) };
    const traces = this.base.data.map(trace => this.extended(trace));
    if (this.column !== undefined && this.live) traces.push(...this.running(this.figure.data, palettes[colors][2]));
    return { data: traces, layout: this.base.layout };
  }

  layout() {
    const { layout } = this.figure, axes = {};
    for (const name of ["x", "y"]) {
      const axis = layout[`${name}axis`] || {};
      axes[`${name}axis`] = this.axes[name] === undefined ? axis
        : { ...axis, type: this.axes[name] ? "log" : "linear", dtick: undefined, uirevision: String(this.axes[name]) };
      // round ticks are those of the whole axis: plotly has others for a part of it, and for another scale
      if (axis.tickvals && axis.type == "log" && (this.zoomed[name] || this.axes[name] !== undefined))
        axes[`${name}axis`] = { ...axes[`${name}axis`], tickmode: "auto", tickformat: "~g" };
    }
    const drag = this.isPoints ? { dragmode: coarse.matches ? false : "select" } : {};
    return { ...layout, ...axes, ...drag, uirevision: "kept" };
  }

  // a trace of one trial, with the epochs that have come since it was drawn
  extended(trace) {
    const curve = trace.meta && this.live?.get(trace.meta.trial), values = curve?.[trace.meta.column];
    if (!values || !trace.x.length) return trace;
    const from = curve.epoch.findIndex(epoch => epoch > trace.x[trace.x.length - 1]);
    if (from < 0) return trace;
    const x = trace.x.concat(curve.epoch.slice(from)), y = trace.y.concat(values.slice(from));
    return { ...trace, x, y, text: Array.isArray(trace.text) ? x.map(() => trace.meta.trial) : trace.text };
  }

  // one trace of all other trials that train, with gaps between them
  running(data, color) {
    const own = new Set(data.map(trace => trace.meta?.trial));
    const x = [], y = [], text = [];
    for (const [trial, curve] of this.live) {
      if (own.has(trial) || !curve[this.column]) continue;
      x.push(...curve.epoch, null); y.push(...curve[this.column], null);
      text.push(...curve.epoch.map(() => trial), null);
    }
    if (!x.length) return [];
    return [{ type: "scatter", mode: "lines+markers", name: "running", x, y, text, meta: { live: true },
      line: { color, width: 1.6 }, marker: { color, size: 3 },
      hovertemplate: "%{text}, %{x}: %{y:.4g}<extra></extra>" }];
  }
}

export function closeAll() {
  plots.forEach(plot => plot.close());
}

export function rowsCame(trials) {
  for (const plot of plots) if (plot.live && trials.some(trial => plot.concerns(trial))) plot.came();
}

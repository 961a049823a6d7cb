"""The page of a report: its HTML, its style, light and dark, and the script that draws the figures."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.records.results import plain
from balltrain.reporting.text import short

FOLD_FROM = 48  # characters of a list or a mapping, from which it is folded
FOLDED_TO = 32  # of which are shown then
WRAP_FROM = 60  # characters of a text in a table, from which it has several lines

# the colours of figures by name, as `@muted`
PALETTES = {
    "light": {
        **{"muted": "#a3abb5", "faint": "#dfe3e8", "ink": "#1c1f24", "back": "#ffffff"},
        **{"0": "#0b62c4", "1": "#d9480f", "2": "#2b8a3e", "3": "#862e9c", "4": "#b08800"},
    },
    "dark": {
        **{"muted": "#6b7480", "faint": "#343b44", "ink": "#e4e7eb", "back": "#14171b"},
        **{"0": "#6cb0ff", "1": "#ff9f5a", "2": "#69db7c", "3": "#da9ff9", "4": "#ffd43b"},
    },
}


def page_html(title: str, body: str) -> str:
    """The whole document, plotly.js in it."""
    from plotly.offline import get_plotlyjs

    return f"""<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<meta name=color-scheme content="light dark">
<title>{escape(title)} · balltrain</title>
<style>{STYLE}</style>
</head>
<body><main>
{body}
</main>
<script>{get_plotlyjs()}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def write_page(page: str, out: Path) -> Path:
    """Write the file `out`, replaced whole. Raises BalltrainError where it cannot be written."""
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, out)
    except OSError as error:
        reason = error.strerror or error
        raise BalltrainError(f"cannot write the page to {out}: {reason}; choose another place by --out") from error
    return out


def figure_html(data: list[dict[str, Any]], layout: dict[str, Any], height: int) -> str:
    text = json.dumps({"data": data, "layout": {"height": height, **layout}}, default=plain, separators=(",", ":"))
    text = text.replace("NaN", "null").replace("<", "\\u003c")
    return f'<div class=figure style="height:{height}px"><script type="application/json">{text}</script></div>'


def section(title: str, *parts: str) -> str:
    return f'<section id="{anchor(title)}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def contents(body: str) -> str:
    """Links to the sections of a page."""
    titles = re.findall(r'<section id="([^"]*)"><h2>(.*?)</h2>', body)
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in titles)
    return f"<nav>{links}</nav>" if len(titles) > 2 else ""


def figures_in(body: str) -> list[dict[str, Any]]:
    """The figures of a part of a page, as `figure_html` was given them."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', body, re.DOTALL)
    return [json.loads(text) for text in found]


def grid(figures: Iterable[str], kind: str = "") -> str:
    return f'<div class="grid {kind}">{"".join(figures)}</div>'


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""


def note(text: str) -> str:
    return f"<p class=note>{escape(text)}</p>" if text else ""


def bullets(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{folded(v)}</dd>" for k, v in rows) + "</dl>"


def details(summary: str, *parts: str) -> str:
    """What opens by a click, and without a script."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def folded(text: str) -> str:
    """A value; a long list or mapping shows its beginning, and opens."""
    if len(text) < FOLD_FROM or text[0] not in "[{":
        return escape(text)
    return f"<details class=fold><summary>{escape(text[:FOLDED_TO])} …</summary>{escape(text)}</details>"


def command(text: str) -> str:
    """A command with a button that copies it; the script shows the button."""
    return f"<div class=command><pre>{escape(text)}</pre><button type=button hidden>Copy</button></div>"


def table(heads: Iterable[str], rows: Iterable[Iterable[Any]], classes: Iterable[str] | None = None) -> str:
    """Cells that are not text are numbers; `classes` has one for each row."""
    rows = [list(row) for row in rows]
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr{f' class={escape(kind)}' if kind else ''}>{''.join(_cell(value) for value in row)}</tr>"
        for row, kind in zip(rows, classes if classes is not None else [""] * len(rows), strict=True)
    )
    return f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>"


def _cell(value: Any) -> str:
    text = short(value)
    kind = " class=n" if not isinstance(value, str) else " class=long" if len(text) >= WRAP_FROM else ""
    return f"<td{kind}>{folded(text)}</td>"


def anchor(title: str) -> str:
    """A title as the part of an address, or of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


STYLE = """
:root { --back: #fff; --front: #1c1f24; --soft: #626a75; --line: #e1e4e8; --panel: #f6f7f9; --accent: #0b62c4;
  --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171b; --front: #e4e7eb; --soft: #9aa3ae; --line: #2b3038; --panel: #1c2026; --accent: #6cb0ff;
    --bad: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--front);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 64px }
h1 { margin: 0; font-size: 28px; overflow-wrap: anywhere } h2 { font-size: 19px; margin: 40px 0 12px }
.kicker { margin: 0; color: var(--soft) } .lead { font-size: 19px; margin: 12px 0 4px }
.note { color: var(--soft); font-size: 14px; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 4px 20px; margin: 0 }
dt { color: var(--soft); overflow-wrap: anywhere } dd { margin: 0; overflow-wrap: anywhere }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 12px;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 14px }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)) }
.grid.small { grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)) }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 20px 0 0; font-size: 14px }
a { color: var(--accent) } ul { padding-left: 20px; margin: 8px 0 } li { margin: 6px 0 }
.shots { display: grid; gap: 8px; grid-template-columns: repeat(auto-fill, minmax(min(160px, 45%), 1fr)) }
.shots img { width: 100%; border-radius: 4px; display: block }
.shots figure { margin: 0 } figcaption { font-size: 14px; overflow-wrap: anywhere }
.shots figure img + img { margin-top: 4px } .shots img.pixels { image-rendering: pixelated }
.shots.large { grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)) }
.shots.tiny { grid-template-columns: repeat(auto-fill, minmax(64px, 1fr)) } .shots + .shots { margin-top: 20px }
summary { cursor: pointer } dl + details { margin-top: 8px }
details > summary { color: var(--soft) } details[open] > summary { margin-bottom: 8px }
details > dl { padding-left: 16px; font-size: 14px } .fold > summary { color: inherit; white-space: nowrap }
.fold[open] > summary { color: var(--soft) } td .fold[open] { white-space: normal; min-width: 280px }
.command { position: relative } .command pre { padding-right: 84px }
.command button { position: absolute; top: 8px; right: 8px; padding: 6px 10px;
  font: inherit; font-size: 13px; line-height: 1;
  color: var(--front); background: var(--back); border: 1px solid var(--line); border-radius: 6px; cursor: pointer }
.warn { border-left: 3px solid var(--bad); padding-left: 12px }
.figure { min-width: 0 } .wide, .scroll { overflow-x: auto } .wide .figure { min-width: 640px }
table { border-collapse: collapse; font-size: 14px; white-space: nowrap }
th, td { padding: 4px 12px 4px 0; text-align: left; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 500 } td.n { font-variant-numeric: tabular-nums }
tr.failed td { color: var(--bad) } td code { white-space: pre-wrap }
td.long { white-space: normal; min-width: 280px; overflow-wrap: anywhere }
"""

# how a figure's JSON gets the page's colours: of the report, and of the page that `balltrain serve` shows
PLOTTING = (
    f"const palettes = {json.dumps(PALETTES)};"
    + """
function colored(value, palette) {
  if (typeof value == "string")
    return value[0] == "@" && value.slice(1) in palette ? palette[value.slice(1)] : value;
  if (Array.isArray(value)) return value.map(each => colored(each, palette));
  if (value === null || typeof value != "object") return value;
  const kept = (key, each) => key == "text" && typeof each == "string" ? each : colored(each, palette);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, kept(key, each)]));
}
function styled(figure, isDark) {
  const css = getComputedStyle(document.documentElement), palette = palettes[isDark ? "dark" : "light"];
  const ink = css.getPropertyValue("--soft").trim(), line = css.getPropertyValue("--line").trim();
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
  const { data, layout } = colored(figure, palette);
  return { data, layout: { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
    font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 12 },
    margin: { l: 56, r: 12, t: 12, b: 44 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    ...layout, xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis } } };
}
"""
)

SCRIPT = (
    PLOTTING
    + """
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  for (const box of document.querySelectorAll(".figure")) {
    const figure = styled(JSON.parse(box.querySelector("script").textContent), dark.matches);
    let target = box.querySelector(".plot");
    const isNew = !target;
    if (isNew) { target = document.createElement("div"); target.className = "plot"; box.append(target) }
    Plotly.react(target, figure.data, figure.layout, { responsive: true, displayModeBar: false });
    if (isNew) target.on("plotly_relayout", change => ticks(target, figure.layout, change));
  }
}
// an axis with ticks of its own, which are those of the whole of it, has plotly's where one zooms in
function ticks(target, layout, change) {
  const asked = {};
  for (const name of ["xaxis", "yaxis"]) {
    if (!layout[name]?.tickvals || layout[name].type != "log") continue;
    const set = (key, value) => { asked[`${name}.${key}`] = value };
    if (`${name}.range[0]` in change) { set("tickmode", "auto"); set("tickformat", "~g") }
    if (change[`${name}.autorange`]) set("tickmode", "array");
  }
  if (Object.keys(asked).length) Plotly.relayout(target, asked);
}
async function copy(text) {
  try { await navigator.clipboard.writeText(text) }
  catch { // a page that is no secure context has no clipboard, and some browsers ask first
    const area = document.createElement("textarea");
    area.value = text; document.body.append(area); area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("the browser does not copy");
  }
}
for (const button of document.querySelectorAll(".command button")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const shown = button.parentElement.querySelector("pre");
    try { await copy(shown.textContent); button.textContent = "Copied" }
    catch { getSelection().selectAllChildren(shown); button.textContent = "Press Ctrl-C" }
    setTimeout(() => { button.textContent = "Copy" }, 2000);
  });
}
draw();
dark.addEventListener("change", draw);
"""
)

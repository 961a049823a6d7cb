"""The report in a real browser: Chromium, headless. Skipped where there is none."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from chromium import CHROMIUM, NAMES, Tab, chromium

from balltrain.records.results import load_results
from balltrain.reporting.report import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"needs one of {', '.join(NAMES)} on the PATH")

# a trace that plotly cannot draw is made invisible by it
ASK = """<script>
// labels of a logarithmic axis that another one of it covers, or that are smaller than it
function crowded(plot) {
  const found = [];
  for (const name of ["x", "y"]) {
    if (plot?._fullLayout?.[name + "axis"]?.type != "log") continue;
    const labels = [...plot.querySelectorAll(`.${name}tick text`)];
    const places = labels.map(label => label.getBoundingClientRect()).sort((a, b) => a[name] - b[name]);
    const covers = places.some((place, i) => i && places[i - 1][name == "x" ? "right" : "bottom"] > place[name] + 1);
    const sizes = new Set(labels.map(label => label.style.fontSize));
    if (covers || sizes.size > 1 || labels.length < 2) found.push(labels.map(label => label.textContent).join(" "));
  }
  return found;
}
const boxes = [...document.querySelectorAll(".figure")];
document.documentElement.dataset.answer = JSON.stringify({
  crowded: boxes.flatMap(box => crowded(box.querySelector(".plot"))),
  figures: boxes.length,
  blank: boxes.flatMap((box, number) => {
    const plot = box.querySelector(".plot"), size = plot?.querySelector(".main-svg")?.getBoundingClientRect();
    const whole = plot?._fullData?.length && plot._fullData.every(trace => trace.visible === true);
    return size?.width > 100 && size?.height > 50 && whole ? [] : [number];
  }),
  wider: document.documentElement.scrollWidth - innerWidth,
  back: getComputedStyle(document.body).backgroundColor,
  ink: document.querySelector(".xtick text")?.style.fill,
  broken: [...document.images].filter(image => !image.naturalWidth).length,
  images: document.images.length });
</script>"""


@dataclass
class Seen:
    answer: dict[str, Any]
    console: list[str]
    requests: list[str]


def look(page: str, folder: Path, *, width: int = 1200, dark: bool = False) -> Seen:
    """What a browser makes of a page: answers from inside it, its console, what it asked of a network."""
    folder.mkdir()
    file, netlog = folder / "page.html", folder / "net.json"
    file.write_text(page.replace("</body>", ASK + "</body>"))
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    arguments += [
        "--disable-component-update",
        "--disable-sync",
        f"--window-size={width},1000",
        f"--log-net-log={netlog}",
    ]
    arguments += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--user-data-dir={folder / 'user'}"]
    arguments += [
        f"--log-net-log={netlog}",
        "--virtual-time-budget=5000",
        "--enable-logging=stderr",
        "--dump-dom",
        file.as_uri(),
    ]
    done = subprocess.run([str(CHROMIUM), *arguments], capture_output=True, text=True, timeout=120, check=True)
    answer = re.search(r'<html[^>]* data-answer="([^"]*)"', done.stdout)
    lines = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    # that a machine without a GPU draws by software is no fault of the page
    console = [line for line in lines if "WebGL" not in line and "GL Driver" not in line]
    asked = re.findall(r'"url":"((?:https?|wss?)://[^"]*)"', netlog.read_text())
    # Chromium itself looks for proxies and updates; a page's requests name it as their initiator
    own = [url for url in asked if not re.match(r"https?://([a-z0-9-]+\.)*(google|googleapis|gvt1)\.com/", url)]
    return Seen(json.loads(unescape(answer[1])) if answer else {}, console, own)


@pytest.fixture(scope="module")
def page(simulate, tmp_path_factory) -> str:
    """A report in which every section has something to show."""
    folder = tmp_path_factory.mktemp("browser")
    failing = {3: "nan", 7: "CUDA out of memory", 9: "CUDA out of memory"}
    simulation = simulate(trials=40, failing=failing.get)
    while simulation.step():
        pass
    results = load_results(folder, simulation.write(folder).name)
    first = results.ranked.trial_id.iloc[0]
    again = results.trials[results.trials.trial_id == first].assign(confirms=first, status="completed")
    repeats = [again.assign(trial_id=f"{40 + n:05d}", number=40 + n, objective=again.objective + n) for n in range(3)]
    trials = pd.concat([results.trials.assign(confirms=None), *repeats], ignore_index=True)
    results = type(results)(results.folder, {**results.sweep, "repeats": 3}, trials, results.json_columns)
    return write_report(results, folder / "report.html").read_text()


def test_every_figure_is_drawn_without_an_error_or_a_request(page: str, tmp_path: Path):
    seen = look(page, tmp_path / "light")
    assert seen.answer["figures"] >= 20
    assert seen.answer["blank"] == []
    assert seen.answer["crowded"] == []
    assert seen.answer["wider"] <= 0
    assert seen.console == []
    assert seen.requests == []
    assert seen.answer["back"] == "rgb(255, 255, 255)"


def test_on_a_phone_in_the_dark_it_is_dark_and_scrolls_down_only(page: str, tmp_path: Path):
    seen = look(page, tmp_path / "dark", width=500, dark=True)
    assert seen.answer["blank"] == []
    assert seen.answer["crowded"] == []
    assert seen.answer["wider"] <= 0
    assert seen.console == []
    red, green, blue = map(int, re.findall(r"\d+", seen.answer["back"]))
    assert max(red, green, blue) < 60
    assert min(map(int, re.findall(r"\d+", seen.answer["ink"])[:3])) > 120


def test_a_click_copies_opens_and_unfolds_and_zooming_in_has_ticks(page: str, tmp_path: Path):
    """From a file, by the mouse, without a network."""
    file = tmp_path / "report.html"
    file.write_text(page)
    with chromium() as (tab, _):
        tab.open(file.as_uri())
        tab.wait("document.querySelector('.figure .main-svg')")
        assert tab.ask("[...document.querySelectorAll('details')].every(fold => !fold.open)")
        click(tab, ".command button")
        tab.wait("document.querySelector('.command button').textContent == 'Copied'", 5)
        tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
        assert tab.ask("navigator.clipboard.readText()").startswith("balltrain train bowl --epochs 12 --set ")
        click(tab, "details summary")
        tab.wait("document.querySelector('details dl').getBoundingClientRect().height > 50", 5)
        plot = "document.querySelector('.figure .plot')"
        whole = tab.ask(f"{plot}._fullLayout.yaxis.range")
        low = sum(whole) / 2
        tab.ask(f"Plotly.relayout({plot}, {{'yaxis.range[0]': {low}, 'yaxis.range[1]': {low + 0.1}}}).then(() => 1)")
        tab.wait(f"{plot}.querySelectorAll('.ytick text').length >= 2", 5)
        assert tab.console == []


def click(tab: Tab, selector: str) -> None:
    tab.ask(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
    box = tab.ask(f"document.querySelector('{selector}').getBoundingClientRect().toJSON()")
    at = (box["x"] + min(20, box["width"] / 2), box["y"] + box["height"] / 2)
    tab.drag(at, at)


def test_the_browser_would_tell_of_errors_and_requests(tmp_path: Path):
    """What the two tests above rest on."""
    bad = "<script>console.error('bad'); fetch('http://127.0.0.1:9/x').catch(() => {})</script>"
    empty = '<div class=figure><div class="plot"></div></div>'
    seen = look(f"<html><body>{bad}{empty}</body></html>", tmp_path / "bad")
    assert any("bad" in line for line in seen.console)
    assert seen.requests
    assert seen.answer["blank"] == [0]

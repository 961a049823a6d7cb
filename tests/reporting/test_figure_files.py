"""The report's figures as files, drawn in a real browser where there is one."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM, NAMES

from balltrain.errors import BalltrainError
from balltrain.reporting.figure_files import for_print, named_figures, write_figures

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=f"needs one of {', '.join(NAMES)} on the PATH")


@pytest.fixture
def small(sweep):
    """Two figures: the best so far, over time and over epochs."""
    return sweep(trials=1, epochs=1, domains={})


def test_every_figure_of_the_report_has_a_name_of_its_own(sweep):
    names = [name for name, _ in named_figures(sweep())]
    assert len(names) == len(set(names)) > 20
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)
    expected = [
        "learning-curves-val-loss",
        "best-so-far-time-since-the-start",
        "distribution",
        "slices-lr",
        "timeline",
    ]
    assert set(expected) <= set(names)
    assert "learning-curves-val-loss" in [name for name, _ in named_figures(sweep(name="few", trials=2))]  # stable


def test_in_print_it_is_dark_on_white_with_fonts_of_eleven_points(sweep):
    for _, spec in named_figures(sweep()):
        layout = for_print(spec)["layout"]
        assert layout["paper_bgcolor"] == "#ffffff"
        assert layout["font"]["size"] == pytest.approx(11 / 72 * 96, abs=0.01)
        assert (layout["width"], layout["height"] >= 345) == (624, True)  # 6.5 inches, and at least 3.6
        assert not re.search(
            r'"@(\d|muted|faint|ink|back)"', json.dumps(for_print(spec))
        )  # no name of a colour is left
        assert layout.get("yaxis", {}).get("title", {}).get("text") != ""


@needs_browser
def test_a_png_has_300_pixels_an_inch(small, cli, tmp_path: Path):
    from PIL import Image

    code, printed, _ = cli("report", small.folder, "--format", "png", tmp_path / "figures")
    assert code == 0
    paths = [Path(line) for line in printed.splitlines()]
    assert [path.name for path in paths] == [
        "best-so-far-time-since-the-start.png",
        "best-so-far-epochs-trained-by-all-trials.png",
    ]
    with Image.open(paths[0]) as picture:
        assert picture.size == (1950, 1081)
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10  # something is drawn


@needs_browser
def test_an_svg_is_text_and_lines(small, tmp_path: Path):
    path, _ = write_figures(small, tmp_path, "svg")
    text = path.read_text()
    assert 'width="624"' in text
    assert "font-size: 14.67px" in text
    assert ">val_loss</text>" in text


def test_without_kaleido_the_extra_is_named(small, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(BalltrainError, match=r"pip install 'balltrain\[figures\]'"):
        write_figures(small, tmp_path, "svg")


def test_without_a_browser_it_is_said_what_to_install(small, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "chrome"))
    with pytest.raises(
        BalltrainError, match=r"none at BROWSER_PATH, .*chrome: install one \(apt-get install chromium\)"
    ):
        write_figures(small, tmp_path / "figures", "svg")


def test_a_sweep_without_figures_says_so(sweep, tmp_path: Path):
    failed = sweep(trials=1, epochs=1, domains={}, failing=lambda number: "boom")
    with pytest.raises(BalltrainError, match="has no figure yet: no trial has an objective"):
        write_figures(failed, tmp_path, "svg")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "png"], "figures need a folder: balltrain report bowl-1 --format png DIR"),
        (["figures"], "a folder such as figures is for figures: add --format png or svg, or use --out FILE"),
        (["figures", "--format", "svg", "--wandb"], "--out and --wandb are for the page"),
    ],
)
def test_a_command_that_cannot_be_meant_says_what_to_type(arguments: list[str], said: str, cli: Any):
    code, printed, error = cli("report", "bowl-1", *arguments)
    assert (code, printed) == (2, "")
    assert said in " ".join(error.split())

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from balltrain.cli.options import parse_pairs
from balltrain.errors import BalltrainError
from balltrain.records.results import Results
from balltrain.reporting import best_configuration
from balltrain.reporting.progress import MAX_CURVES, learning_curves
from balltrain.reporting.report import write_report

Run = Callable[..., Results]


class Page(HTMLParser):
    """What a reader sees, and the figures that the script draws."""

    def __init__(self, text: str):
        super().__init__()
        self.headings: list[str] = []
        self.figures: list[dict[str, Any]] = []
        self.urls: list[str] = []
        self.words = ""
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self._inside.append("figure" if values.get("type") == "application/json" else tag)
        self.urls += [str(values[name]) for name in ("src", "href") if name in values]
        if tag in ("meta", "br", "link"):
            self._inside.pop()

    def handle_endtag(self, tag: str) -> None:
        self._inside.pop()

    def handle_data(self, data: str) -> None:
        inside = self._inside[-1] if self._inside else ""
        if inside == "figure":
            self.figures.append(json.loads(data, parse_constant=pytest.fail))
        elif inside == "h2":
            self.headings.append(data)
        if inside not in ("figure", "script", "style"):
            self.words += data + " "

    def curves(self, figure: int) -> dict[str, dict[str, Any]]:
        return {trace["name"]: trace for trace in self.figures[figure]["data"]}


def page_of(results: Results, tmp_path: Path) -> Page:
    return Page(write_report(results, tmp_path / "out" / "report.html").read_text())


def test_report_is_one_file_that_loads_nothing(sweep: Run, tmp_path: Path):
    page = page_of(sweep(), tmp_path)
    assert [url for url in page.urls if not url.startswith("#")] == []
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "report.html"]


def test_headline_says_what_won_and_what_was_saved(sweep: Run, tmp_path: Path):
    results = sweep()
    words = page_of(results, tmp_path).words
    assert results.best is not None
    assert f"Trial {results.best.trial_id} has the best val_loss: {results.best.objective:.4g}" in words
    saved = 1 - len(results.epochs) / (24 * 12)
    assert f"saved {saved:.0%} of the epochs" in words
    assert f"{results.counts['stopped']} stopped" in words


def test_words_come_before_the_links_to_figures(sweep: Run, tmp_path: Path):
    text = write_report(sweep(failing=lambda number: "nan" if number == 1 else None), tmp_path / "r.html").read_text()
    assert (
        0
        < text.index("<h1>")
        < text.index("What it says")
        < text.index("1 of 24 trials failed")
        < text.index("<nav>")
    )


def test_what_all_trials_share_opens_and_long_values_are_folded(sweep: Run, tmp_path: Path):
    from ray import tune

    layers = [{"kind": "convolution", "channels": channels} for channels in (16, 32, 64)]
    domains = {"lr": tune.loguniform(1e-5, 1e-1), "layers": tune.choice([[16, 32], [32, 64, 128]])}
    results = sweep(domains=domains)
    results.__dict__["trials"] = results.trials.assign(**{"config.layers": json.dumps(layers)})
    text = best_configuration.best_config(results)
    opened = re.search(r"<details><summary>(\d+) other hyperparameters</summary>(.*?)</dl></details>", text)
    assert opened
    assert opened[2].count("<dt>") == int(opened[1]) > 5
    assert "<dt>optimizer</dt><dd>adam</dd>" in opened[2]
    shown, inside = re.findall(r"<details class=fold><summary>(.*?) …</summary>(.*?)</details>", text)[0]
    assert json.dumps(layers).startswith(unescape(shown))
    assert unescape(inside) == json.dumps(layers)


def test_each_command_to_copy_has_its_button(sweep: Run):
    results = sweep()
    text = best_configuration.best_config(results)
    commands = [unescape(found) for found in re.findall(r"<pre>([^<]*)</pre><button type=button hidden>Copy<", text)]
    assert commands == [best_configuration.train_command(results), f"balltrain evaluate {results.checkpoint}"]


def test_ticks_of_log_axes_are_few_round_numbers_in_full(sweep: Run, tmp_path: Path):
    found = 0
    for figure in page_of(sweep(), tmp_path).figures:
        for axis in (axis for name, axis in figure["layout"].items() if name in ("xaxis", "yaxis")):
            if axis.get("type") == "log":
                found += 1
                assert 2 <= len(axis["tickvals"]) <= 6
                assert [float(text) for text in axis["ticktext"]] == axis["tickvals"]
                assert all(len(text) <= 6 for text in axis["ticktext"])
    assert found > 10  # curves, rungs, slices, planes, contours


def test_the_legend_of_curves_names_no_trial_with_one_point(sweep: Run):
    results = sweep()  # most are stopped after their first epoch
    results.__dict__["epochs"] = results.epochs[
        (results.epochs.epoch == 1) | ~results.epochs.trial_id.isin(results.ranked.trial_id[2:5])
    ]
    (figure, *_) = Page(learning_curves(results)).figures
    named = [trace["name"] for trace in figure["data"] if trace.get("showlegend", True)]
    assert named == ["others", *results.ranked.trial_id[1::-1].iloc[:1], f"{results.ranked.trial_id.iloc[0]} (best)"]
    dots = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert {trace["name"] for trace in dots} == {"others", *results.ranked.trial_id[2:5]}
    assert learning_curves(sweep(name="short", epochs=1, scheduler="none")) == ""


def test_headline_claims_no_saving_where_nothing_was_stopped(sweep: Run, tmp_path: Path):
    assert "saved" not in page_of(sweep(scheduler="none", trials=4), tmp_path).words


def test_train_command_reproduces_the_best_configuration(sweep: Run):
    results = sweep()
    assert results.best is not None
    words = shlex.split(best_configuration.train_command(results))
    assert words[:5] == ["balltrain", "train", "bowl", "--epochs", "12"]
    given = dict(word.split("=", 1) for before, word in itertools.pairwise(words) if before == "--set")
    config = results.config(results.best)
    # what varies, what the space holds fixed, and what the sweep sets
    assert set(given) == {"lr", "width", "layers", "activation", "depth", "dropout", "batch_size", "optimizer"}
    for name, text in given.items():
        assert parse_pairs([f"{name}={text}"], "--set") == {name: config[name]}  # as the command line reads it
    assert given["activation"] == config["activation"]
    assert words[-2:] == ["--size", "100"]


@pytest.mark.parametrize(
    "value", ["18", "None", "True", "relu", "[1, 2]", "NaN", "", "a b", 1e-5, None, [1, "2"], True]
)
def test_a_value_survives_the_command_line(value):
    assert parse_pairs([f"key={best_configuration.set_text(value)}"], "--set") == {"key": value}


def test_learning_curves_hold_every_epoch_of_every_trial(sweep: Run, tmp_path: Path):
    results = sweep()
    page = page_of(results, tmp_path)
    figure = page.figures[0]
    values = [y for trace in figure["data"] for y in trace["y"] if y is not None]
    assert sorted(values) == pytest.approx(sorted(results.epochs.val_loss), rel=1e-4)
    assert figure["layout"]["yaxis"]["title"]["text"] == "val_loss"
    assert page.figures[1]["layout"]["yaxis"]["title"]["text"] == "train_loss"
    assert figure["layout"]["yaxis"]["type"] == "log"
    assert results.best is not None
    assert f"{results.best.trial_id} (best)" in page.curves(0)


def test_an_accuracy_has_no_log_axis(sweep: Run, accurate, tmp_path: Path):
    results = sweep(task=accurate)
    figure = page_of(results, tmp_path).figures[0]
    assert "type" not in figure["layout"]["yaxis"]
    assert figure["layout"]["yaxis"]["title"]["text"] == "iou"


def test_best_so_far_never_gets_worse_and_ends_at_the_best(sweep: Run, tmp_path: Path):
    results = sweep(failing=lambda number: "nan" if number == 1 else None)
    page = page_of(results, tmp_path)
    over_time, over_epochs = [f["data"][0] for f in page.figures if f["data"][0].get("name") == "best so far"]
    for trace in (over_time, over_epochs):
        assert trace["y"] == sorted(trace["y"], reverse=True)
        assert trace["x"] == sorted(trace["x"])
        assert results.best is not None
        assert trace["y"][-1] == results.best.objective
    assert over_epochs["x"][-1] == len(results.epochs)


def test_parallel_coordinates_place_choices_logs_and_missing_values(sweep: Run, tmp_path: Path):
    results = sweep()
    (figure,) = [f for f in page_of(results, tmp_path).figures if f["data"][0]["type"] == "parcoords"]
    dimensions = {dimension["label"]: dimension for dimension in figure["data"][0]["dimensions"]}
    assert set(dimensions) == {"lr", "width", "layers", "activation", "depth", "dropout", "val_loss"}
    assert all(-5 <= value <= -1 for value in dimensions["lr"]["values"])  # powers of ten
    assert min(dimensions["width"]["values"]) >= 8
    said = {label: [text for text in axis["ticktext"] if text] for label, axis in dimensions.items()}
    assert said["activation"] == ["gelu", "relu"]
    assert said["layers"] == ["[16, 32]", "[32, 64, 128]"]
    assert {"1e-4", "0.001", "0.01"} <= set(said["lr"])
    missing = results.ranked["config.dropout"].isna().tolist()
    assert any(missing)
    below = dimensions["dropout"]["tickvals"][dimensions["dropout"]["ticktext"].index("none")]
    assert [value == below for value in dimensions["dropout"]["values"]] == missing


def test_every_varied_hyperparameter_has_its_slice(sweep: Run, tmp_path: Path):
    results = sweep()
    page = page_of(results, tmp_path)
    points = [figure for figure in page.figures if figure["layout"]["height"] == 240]
    axes = {figure["layout"]["xaxis"]["title"]["text"]: figure for figure in points}
    assert set(axes) == {column.removeprefix("config.") for column in results.varied}
    assert axes["lr"]["layout"]["xaxis"]["type"] == "log"
    assert axes["lr"]["data"][0]["x"] == results.ranked["config.lr"].tolist()[::-1]
    assert len(axes["activation"]["data"][0]["x"]) == len(results.ranked)


def test_text_of_users_is_shown_and_never_run(sweep: Run, tmp_path: Path):
    evil = "<script>alert('x')</script> & </script><b>"
    results = sweep(trials=6, failing=lambda number: evil if number < 2 else None)
    results.sweep["host"], results.sweep["objective"] = evil, "val_loss"
    for column in ("config.activation", "node"):
        results.trials[column] = [f"{number}{evil}" for number in range(6)]
    text = write_report(results, tmp_path / "report.html").read_text()
    assert "<script>alert" not in text
    assert "</script><b>" not in text
    assert Page(text).words.count(evil) >= 3
    assert len(re.findall("<script", text.replace(report_plotly(), ""))) == 2 + len(Page(text).figures)


def report_plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def test_failures_are_grouped_by_cause(sweep: Run, tmp_path: Path):
    page = page_of(sweep(failing=lambda number: f"worker {number} died" if number in (2, 9) else None), tmp_path)
    assert "Failures" in page.headings
    assert "worker … died" in page.words
    assert "Failures" not in page_of(sweep(name="fine"), tmp_path).headings


def test_report_says_how_to_run_it_again(sweep: Run, tmp_path: Path):
    words = page_of(sweep(), tmp_path).words
    for fact in ("f" * 64, "torch 2.13.0", "abc123", "size 100, seed 0", "logfloat", "node-1"):
        assert fact in words


def test_a_sweep_of_one_trial_has_a_report(sweep: Run, tmp_path: Path):
    page = page_of(sweep(trials=1, domains={}), tmp_path)
    assert "Learning curves" in page.headings
    assert "Hyperparameters one by one" not in page.headings
    assert "Trial 00000 has the best val_loss" in page.words


def test_a_sweep_in_which_all_failed_has_a_report(sweep: Run, tmp_path: Path):
    page = page_of(sweep(trials=3, failing=lambda number: "nan"), tmp_path)
    assert "No trial has a val_loss yet." in page.words
    assert page.headings[-2:] == ["Failures", "To run it again"]


def test_a_sweep_that_has_just_begun_has_a_report(simulate, tmp_path: Path):
    from balltrain.records.results import load_results

    simulation = simulate()
    words = page_of(load_results(tmp_path, simulation.write(tmp_path).name), tmp_path).words
    assert "No trial has begun yet." in words
    simulation.step()
    words = page_of(load_results(tmp_path, simulation.write(tmp_path).name), tmp_path).words
    assert "4 running" in words


def test_a_report_that_cannot_be_written_says_so(sweep: Run, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BalltrainError, match=r"cannot write the page to .*--out"):
        write_report(sweep(trials=1), tmp_path / "file" / "report.html")


def test_a_large_sweep_is_drawn_with_fewer_curves_and_says_so(sweep: Run, tmp_path: Path):
    results = sweep(trials=500, epochs=3, scheduler="none")
    text = write_report(results, tmp_path / "report.html").read_text()
    page = Page(text)
    others = page.curves(0)["others"]
    assert others["y"].count(None) <= MAX_CURVES
    assert "of the 495 other trials are drawn" in page.words
    assert "400 more are in trials.parquet" in page.words

"""What the report's newer sections show, from tables alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any

import pandas as pd
import pytest

from balltrain.records.results import Results
from balltrain.reporting import gallery, hyperparameters, progress, report
from balltrain.reporting.findings import findings, without_effect
from balltrain.reporting.importance import importances
from balltrain.reporting.occupancy import idle_times, lanes
from balltrain.reporting.scales import bounds, is_log_scale, unit_values
from balltrain.reporting.timeline import timeline

Run = Callable[..., Results]


def figures(html: str) -> list[dict[str, Any]]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', html)
    return [json.loads(text, parse_constant=pytest.fail) for text in found]


def words(html: str) -> str:
    return unescape(re.sub(r"<script.*?</script>|<[^>]*>", " ", html))


def with_objective(results: Results, objective: Callable[[pd.DataFrame], pd.Series]) -> Results:
    return replace(results, trials=results.trials.assign(objective=objective(results.trials), status="completed"))


@pytest.fixture
def large(sweep: Run) -> Results:
    return sweep(trials=80, epochs=2, scheduler="none")


def test_the_hyperparameter_that_sets_the_objective_is_the_most_important(large: Results):
    results = with_objective(
        large, lambda trials: 10 ** (trials["config.lr"].map(lambda lr: len(str(int(1 / lr))) / 1.0))
    )
    found = importances(results)
    assert found[0].name == "lr"
    assert found[0].is_clear
    assert found[0].low <= found[0].share <= found[0].high
    assert found[0].share > 0.6
    assert [entry.name for entry in found if entry.is_clear] == ["lr"]
    assert "lr explains" in findings(results)[0]


def test_where_nothing_matters_nothing_is_said_to(large: Results):
    """The objective is noise: 19 shuffles let one hyperparameter in 20 through."""
    noise = pd.Series([(number * 7919 % 101) / 101 + 0.1 for number in range(80)])
    results = with_objective(large, lambda trials: noise)
    assert sum(entry.is_clear for entry in importances(results)) <= 1


@pytest.mark.parametrize(("trials", "domains"), [(6, None), (24, {})])
def test_importances_need_trials_and_hyperparameters(sweep: Run, trials: int, domains: dict[str, Any] | None):
    results = sweep(trials=trials, domains=domains)
    assert importances(results) == []
    if domains is None:
        assert "Not estimated: it takes 10 trials" in words(hyperparameters.importance(results))


def test_one_varying_hyperparameter_has_a_report(sweep: Run, tmp_path):
    from ray import tune

    results = sweep(domains={"lr": tune.loguniform(1e-5, 1e-1)})
    assert any(line.startswith("Only lr varies; the best") for line in findings(results))
    assert hyperparameters.planes(results) == hyperparameters.contours(results) == ""
    assert report.write_report(results, tmp_path / "report.html").exists()


def test_good_values_at_an_edge_ask_for_a_wider_space(large: Results):
    results = with_objective(large, lambda trials: 1 / trials["config.lr"] ** 2)
    line = next(line for line in findings(results) if line.startswith("lr"))
    assert re.search(r"the best 10 lie between \S+ and \S+, at the space's upper edge, 0.1: widen it\.", line)
    results = with_objective(large, lambda trials: trials["config.lr"] ** 2)
    assert "at the space's lower edge, 1e-5: widen it." in next(x for x in findings(results) if x.startswith("lr"))


def test_one_value_that_all_the_best_share_is_no_range(large: Results):
    """As of `choice([0, uniform(0.4, 0.8)])`, whose numbers begin at 0.4."""
    trials = large.trials.copy()
    trials["config.lr"] = trials["config.lr"].where(trials["number"] % 2 == 0, 0.0)
    results = with_objective(replace(large, trials=trials), lambda trials: (trials["config.lr"] > 0) + 1e-3)
    line = next(line for line in findings(results) if line.startswith("lr"))
    assert line.endswith("; the best 10 all have 0.")
    inside = with_objective(
        large, lambda trials: trials["config.lr"].map(lambda x: abs(len(f"{x:.0e}") and x - 1e-3)) + 1e-6
    )
    assert "the next sweep can keep to that" in next(line for line in findings(inside) if line.startswith("lr"))


def test_a_favourite_option_is_named_with_its_share_of_all(large: Results):
    results = with_objective(
        large, lambda t: (t["config.activation"] == "relu").map({True: 1.0, False: 5.0}) + t.number / 1e3
    )
    line = next(line for line in findings(results) if line.startswith("activation explains"))
    assert re.search(r"; 10 of the best 10 have relu, of all trials \d\d%\.", line)


def test_scales_know_the_space(large: Results):
    assert bounds(large, "config.lr") == (1e-5, 1e-1)
    assert bounds(large, "config.width") == (8, 127)  # randint excludes its end
    assert bounds(large, "config.dropout") == (0.0, 0.5)  # inside a choice
    assert bounds(large, "config.activation") is None
    assert is_log_scale(large, "config.lr")
    assert not is_log_scale(large, "config.width")
    units = unit_values(large, large.trials["config.dropout"])
    assert units.isna().equals(large.trials["config.dropout"].isna())
    assert units.dropna().between(0, 1).all()


def test_rungs_count_who_was_stopped_where(sweep: Run):
    results = sweep(trials=30)  # grace 1 of 12 epochs, reduction factor 3
    html = progress.rungs(results)
    decided = results.epochs[results.epochs.decision == "stop"].epoch.value_counts()
    assert decided.sum() == results.counts["stopped"]
    for epoch, count in decided.items():
        reached = (results.epochs.epoch == epoch).sum()
        assert f"epoch {epoch} {reached} {count} {reached - count} " in re.sub(" +", " ", words(html))
    went_on, stopped = figures(html)[0]["data"]
    assert (went_on["name"], stopped["name"]) == ("went on", "stopped")
    assert len(stopped["x"]) == results.counts["stopped"]
    saved = 12 * results.counts["stopped"] - results.trials[results.trials.status == "stopped"].epochs.sum()
    assert f"That is {saved} epochs" in words(html)
    assert progress.rungs(sweep(name="full", scheduler="none")) == ""


def test_the_timeline_has_a_row_for_each_place_and_shows_gaps(sweep: Run):
    results = sweep(concurrency=3)
    assert lanes(results).lane.nunique() == 3
    for _, trials in lanes(results).groupby("lane"):
        assert (trials.since.iloc[1:].to_numpy() >= trials.until.iloc[:-1].to_numpy() - 0.5).all()
    later = results.trials.copy()
    later.loc[later.number >= 12, ["started_at", "ended_at"]] += pd.Timedelta(seconds=1000)
    gap = replace(results, trials=later)
    idle = idle_times(lanes(gap))
    assert idle.until.sub(idle.since).max() > 900
    html = timeline(gap)
    assert "The longest gap: 1" in words(html)
    assert {trace["name"] for trace in figures(html)[0]["data"]} >= {"idle", "completed", "stopped"}
    assert any("stood empty" in line for line in findings(gap))


def test_the_distribution_counts_every_ranked_trial(sweep: Run):
    results = sweep(failing=lambda number: "boom" if number == 2 else None)
    html = progress.distribution(results)
    assert sum(sum(trace["y"]) for trace in figures(html)[0]["data"]) == len(results.ranked) == 23
    assert "count mean std min 25% 50% 75% max 23" in re.sub(" +", " ", words(html))


def three_dimensional() -> dict[str, Any]:
    from ray import tune

    return {"lr": tune.loguniform(1e-5, 1e-1), "width": tune.randint(8, 128), "weight_decay": tune.uniform(0, 1)}


def test_a_three_dimensional_search_has_its_three_planes(sweep: Run):
    html = hyperparameters.planes(sweep(domains=three_dimensional()))
    drawn = figures(html)
    titles = {frozenset(f["layout"][axis]["title"]["text"] for axis in ("xaxis", "yaxis")) for f in drawn}
    names = ("lr", "width", "weight_decay")
    assert titles == {frozenset((a, b)) for a in names for b in names if a != b}
    assert len(drawn) == 3
    assert "The 3 planes of" in words(html)


def test_two_hyperparameters_have_one_plane(sweep: Run):
    domains = {name: domain for name, domain in three_dimensional().items() if name != "lr"}
    html = hyperparameters.planes(sweep(domains=domains))
    assert len(figures(html)) == 1
    assert re.search(r"The plane of (width and weight_decay|weight_decay and width)", words(html))


def test_the_area_of_a_loss_grows_with_its_rank(sweep: Run):
    html = hyperparameters.planes(sweep())
    for figure in figures(html):
        (trace,) = figure["data"]
        sizes = trace["marker"]["size"]
        assert sizes == sorted(sizes, reverse=True)
        assert (sizes[0], sizes[-1]) == (pytest.approx(0.2 * 2**10), pytest.approx(0.2))
        assert trace["marker"]["sizemode"] == "area"
    assert "v falls evenly from 1, the best val_loss, to 0, the worst: by rank" in words(html)


def test_the_area_of_an_accuracy_grows_as_published(sweep: Run, accurate):
    results = sweep(task=accurate, domains=three_dimensional())
    share = replace(results, trials=results.trials.assign(objective=results.trials["objective"].clip(0.1, 0.9)))
    html = hyperparameters.planes(share)
    for figure in figures(html):
        (trace,) = figure["data"]
        areas = [0.2 * (1 + value) ** 10 for value in trace["customdata"]]
        assert trace["marker"]["size"] == pytest.approx(areas)
    assert "0.2 (1 + v)^10 square points, where v is the iou" in words(html)


def test_every_pair_of_the_most_important_has_contours(sweep: Run):
    results = sweep()
    drawn = figures(hyperparameters.contours(results))
    names = [column.removeprefix("config.") for column in hyperparameters.by_importance(results)[:3]]
    titles = [(f["layout"]["xaxis"]["title"]["text"], f["layout"]["yaxis"]["title"]["text"]) for f in drawn]
    assert set(titles) <= {(a, b) for a in names for b in names}
    assert all(figure["data"][0]["type"] == "contour" for figure in drawn)
    assert drawn


def test_what_never_reached_the_model_is_warned_of(sweep: Run):
    results = sweep(trials=12)
    assert without_effect(results) == []
    digests = [f"d{number // 2}" for number in range(12)]
    same = replace(
        results, trials=results.trials.assign(digest=digests, first_loss=[number // 2 for number in range(12)])
    )
    (line,) = without_effect(same)
    assert line.startswith("Warning: 12 trials have other configurations")
    assert "lr" in line
    assert findings(same)[0] == line
    apart = replace(results, trials=results.trials.assign(digest=digests, first_loss=range(12)))
    assert without_effect(apart) == []
    unknown = replace(results, trials=results.trials.assign(digest=None, first_loss=None))
    assert without_effect(unknown) == []


def repeated(results: Results, means: dict[str, float]) -> Results:
    """As after `--confirm`: each of these trials trained three times again, around these means."""
    rows = [results.trials.assign(confirms=None)]
    for trial_id, mean in means.items():
        again = results.trials[results.trials.trial_id == trial_id].assign(confirms=trial_id, status="completed")
        for part in (0.9, 1.0, 1.1):
            number = len(results.trials) + len(rows)
            rows.append(again.assign(trial_id=f"{number:05d}", number=number, objective=mean * part))
    return replace(results, sweep={**results.sweep, "repeats": 3}, trials=pd.concat(rows, ignore_index=True))


def test_the_report_says_whether_the_first_place_was_luck(sweep: Run):
    results = sweep()
    first, second = results.ranked.trial_id[:2]
    held = report.confirmation(repeated(results, {first: 0.1, second: 0.5}))
    assert f"confirmed: trial {first}" in words(held)
    lost = repeated(results, {first: 0.5, second: 0.1})
    assert f"the winner is trial {second}: the search's first place, {first}, did not hold" in words(
        report.confirmation(lost)
    )
    assert figures(held)[0]["data"][1]["y"] == pytest.approx([0.1, 0.5])
    assert list(lost.ranked.trial_id) == list(results.ranked.trial_id)
    assert report.confirmation(results) == ""


def test_repeats_are_no_curves_of_the_search(sweep: Run):
    results = sweep()
    first = results.ranked.trial_id.iloc[0]
    confirmed = repeated(results, {first: 0.1})
    extra = results.epochs[results.epochs.trial_id == first].assign(trial_id=confirmed.trials.trial_id.iloc[-1])
    confirmed.__dict__["epochs"] = pd.concat([results.epochs, extra])
    assert confirmed.trials.trial_id.iloc[-1] not in progress.learning_curves(confirmed)


def test_without_a_checkpoint_the_gallery_says_so(sweep: Run):
    assert "is not on this machine" in words(gallery.gallery(sweep(trials=2)))


def test_folds_and_missing_values_have_a_report(sweep: Run, tmp_path):
    results = sweep(failing=lambda number: "nan" if number % 5 == 0 else None)
    folded = replace(results, trials=results.trials.assign(fold=[number % 2 for number in range(24)], node=None))
    folded.sweep.pop("space")
    assert report.write_report(folded, tmp_path / "report.html").exists()

"""The process that draws: sections of the report, filters by SQL, summaries of a list, by the tables of sweeps.

It is one of its own, started when something is to be drawn and ended when nothing is: what it takes of memory and of
a core is not the server's, and it makes room for everything else on the machine. A request is a line of JSON on
standard input, its answer one on standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.records import columns as c
from balltrain.records.results import Results, load_results, plain, summarise
from balltrain.reporting import best_configuration, comparison, hyperparameters, progress, query, report
from balltrain.reporting.feasibility import infeasible
from balltrain.reporting.front import front
from balltrain.reporting.pauses import pauses
from balltrain.reporting.timeline import timeline
from balltrain.serving.parts import title_of, tree_of
from balltrain.storage import MARKS_FILE

NICENESS = 10
SPARK_POINTS = 40
# `quick` takes what `slow` does not: forests and Optuna's contours
GROUPS: dict[str, tuple[Callable[[Results], str], ...]] = {
    "quick": (
        best_configuration.best_config,
        report.marked,
        report.confirmation,
        front,
        progress.learning_curves,
        progress.best_so_far,
        progress.distribution,
        progress.rungs,
        infeasible,
        pauses,
        timeline,
        report.failures_table,
        report.provenance,
    ),
    "slow": (
        report.said,
        hyperparameters.importance,
        hyperparameters.parallel_coordinates,
        hyperparameters.slices,
        hyperparameters.planes,
        hyperparameters.contours,
    ),
}


def main() -> None:
    """Answer one request after the other until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    desk = _Desk()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer: dict[str, Any] = {"found": getattr(desk, request.pop("what"))(**request)}
        except BalltrainError as error:
            answer = {"error": str(error)}
        except Exception as error:  # of one figure: the page says so, and shows the others
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer, default=plain, separators=(",", ":")).replace("NaN", "null") + "\n")
        answers.flush()


class _Desk:
    """A method a kind of request. Keeps the results that were last read."""

    def __init__(self) -> None:
        self._results: dict[str, tuple[Any, Results]] = {}

    def sections(self, root: str, name: str, group: str) -> list[dict[str, Any]]:
        """Title and nodes of each section that has something to show; of one that fails, why."""
        results, found = self._load(root, name), []
        for draw in GROUPS[group]:
            try:
                nodes = tree_of(draw(results))
            except Exception as error:
                why = f"{draw.__name__.replace('_', ' ')}: {type(error).__name__}: {error}"
                nodes = [["section", {}, [["p", {"class": "note"}, [f"Not drawn: {why}"]]]]]
            if nodes:
                found.append({"id": draw.__name__, "title": title_of(nodes), "nodes": nodes})
        return found

    def select(self, root: str, name: str, where: str | None, sort: str | None) -> list[str]:
        """The ids of the trials that fulfil a condition, in the order that is asked for."""
        chosen = query.select(self._load(root, name), where, sort)
        return [str(trial_id) for trial_id in chosen.trials[c.TRIAL_ID]]

    def trial(self, root: str, name: str, trial_id: str) -> dict[str, Any]:
        """Curves of one trial, its whole configuration beside the best's, and the command that trains it again."""
        results = self._load(root, name)
        rows = results.trials[results.trials[c.TRIAL_ID] == trial_id]
        if rows.empty:
            raise BalltrainError(f"trial {trial_id} is not in the tables yet: they are written every 20 s")
        trial = rows.iloc[0]
        best = None if results.best is None else results.config(results.best)
        return {
            "curves": tree_of(progress.trial_curves(results, trial)),
            "config": results.config(trial),
            "best": best,
            "command": None if results.sweep.get("program") else best_configuration.train_command(results, trial),
        }

    def summaries(self, root: str, names: list[str]) -> list[dict[str, Any]]:
        """What a list shows of sweeps, and how each one's best came about."""
        return [self._summary(Path(root), name) for name in names]

    def compare(self, root: str, names: list[str]) -> dict[str, Any]:
        """Several sweeps beside each other: remarks, curves, distributions, what differs."""
        nodes = tree_of(comparison.comparison([self._load(root, name) for name in names]))
        return {"nodes": nodes}

    def pictures(self, root: str, name: str, trial_id: str, data_dir: str | None = None) -> list[str]:
        """Predictions of a trial's checkpoint as data: URLs. Runs the task's code, as the report does."""
        from balltrain.reporting.gallery import encoded, own_pictures, sample_predictions

        checkpoint = Path(root) / name / "checkpoints" / trial_id
        if not checkpoint.is_dir():
            raise BalltrainError(
                f"trial {trial_id} has no checkpoint on this machine: those of the best and of the running are kept"
            )
        with tempfile.TemporaryDirectory(prefix="balltrain-page-") as folder:
            paths = own_pictures(checkpoint)
            if not paths:
                paths = sample_predictions(checkpoint, Path(data_dir) if data_dir else None, Path(folder))[0]
            return [f"data:image/webp;base64,{encoded(path)}" for path in paths]

    def _summary(self, root: Path, name: str) -> dict[str, Any]:
        summary = summarise(root / name)
        summary["spark"], summary["mode"] = [], "min"
        with contextlib.suppress(BalltrainError, KeyError, ValueError):
            from balltrain.reporting.history import history

            results = load_results(root, name)
            best = history(results)["best"].dropna()
            step = max(1, -(-len(best) // SPARK_POINTS))
            values = best.iloc[::step].tolist() + best.iloc[-1:].tolist()
            summary |= {"spark": values, "mode": results.mode, "epochs": results.num_epochs}
            summary["ended"] = results.sweep.get("ended_at")
        return summary

    def _load(self, root: str, name: str) -> Results:
        folder = Path(root) / name
        files = [folder / file for file in ("sweep.json", c.TRIALS_FILE, c.EPOCHS_FILE, MARKS_FILE)]
        version = [path.stat().st_mtime_ns if path.exists() else None for path in files]
        known = self._results.get(str(folder))
        if known is None or known[0] != version:
            if len(self._results) > 4:
                self._results.clear()
            known = self._results[str(folder)] = (version, load_results(Path(root), name))
        return known[1]


if __name__ == "__main__":
    main()

"""The report's section on the best configuration: its values, and the command that trains it again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from balltrain.records import columns as c
from balltrain.records.results import Results
from balltrain.reporting.page import command, definitions, details, paragraph, section
from balltrain.reporting.text import quoted, short

if TYPE_CHECKING:
    import pandas as pd


def best_config(results: Results) -> str:
    if results.best is None:
        return ""
    config = results.config(results.best)
    names = [column.removeprefix(c.CONFIG_PREFIX) for column in results.varied] or [*config]
    others = [(name, readable(value)) for name, value in config.items() if name not in names]
    parts = [definitions([(name, readable(config[name])) for name in names])]
    if others:
        parts.append(details(f"{len(others)} other hyperparameter{'s' * (len(others) != 1)}", definitions(others)))
    if results.sweep.get("program"):
        parts.append(paragraph(f"What it has kept is in {results.checkpoint}."))
    else:
        parts += [paragraph("Train it again:"), command(train_command(results))]
        parts += [paragraph("Evaluate its checkpoint:"), command(f"balltrain evaluate {quoted(results.checkpoint)}")]
    return section("Best configuration", *parts)


def train_command(results: Results, trial: pd.Series | None = None) -> str:
    """`balltrain train …` for a trial, the best unless given: what varies, and what the sweep fixed.

    Of a notebook's task it is Python.
    """
    trial = results.best if trial is None else trial
    assert trial is not None
    sweep, config = results.sweep, results.config(trial)
    given = {**(sweep.get("hyperparameters") or {}), **(sweep.get("space") or {})}
    names = dict.fromkeys([*(column.removeprefix(c.CONFIG_PREFIX) for column in results.varied), *given])
    if sweep.get("task_code") and not sweep.get("task_file"):  # a class of a notebook's cell
        chosen = "".join(f", {name}={config[name]!r}" for name in {"epochs": None, **names} if name in config)
        return f"balltrain.train(TASK{chosen})  # the class of the task {sweep.get('task')}"
    words = ["balltrain", "train", str(sweep.get("task_file") or sweep.get("task"))]
    if epochs := config.get("epochs") or sweep.get("epochs"):
        words += ["--epochs", str(epochs)]
    for name in names:
        if name in config and name != "epochs":
            words += ["--set", f"{name}={set_text(config[name])}"]
    for option, value in (sweep.get("data") or {}).items():
        if option in ("source", "size", "seed") and value:
            words += [f"--{option}", str(value)]
    return " ".join(quoted(word) for word in words)


def set_text(value: Any) -> str:
    """As `--set` reads it, which takes for JSON all that can be: the text 18 needs its quotes."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value) if value in ("None", "True", "False") else value
    return json.dumps(value)


def readable(value: Any) -> str:
    """A hyperparameter's value as a page shows it."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return short(value, 6)
    return value if isinstance(value, str) else json.dumps(value)

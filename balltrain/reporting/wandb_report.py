"""A sweep's report in W&B, made of its panels over the runs of the sweep's group."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.records import columns as c
from balltrain.records.results import Results
from balltrain.reporting.findings import findings
from balltrain.reporting.hyperparameters import by_importance
from balltrain.reporting.occupancy import running_seconds
from balltrain.reporting.progress import saving
from balltrain.reporting.scales import is_choice, is_log, is_log_scale
from balltrain.reporting.text import duration, short
from balltrain.tracking.wandb import MAX_GROUP, has_key, unreachable
from balltrain.tracking.wandb_environment import entity, project, told_mode

SPECIFICATION = "wandb_report.json"
NUM_PARALLEL = 8  # axes that can be told apart


def publish(results: Results, folder: Path) -> str:
    """Save the report in W&B and return its URL; without a key return what is missing.

    Its specification is written to `folder` in any case. Raises BalltrainError where W&B does not take it.
    """
    path = folder / SPECIFICATION
    owner = entity() or ""
    _write(build_report(results, owner), path)
    mode, said = told_mode() or ("online", "")
    if mode != "online":
        return f"{said} keeps W&B offline, so that no report was made there. Its specification is in {path}"
    if not has_key():
        return (
            "W&B has no key, so that no report was made there: `wandb login` or set WANDB_API_KEY, then ask again. "
            f"Its specification is in {path}"
        )
    try:
        if reason := unreachable():
            raise ConnectionError(reason)
        import wandb

        return str(build_report(results, owner or wandb.Api().default_entity or "").save().url)
    except Exception as error:  # W&B's client raises whatever its server, its network and its own checks do
        reason = " ".join(str(error).split())[:200]
        raise BalltrainError(f"W&B did not take the report: {reason}; its specification is in {path}") from error


def build_report(results: Results, owner: str) -> Any:
    """Our summary, curves, importances, parallel coordinates, and the table of the runs: W&B's `Report`."""
    # by its name, because its module says nothing of what it exports, and a type checker then sees nothing of it
    wr: Any = import_module("wandb_workspaces.reports.v2")

    objective = wr.SummaryMetric("objective")
    columns = dict.fromkeys([results.objective_column, c.VAL_LOSS, *results.metrics, c.SECONDS])
    beside = {column: results.training_column(column) for column in columns}
    curves = [
        _curve(column.removeprefix(c.METRIC_PREFIX), of_training and of_training.removeprefix(c.METRIC_PREFIX))
        for column, of_training in beside.items()
        if column not in beside.values()  # it is in the panel of validation's
    ]
    axes = [
        wr.ParallelCoordinatesPlotColumn(
            metric=wr.Config(column.removeprefix(c.CONFIG_PREFIX)),
            log=not is_choice(results, column) and is_log_scale(results, column),
        )
        for column in by_importance(results)[:NUM_PARALLEL]
    ]
    is_loss = results.mode == "min" and is_log(results.ranked[c.OBJECTIVE])
    axes.append(wr.ParallelCoordinatesPlotColumn(metric=objective, log=is_loss, inverted=results.mode == "min"))
    # a run set that names no project is the report's own: one that does is looked up, which takes a key
    runs = wr.Runset(
        name=results.name,
        filters=f"Metric('group') == {results.name[:MAX_GROUP]!r}",
        order=[wr.OrderBy(name=objective, ascending=results.mode == "min")],
    )
    panels: list[Any] = [
        *curves,
        wr.ParameterImportancePlot(with_respect_to="objective"),
        wr.ParallelCoordinatesPlot(axes),
    ]
    return wr.Report(
        project=project(),
        entity=owner,
        title=results.name[:128],
        description=f"{results.sweep.get('task')}: {results.objective_name}",
        blocks=[wr.MarkdownBlock(summary(results)), wr.PanelGrid(runsets=[runs], panels=panels)],
        width="fluid",
    )


def summary(results: Results) -> str:
    """What the report says in words, as Markdown."""
    lines = [
        f"**{len(results.trials)} trials**, {results.num_epochs} epochs in {duration(running_seconds(results))}."
    ]
    if results.best is not None:
        best = results.best
        lines.append(f"Trial `{best[c.TRIAL_ID]}` has {results.objective_name} **{short(best[c.OBJECTIVE])}**.")
        config = results.config(best)
        names = [column.removeprefix(c.CONFIG_PREFIX) for column in results.varied]
        rows = [f"| {name} | `{json.dumps(config[name])}` |" for name in names]
        lines.append("\n".join(["| hyperparameter | best |", "|---|---|", *rows]) if rows else "")
    lines += [saving(results), *(f"- {line}" for line in findings(results))]
    lines.append(f"Data fingerprint `{results.sweep.get('data_fingerprint')}`, seed {results.sweep.get('seed')}.")
    return "\n\n".join(line for line in lines if line)


def _curve(name: str, of_training: str | None) -> Any:
    """A figure by epoch, and that of the training batches in the same panel."""
    wr: Any = import_module("wandb_workspaces.reports.v2")
    names = [name, *([of_training] if of_training else [])]
    return wr.LinePlot(title=name, x="epoch", y=names, log_y=name.endswith("loss"), max_runs_to_show=100)


def _write(report: Any, path: Path) -> None:
    model = report._to_model()  # `save` alone makes one publicly, and sends it
    specification = {
        "project": report.project,
        "entity": report.entity,
        "displayName": report.title,
        "description": report.description,
        "spec": json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True)),
    }
    try:
        path.write_text(json.dumps(specification, indent=1))
    except OSError as error:
        raise BalltrainError(f"cannot write {path}: {error.strerror or error}") from error

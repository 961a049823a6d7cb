"""A sweep as an Optuna study, for optuna-dashboard and for whoever works with Optuna."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from balltrain.errors import BalltrainError, UsageError
from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.results import Results, plain
from balltrain.reporting.scales import DOMAINS

if TYPE_CHECKING:
    import pandas as pd
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

MARK = "balltrain"  # attribute of a study that this module wrote, and may write anew


def export_study(results: Results, url: str) -> int:
    """Write the sweep into the Optuna storage `url` as a study of its name; returns the number of trials.

    A study that an earlier export wrote is replaced. Raises UsageError where `url` is none that Optuna knows,
    BalltrainError where it cannot be written, or holds a study of that name that is not an export.
    """
    import optuna
    from optuna.study import StudyDirection
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    configs = [results.config(row) for _, row in results.trials.iterrows()]
    distributions = distributions_of(results.sweep.get("space") or {}, configs)
    curves = {
        trial_id: dict(zip(epochs[c.EPOCH], epochs[results.objective_column], strict=True))
        for trial_id, epochs in results.epochs.groupby(c.TRIAL_ID)
    }
    trials = [
        _trial(row, config, curves.get(row[c.TRIAL_ID], {}), distributions, _values(results, at))
        for (at, row), config in zip(results.trials.iterrows(), configs, strict=True)
    ]
    modes = [results.mode] if results.goals is None else [o.mode for o in results.goals.objectives]
    directions = [StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE for mode in modes]
    try:
        storage = optuna.storages.get_storage(url)
        _make_room(storage, results.name, url)
        study_id = storage.create_new_study(directions, results.name)
        for name, value in {MARK: True, **_facts(results)}.items():
            storage.set_study_user_attr(study_id, name, value)
        for trial in trials:
            storage.create_new_trial(study_id, trial)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise UsageError(f"--optuna {url}: {_line(error)}; give a URL such as sqlite:///study.db") from None
    except (SQLAlchemyError, OSError, optuna.exceptions.StorageInternalError) as error:
        raise BalltrainError(f"cannot write the study to {url}: {_line(error)}") from error
    return len(trials)


def distributions_of(space: Mapping[str, Any], configs: list[dict[str, Any]]) -> dict[str, BaseDistribution]:
    """By hyperparameter, what a space (as in sweep.json) and its trials say of it; none for those with one value.

    Alternatives of a choice become one: numbers and ranges the range around them all. Other options beside a
    range, such as none for no dropout, are trials without that parameter.
    """
    options: dict[str, list[Any]] = {}
    known = {name for config in configs for name in config}
    for name, description in space.items():
        for key, option in _options(name, description, known):
            options.setdefault(key, []).append(option)
    found = {
        name: _distribution(described, [_value(config[name]) for config in configs])
        for name, described in options.items()
        if name in known
    }
    return {name: distribution for name, distribution in found.items() if distribution is not None}


def _options(name: str, description: Any, known: set[str]) -> Iterator[tuple[str, Any]]:
    """(hyperparameter, range or value) for each alternative that a space, as `Space.to_json` has it, allows."""
    if isinstance(description, Mapping):
        if set(description) == {"choice"}:
            for option in description["choice"]:
                yield from _options(name, option, known)
            return
        if not set(description) & set(DOMAINS) and set(description) <= known:  # sets several hyperparameters
            for key, inner in description.items():
                yield from _options(key, inner, known)
            return
    yield name, description


def _distribution(options: list[Any], tried: list[Any]) -> BaseDistribution | None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    domains = [option for option in options if isinstance(option, Mapping) and set(option) & set(DOMAINS)]
    if not domains:
        choices = list({json.dumps(value): value for value in [*map(_value, options), *tried]}.values())
        return CategoricalDistribution(choices) if len(choices) > 1 else None
    kinds = {kind for domain in domains for kind in domain if kind in DOMAINS}
    bounds: list[float] = []
    for domain in domains:
        ((kind, (low, high)),) = ((kind, domain[kind]) for kind in domain if kind in DOMAINS)
        # without a step, the upper end of integers is not among them
        bounds += [low, high - 1 if kind.endswith("int") and "step" not in domain else high]
    numbers = [
        value for value in [*options, *tried] if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    bounds += numbers
    log = all(kind.startswith("log") for kind in kinds) and min(bounds) > 0
    if all(kind.endswith("int") for kind in kinds) and all(float(bound).is_integer() for bound in bounds):
        return IntDistribution(int(min(bounds)), int(max(bounds)), log=log)
    return FloatDistribution(min(bounds), max(bounds), log=log)


def _values(results: Results, at: Any) -> list[float] | None:
    """Of each objective; None where the trial lacks one."""
    values = [plain(value) for value in results.figures.loc[at]]
    return None if any(value is None for value in values) else values


def _trial(
    row: pd.Series,
    config: dict[str, Any],
    curve: dict[int, float],
    distributions: dict[str, BaseDistribution],
    values: list[float] | None,
) -> FrozenTrial:
    import optuna
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import TrialState

    params = {
        name: value
        for name, value in ((name, _value(config[name])) for name in distributions)
        if isinstance(distributions[name], CategoricalDistribution) or isinstance(value, int | float)
    }
    state = {
        Status.COMPLETED: TrialState.COMPLETE,
        Status.STOPPED: TrialState.PRUNED,
        Status.FAILED: TrialState.FAIL,
        Status.INFEASIBLE: TrialState.PRUNED,  # Optuna has no word for it; the attribute status says it
    }.get(row[c.STATUS], TrialState.RUNNING)
    if state not in (TrialState.COMPLETE, TrialState.PRUNED):
        values = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lists, as JSON text, are fine as choices
        trial = optuna.trial.create_trial(
            state=state,
            values=values,
            params=params,
            distributions={name: distributions[name] for name in params},
            intermediate_values={int(epoch): float(value) for epoch, value in curve.items() if value == value},
            user_attrs=_attributes(row, config),
        )
    trial.datetime_start = _local(row[c.STARTED_AT])
    trial.datetime_complete = _local(row[c.ENDED_AT]) if state.is_finished() else None
    return trial


def _attributes(row: pd.Series, config: dict[str, Any]) -> dict[str, Any]:
    names = [c.TRIAL_ID, c.STATUS, c.BEST_EPOCH, c.EPOCHS, c.SECONDS, c.ERROR, c.CHECKPOINT, c.NODE, c.SEED]
    names += [c.NUM_PARAMS, c.FOLD, c.CONFIRMS, *(name for name in row.index if name.startswith(c.METRIC_PREFIX))]
    values = {name: plain(row.get(name)) for name in names}
    return {**{name: value for name, value in values.items() if value is not None}, "config": config}


def _facts(results: Results) -> dict[str, Any]:
    names = ["task", "objective", "searcher", "scheduler", "hyperparameters", "epochs", "seed", "data"]
    names += ["data_fingerprint", "git_commit", "versions"]
    return {name: results.sweep[name] for name in names if results.sweep.get(name) is not None}


def _make_room(storage: Any, name: str, url: str) -> None:
    """Delete the study of an earlier export. Raises BalltrainError for one that is not ours."""
    for study in storage.get_all_studies():
        if study.study_name == name:
            if not study.user_attrs.get(MARK):
                raise BalltrainError(f"{url} has a study {name!r} that is not of balltrain: give another --optuna")
            storage.delete_study(study._study_id)


def _value(value: Any) -> Any:
    """What Optuna takes for a choice: lists and dicts as JSON text."""
    return json.dumps(value) if isinstance(value, list | dict | tuple) else value


def _local(time: Any) -> Any:
    """Optuna's times are local ones, without a zone."""
    import pandas as pd

    return None if pd.isna(time) else time.to_pydatetime().astimezone().replace(tzinfo=None)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

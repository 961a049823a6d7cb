"""What has to hold before a sweep starts or goes on: its name, its data, and that its trials compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from balltrain.data.cache import Dataset, load_data
from balltrain.errors import BalltrainError
from balltrain.knobs import knobs_of, value_in
from balltrain.records.journal import FILE as JOURNAL_FILE
from balltrain.records.journal import first_line, read_journal
from balltrain.records.state import SweepState
from balltrain.search.plan import Plan
from balltrain.search.sweep import Sweep
from balltrain.tasks import TaskRef
from balltrain.tasks.protocols import ChecksRecorded


def load_sweep_data(plan: Plan, folder: Path, data_dir: Path | None, resume: bool) -> Dataset | None:
    """The plan's data, after everything was checked that needs no Ray, the data's fingerprint included.

    None for a program, which reads its data by itself.
    """
    check_name(folder, resume)
    dataset = task_data(plan, data_dir)
    if resume:
        header = next(read_journal(folder), None)
        if header is not None:
            state = SweepState.replay(read_journal(folder))
            _check_models(plan, state)
            _check_same(header["sweep"], {**plan.to_json(), "data_fingerprint": fingerprint_of(dataset)})
            _check_after_search(plan, state)
    return dataset


def task_data(plan: Plan, data_dir: Path | None) -> Dataset | None:
    """Built or found; None for a program."""
    if isinstance(plan.ref, TaskRef):
        return load_data(plan.ref, plan.ref.load(), plan.request, data_dir)
    return None


def fingerprint_of(dataset: Dataset | None) -> str | None:
    return None if dataset is None else dataset.fingerprint


def check_name(folder: Path, resume: bool) -> None:
    """Raises BalltrainError where a new sweep's name is taken, or a sweep to be resumed is not there."""
    exists = (folder / JOURNAL_FILE).exists()
    if exists and not resume and not _is_empty(folder):
        raise BalltrainError(
            f"{folder} holds a sweep already: add --resume to go on with it, or choose another --name"
        )
    if resume and not exists:
        raise BalltrainError(f"{folder} holds no sweep to resume: leave out --resume to start it")


def recorded_epochs(folder: Path) -> int:
    """Of the trials of a sweep's search, when it began. Raises BalltrainError where there is no sweep."""
    check_name(folder, resume=True)
    return int(first_line(folder)["sweep"]["epochs"])


def _is_empty(folder: Path) -> bool:
    """Of a journal: the machine stopped before its first line was whole, and the sweep may begin."""
    try:
        return next(read_journal(folder), None) is None
    except BalltrainError:  # damaged, or of a newer version
        return False


def _check_models(plan: Plan, state: SweepState) -> None:
    """Raises BalltrainError where trials are of models that were replaced by others of the same name."""
    if not isinstance(plan.task, ChecksRecorded):
        return
    for trial in state.trials.values():
        try:
            plan.task.check_recorded(trial.config)
        except BalltrainError as error:
            raise BalltrainError(f"cannot resume {plan.name}: {error}") from error


def _check_same(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises BalltrainError where a resumed sweep would mix trials that do not compare."""
    new = json.loads(json.dumps(new))  # as it was read back
    differences = [
        ("another task", old.get("task"), new["task"]),
        ("another space", old.get("space"), new["space"]),
        *((e.knob.mixes, value_in(old, e), value_in(new, e)) for e in knobs_of(Sweep) if e.knob.mixes),
        ("other data", old.get("data_fingerprint"), new["data_fingerprint"]),
    ]
    for what, had, has in differences:
        if had != has:
            raise BalltrainError(
                f"cannot resume {old['name']} with {what}: it has {_brief(had)}, now it is {_brief(has)}"
            )


def _check_after_search(plan: Plan, state: SweepState) -> None:
    """Raises BalltrainError where what follows the search would not compare with what is there, or cannot begin."""
    cannot, trials = f"cannot resume {plan.name}", state.trials.values()
    for trial in trials:
        after_search = trial.continued_after is not None or trial.confirms is not None
        epochs = trial.config["epochs"] if after_search else plan.most_epochs
        if epochs != plan.most_epochs and trial.confirms is not None:
            raise BalltrainError(
                f"{cannot} to continue to epoch {plan.most_epochs}: its best were confirmed with {epochs} epochs, "
                "which would not compare; search under another name"
            )
        if epochs != plan.most_epochs:
            options = f"--continue-best {state.sweep['continue_best']} --continue-epochs {epochs}"
            raise BalltrainError(f"{cannot} without its second stage, which goes on to epoch {epochs}: add {options}")
    confirmed = state.sweep.get("confirm") or 0
    if plan.sweep.confirm < confirmed and any(trial.confirms is not None for trial in trials):
        raise BalltrainError(
            f"{cannot} with {plan.sweep.confirm} configurations to confirm: of {confirmed} some repeats were "
            f"trained, and none wins before all were; add --confirm {confirmed}"
        )
    to_continue = state.to_continue(plan.sweep.continue_best)
    without = [trial for trial in to_continue if not trial.has_checkpoint]
    if without:
        possible = plan.sweep.continue_best - len(to_continue) + to_continue.index(without[0])
        raise BalltrainError(
            f"{cannot} to continue the best {plan.sweep.continue_best}: the checkpoint of trial "
            f"{without[0].trial_id} was not kept, which leaves the best {possible}"
        )


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 120 else text[:117] + "…"

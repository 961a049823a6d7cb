"""`balltrain train`: a sweep of one trial, or one a fold, in this process. It leaves the same files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.execution.interrupts import Interrupts, interruptible
from balltrain.execution.keeping import finish_sweep
from balltrain.execution.placement import Placement, local_resources, place
from balltrain.execution.requested import stop_all
from balltrain.execution.resuming import load_sweep_data
from balltrain.execution.runner import SweepResult
from balltrain.execution.sweep_folder import sweep_files
from balltrain.execution.trial import TrialContext, describe, train
from balltrain.records.columns import Decision
from balltrain.records.requests import Answer, Requests, StopRequest
from balltrain.search import policy
from balltrain.search.attempts import Attempt
from balltrain.search.controller import Controller
from balltrain.search.plan import Plan
from balltrain.search.policy import Cause
from balltrain.storage import Storage
from balltrain.tasks.user_code import exits_as_errors
from balltrain.tracking.mirrors import NO_MIRRORS, Mirrors, mirrored
from balltrain.training.rows import EpochRow


class _TrialEnded(Exception):
    """Raised through the epoch loop by the report that ends it."""


def train_once(
    plan: Plan,
    folder: Path,
    *,
    num_gpus: int | None,
    data_dir: Path | None,
    mirrors: Mirrors = NO_MIRRORS,
    resume: bool,
    on_start: Callable[[Controller, Placement], contextlib.AbstractContextManager[Any]] | None = None,
    on_phase: Callable[[str], None] = lambda phase: None,
    on_interrupt: Callable[[], None] = lambda: None,
) -> SweepResult:
    """Run the trial of a plan here, or those of its folds, without Ray.

    Raises BalltrainError where it cannot run, or fails."""
    start = time.monotonic()
    placement = _place_here(num_gpus)
    with interruptible(on_interrupt) as interrupts, contextlib.ExitStack() as stack:
        on_phase("preparing the data")
        dataset = load_sweep_data(plan, folder, data_dir, resume)
        on_phase("")
        journal, state = stack.enter_context(sweep_files(plan, folder, dataset, placement.to_json(), resume))
        controller = Controller(plan, state, journal, concurrency=1)
        context = TrialContext.of(plan, dataset, folder, placement, data_dir=data_dir)
        view = on_start(controller, placement) if on_start else contextlib.nullcontext()
        stack.enter_context(mirrored(folder, mirrors.build(folder, data_dir), interrupts.patience))
        requests = Requests(Storage(str(folder.parent)), folder.name)
        with view, interrupts.heard(raises_when_overdue=True), requests.heard(partial(_answer, interrupts)):
            _run(controller, context, interrupts)
        finish_sweep(controller, folder)
    return SweepResult(plan, folder, state, time.monotonic() - start, controller.interrupted)


def _answer(interrupts: Interrupts, request: StopRequest) -> Answer:
    if request.trial is not None:
        return Answer(False, "a training is stopped as a whole: leave out --trial")
    return stop_all(request, interrupts)


def _run(controller: Controller, context: TrialContext, interrupts: Interrupts) -> None:
    """The trials of the plan, one after the other: one, or one a fold. None are left when it was complete."""
    try:
        while (attempt := controller.next_attempt()) is not None:
            with contextlib.suppress(_TrialEnded):
                _run_attempt(controller, context, attempt, interrupts)
    except KeyboardInterrupt:
        controller.interrupted = True
        for number in sorted(controller.live):
            controller.fail(number, Cause.NODE_LOST, "the training was ended within an epoch")
        if interrupts.at_once or not interrupts.overdue:
            raise


def _run_attempt(controller: Controller, context: TrialContext, attempt: Attempt, interrupts: Interrupts) -> None:
    def report(row: EpochRow) -> None:
        controller.interrupted = controller.interrupted or interrupts.asked
        if controller.report(attempt.number, row) != Decision.CONTINUE:
            raise _TrialEnded

    try:
        with exits_as_errors():  # nobody would be there to tell of it, as Ray is of a trial's process
            train(attempt, context, report)
    except _TrialEnded:
        raise
    except Exception as error:
        # tried again by the user, not by us: what they see is the error itself
        storage = policy.cause_of(error) == Cause.STORAGE
        controller.fail(attempt.number, Cause.STORAGE if storage else Cause.DETERMINISTIC, describe(error))
        if isinstance(error, BalltrainError):
            raise
        raise BalltrainError(f"the training failed: {describe(error)}") from error
    controller.complete(attempt.number)


def _place_here(num_gpus: int | None) -> Placement:
    there = local_resources()
    wanted = min(1, int(there["GPU"])) if num_gpus is None else num_gpus
    return place([there], num_gpus=wanted, gpus_per_trial=None, workers_per_trial=1, cpus_per_trial=there["CPU"])

"""Runs a plan: connects the controller to Ray Tune, keeps the journal and the tables, ends with the best trial."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from balltrain.background import every
from balltrain.errors import BalltrainError
from balltrain.execution.interrupts import interruptible
from balltrain.execution.keeping import deleted_checkpoints, finish_sweep
from balltrain.execution.node_checks import check_nodes, environment, versions
from balltrain.execution.nodes import nodes_expected, wait_for_first_trial
from balltrain.execution.placement import Placement, local_resources
from balltrain.execution.ray_session import place_on_cluster, ray_session
from balltrain.execution.resources import Resources
from balltrain.execution.resuming import load_sweep_data
from balltrain.execution.sweep_folder import sweep_files
from balltrain.execution.trial import TrialContext, run_attempt
from balltrain.records.journal import read_journal
from balltrain.records.state import SweepState
from balltrain.records.tables import write_tables
from balltrain.search.controller import Controller
from balltrain.search.plan import Plan
from balltrain.storage import Storage
from balltrain.tracking.mirrors import NO_MIRRORS, Mirrors, mirrored

COMPACT_EVERY_S = 20.0
LOOK_AT_NODES_EVERY_S = 5.0


@dataclass
class SweepResult:
    """A sweep that ended, or was interrupted."""

    plan: Plan
    folder: Path
    state: SweepState
    seconds: float
    interrupted: bool


def run_sweep(
    plan: Plan,
    folder: Path,
    resources: Resources,
    *,
    data_dir: Path | None,
    mirrors: Mirrors = NO_MIRRORS,
    resume: bool,
    storage: Storage | None = None,
    on_start: Callable[[Controller, Placement], contextlib.AbstractContextManager[Any]] | None = None,
    on_phase: Callable[[str], None] = lambda phase: None,
    on_interrupt: Callable[[], None] = lambda: None,
) -> SweepResult:
    """Run a plan to its end, or until Ctrl-C. `folder` is <storage>/<name>, on this machine.

    `on_start` makes the live view, `on_phase` is told what is being prepared, `on_interrupt` of the first Ctrl-C.
    Raises BalltrainError where the
    sweep cannot run: its name exists (unless `resume`), the cluster is too small or out of reach, the data
    cannot be had, or too many trials failed; what has been recorded stays and can be resumed.
    """
    start = time.monotonic()
    if not resources.joins and resources.gpu_type is None:
        resources.place([local_resources()])  # before the data is built, which takes its time
    on_phase("preparing the data")
    dataset = load_sweep_data(plan, folder, data_dir, resume)
    on_phase("starting Ray")
    remote = storage.uri_of(plan.name) if storage else None
    with ray_session(resources):
        placement = place_on_cluster(resources)
        if resources.joins:
            on_phase("looking at the nodes")
            check_nodes(folder, remote, plan.request.source)
            wait_for_first_trial(placement, on_phase)
        on_phase("")
        with contextlib.ExitStack() as files:
            if storage is not None:
                files.enter_context(storage.mirrored(plan.name))
            journal, state = files.enter_context(sweep_files(plan, folder, dataset, placement.to_json(), resume))
            controller = Controller(plan, state, journal, placement.concurrency)
            controller.on_dropped = files.enter_context(deleted_checkpoints(state, folder, remote))
            context = TrialContext.of(plan, dataset, folder, placement, remote, data_dir)
            if resources.joins:
                context = dataclasses.replace(context, versions=versions(), environment=environment())
            files.enter_context(mirrored(folder, mirrors.build(folder, data_dir)))
            view = on_start(controller, placement) if on_start else contextlib.nullcontext()

            def compact() -> None:  # from the journal: the state belongs to another thread
                write_tables(SweepState.replay(read_journal(folder)), plan.task, folder)

            def follow_nodes() -> None:  # that join, and that are lost
                controller.concurrency = max(1, placement.on(nodes_expected()).concurrency)

            compacting = every(COMPACT_EVERY_S, compact, ignoring=(OSError, BalltrainError))
            following = every(LOOK_AT_NODES_EVERY_S, follow_nodes, ignoring=(Exception,))
            with (
                view,
                interruptible(controller, on_interrupt),
                compacting,
                following if resources.joins else contextlib.nullcontext(),
            ):
                if not controller.done:
                    _run_on_ray(controller, context, placement, folder)
            finish_sweep(controller, folder, remote)
    return SweepResult(plan, folder, state, time.monotonic() - start, controller.interrupted)


def _run_on_ray(controller: Controller, context: TrialContext, placement: Placement, folder: Path) -> None:
    from ray import tune

    from balltrain.execution.ray_tune import ControllerScheduler, ControllerSearcher

    scratch = folder / ".ray"
    attempt = partial(run_attempt, context=context)
    tuner = tune.Tuner(
        tune.with_resources(attempt, placement.trial_resources),
        tune_config=tune.TuneConfig(
            search_alg=ControllerSearcher(controller),
            scheduler=ControllerScheduler(controller),
            num_samples=-1,
            reuse_actors=placement.workers == 1,  # what starts workers cannot be stopped and used again
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch.resolve()),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            progress_reporter=tune.CLIReporter(),  # silent; that of notebooks would clear the cell's output
        ),
    )
    try:
        tuner.fit()
    except Exception as error:
        if controller.error is None:
            controller.error = error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

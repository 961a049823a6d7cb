"""Runs a plan: connects the controller to Ray Tune, keeps the journal and the tables, ends with the best trial."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balltrain.background import every
from balltrain.data.cache import Dataset
from balltrain.errors import BalltrainError
from balltrain.execution.foreseeing import check_constraints, foresight
from balltrain.execution.interrupts import interruptible
from balltrain.execution.keeping import deleted_checkpoints, finish_sweep
from balltrain.execution.node_checks import check_nodes, environment, versions
from balltrain.execution.nodes import nodes_expected, wait_for_first_trial
from balltrain.execution.placement import Placement, check_gpu_hours, local_resources
from balltrain.execution.ray_session import RaySession, check_state_api, is_local, place_on_cluster, ray_session
from balltrain.execution.resources import Resources
from balltrain.execution.resuming import load_sweep_data
from balltrain.execution.sweep_folder import sweep_files
from balltrain.execution.trial import TrialContext
from balltrain.execution.watchdog import Watch
from balltrain.programs.command_program import CommandRef
from balltrain.programs.program import ProgramRef
from balltrain.records.journal import read_journal
from balltrain.records.requests import Requests
from balltrain.records.state import SweepState
from balltrain.records.tables import FollowingTables
from balltrain.search.controller import Controller
from balltrain.search.plan import Plan
from balltrain.storage import Storage
from balltrain.tasks import TaskRef
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
    began: float | None = None,
    on_start: Callable[[Controller, Placement], contextlib.AbstractContextManager[Any]] | None = None,
    on_phase: Callable[[str], None] = lambda phase: None,
    on_interrupt: Callable[[], None] = lambda: None,
    on_waiting: Callable[[str], None] = lambda text: None,
) -> SweepResult:
    """Run a plan to its end, or until Ctrl-C. `folder` is <storage>/<name>, on this machine.

    Runs on the Ray of this process where `ray.init` was called, and leaves it up; else on that at the resources'
    address; else on one of its own. The first Ctrl-C ends trials after their epoch, a second raises
    KeyboardInterrupt; SIGTERM and SIGHUP end the sweep within seconds.

    A time budget counts from when it `began`, in seconds since 1970; from now unless given.

    `on_start` makes the live view, `on_phase` is told what is being prepared, `on_interrupt` of the first Ctrl-C,
    `on_waiting` of what the sweep waits for, where nothing is reported for longer than its epochs take.
    Raises BalltrainError where the sweep cannot run: its name exists (unless `resume`), the cluster is too small or
    out of reach, the data cannot be had, or too many trials failed; what has been recorded stays and can be resumed.
    """
    start, began = time.monotonic(), began or time.time()
    remote = storage.uri_of(plan.name) if storage else None
    with interruptible(on_interrupt) as interrupts, contextlib.ExitStack() as stack:
        if is_local(resources) and resources.gpu_type is None:
            check_gpu_hours(plan.sweep.gpu_hours, resources.place([local_resources()]))  # before the data is built
        on_phase("preparing the data")
        dataset = load_sweep_data(plan, folder, data_dir, resume)
        check_constraints(plan, dataset)
        on_phase("starting Ray")
        placement = None
        try:
            session = stack.enter_context(ray_session(resources, interrupts))
            placement = place_on_cluster(resources)
            check_gpu_hours(plan.sweep.gpu_hours, placement)
            if not session.is_own:
                _look_at_cluster(session, plan, placement, folder, remote, on_phase)
        except KeyboardInterrupt:
            stack.close()
            state = _leave_to_resume(plan, folder, dataset, resources, placement, resume, storage)
            interrupts.say()
            return SweepResult(plan, folder, state, time.monotonic() - start, interrupted=True)
        on_phase("")
        with interrupts.heard():
            if storage is not None:
                stack.enter_context(storage.mirrored(plan.name, interrupts.patience, session.leave, on_waiting))
            journal, state = stack.enter_context(
                sweep_files(plan, folder, dataset, placement.to_json(), resume, began)
            )
            foresee = foresight(plan, dataset)
            controller = Controller(plan, state, journal, placement.concurrency, foresee=foresee)
            controller.on_dropped = stack.enter_context(deleted_checkpoints(state, folder, remote))
            context = TrialContext.of(plan, dataset, folder, placement, remote, data_dir)
            if not session.is_own:
                context = dataclasses.replace(
                    context, ref=_travelling(context.ref, folder), versions=versions(), environment=environment()
                )
            stack.enter_context(mirrored(folder, mirrors.build(folder, data_dir), interrupts.patience))
            view = on_start(controller, placement) if on_start else contextlib.nullcontext()
            with view, _kept_up(controller, placement, folder, session):
                from balltrain.execution.ray_tune import run_on_ray

                requests = Requests(storage or Storage(str(folder.parent)), folder.name)
                watch = Watch(on_waiting, lambda: storage.away if storage else None)
                run_on_ray(controller, context, placement, folder, session, interrupts, requests, watch)
        finish_sweep(controller, folder, remote)
    return SweepResult(plan, folder, state, time.monotonic() - start, controller.interrupted)


def _travelling(ref: TaskRef | ProgramRef, folder: Path) -> TaskRef | ProgramRef:
    """With the folder of a command, which other nodes may not have; without that of the sweeps in it."""
    return ref.travelling(leave_out=folder.parent) if isinstance(ref, CommandRef) else ref


def _look_at_cluster(
    session: RaySession,
    plan: Plan,
    placement: Placement,
    folder: Path,
    remote: str | None,
    on_phase: Callable[[str], None],
) -> None:
    """Whether a Ray that was there before can run the trials. Raises BalltrainError where it cannot."""
    on_phase("looking at the nodes")
    if session.is_guest and placement.workers > 1 and plan.num_trials > 1:
        check_state_api()
    check_nodes(folder, remote, plan.request.source)
    wait_for_first_trial(placement, on_phase)


@contextlib.contextmanager
def _kept_up(controller: Controller, placement: Placement, folder: Path, session: RaySession) -> Iterator[None]:
    """In the block the tables follow the journal, and the number of trials the nodes of a cluster."""

    tables = FollowingTables(folder, controller.plan.task)  # of the journal: the state belongs to another thread

    def follow_nodes() -> None:  # that join, and that are lost
        controller.concurrency = max(1, placement.on(nodes_expected()).concurrency)

    compacting = every(COMPACT_EVERY_S, tables.write, ignoring=(OSError, BalltrainError))
    # a Ray that is gone is asked in vain for a minute
    following = every(LOOK_AT_NODES_EVERY_S, follow_nodes, ignoring=(Exception,), patience_s=1.0)
    with compacting, contextlib.nullcontext() if session.is_own else following:
        yield


def _leave_to_resume(
    plan: Plan,
    folder: Path,
    dataset: Dataset | None,
    resources: Resources,
    placement: Placement | None,
    resume: bool,
    storage: Storage | None,
) -> SweepState:
    """Of a sweep that was interrupted before its first trial: the files that the command finds which goes on with it.

    Raises KeyboardInterrupt where its place on a cluster is not known yet: nothing is recorded then.
    """
    if placement is not None:
        placed = placement.to_json()
    elif resume and (header := next(read_journal(folder), None)) is not None:
        placed = header["sweep"]["placement"]
    elif is_local(resources):
        placed = resources.place([local_resources()]).to_json()
    else:
        raise KeyboardInterrupt
    mirror = storage.mirrored(plan.name) if storage is not None else contextlib.nullcontext()
    with mirror, sweep_files(plan, folder, dataset, placed, resume) as (_, state):
        return state

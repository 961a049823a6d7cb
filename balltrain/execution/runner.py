"""Runs a plan: connects the controller to Ray Tune, keeps the journal and the tables, ends with the best trial."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from balltrain.background import every
from balltrain.data.cache import Dataset, load_data
from balltrain.errors import EXIT_INTERRUPTED, BalltrainError
from balltrain.execution import cluster
from balltrain.execution.placement import Node, NotEnoughGpus, Placement, local_resources
from balltrain.execution.resources import Resources
from balltrain.execution.trial import TrialContext, run_attempt
from balltrain.knobs import knobs_of, value_in
from balltrain.records.journal import FILE as JOURNAL_FILE
from balltrain.records.journal import VERSION, Journal, Kind, read_journal
from balltrain.records.state import SweepState, Trial
from balltrain.records.tables import write_tables
from balltrain.search.controller import Controller
from balltrain.search.plan import Plan
from balltrain.search.sweep import Sweep
from balltrain.storage import Remote, Storage
from balltrain.tracking.mirrors import NO_MIRRORS, Mirrors, mirrored

COMPACT_EVERY_S = 20.0
DELETE_EVERY_S = 5.0
LOOK_AT_NODES_EVERY_S = 5.0

# Tune's own bookkeeping, which the journal replaces; set before ray is imported
RAY_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "64",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


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
    with _ray(resources):
        placement = _placement(resources)
        if resources.joins:
            on_phase("looking at the nodes")
            cluster.check_nodes(folder, remote, plan.request.source)
            cluster.wait_for_first_trial(placement, on_phase)
        on_phase("")
        with contextlib.ExitStack() as files:
            if storage is not None:
                files.enter_context(storage.mirrored(plan.name))
            journal, state = files.enter_context(sweep_files(plan, folder, dataset, placement.to_json(), resume))
            controller = Controller(plan, state, journal, placement.concurrency)
            controller.on_dropped = files.enter_context(deleted_checkpoints(state, folder, remote))
            context = TrialContext.of(plan, dataset, folder, placement, remote, data_dir)
            if resources.joins:
                context = dataclasses.replace(context, versions=cluster.versions(), environment=cluster.environment())
            files.enter_context(mirrored(folder, mirrors.build(folder, data_dir)))
            view = on_start(controller, placement) if on_start else contextlib.nullcontext()

            def compact() -> None:  # from the journal: the state belongs to another thread
                write_tables(SweepState.replay(read_journal(folder)), plan.task, folder)

            def follow_nodes() -> None:  # that join, and that are lost
                controller.concurrency = max(1, placement.on(cluster.nodes()).concurrency)

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


@contextlib.contextmanager
def deleted_checkpoints(
    state: SweepState, folder: Path, remote: str | None = None
) -> Iterator[Callable[[Trial], None]]:
    """What deletes the checkpoint of a trial: here at once, in object storage beside the block."""
    to_delete: list[str] = []

    def delete(trial: Trial) -> None:
        shutil.rmtree(folder / "checkpoints" / trial.trial_id, ignore_errors=True)
        to_delete.append(trial.trial_id)

    def delete_remote() -> None:
        while to_delete and remote is not None:
            Remote(remote).delete(f"checkpoints/{to_delete[0]}")
            del to_delete[0]

    for trial in state.dropped:  # before a resume; a kill may have come between
        delete(trial)
    state.dropped.clear()
    with every(DELETE_EVERY_S, delete_remote, ignoring=(BalltrainError,)) if remote else contextlib.nullcontext():
        yield delete
    with contextlib.suppress(BalltrainError):  # deleted when the sweep is resumed
        delete_remote()


def placement_of(resources: Resources) -> tuple[Placement, Sequence[Node]]:
    """What trials would hold, and the nodes there are, without starting a Ray of one's own."""
    if not resources.joins:
        nodes: Sequence[Node] = [local_resources()]
        return resources.place(nodes), nodes
    with _ray(resources):
        return _placement(resources), cluster.nodes()


def check_name(folder: Path, resume: bool) -> None:
    """Raises BalltrainError where a new sweep's name is taken, or a sweep to be resumed is not there."""
    exists = (folder / JOURNAL_FILE).exists()
    if exists and not resume:
        raise BalltrainError(
            f"{folder} holds a sweep already: add --resume to go on with it, or choose another --name"
        )
    if resume and not exists:
        raise BalltrainError(f"{folder} holds no sweep to resume: leave out --resume to start it")


def load_sweep_data(plan: Plan, folder: Path, data_dir: Path | None, resume: bool) -> Dataset:
    """The plan's data, after everything was checked that needs no Ray, the data's fingerprint included."""
    check_name(folder, resume)
    dataset = load_data(plan.ref, plan.task, plan.request, data_dir)
    if resume:
        header = next(read_journal(folder), None)
        if header is not None:
            _check_same(header["sweep"], {**plan.to_json(), "data_fingerprint": dataset.fingerprint})
            _check_after_search(plan, SweepState.replay(read_journal(folder)))
    return dataset


@contextlib.contextmanager
def sweep_files(
    plan: Plan, folder: Path, dataset: Dataset, placement: dict[str, Any], resume: bool
) -> Iterator[tuple[Journal, SweepState]]:
    """The journal, open, with its first line written or replayed; the tables are written at the end."""
    journal = Journal(folder)
    try:
        sweep = {
            **plan.to_json(),
            "data_fingerprint": dataset.fingerprint,
            "placement": placement,
            **_provenance(),
        }
        state = SweepState()
        if resume:
            state = SweepState.replay(read_journal(folder))
        if state.sweep:
            sweep["created_at"] = state.sweep["created_at"]
        line = {
            "type": Kind.RESUME if state.sweep else Kind.SWEEP,
            "version": VERSION,
            "sweep": sweep,
            "time": time.time(),
        }
        journal.append(line)
        state.apply(line)
        _write_sweep(sweep, folder)
        try:
            yield journal, state
        except BaseException:
            with contextlib.suppress(OSError):  # a full disk: what ended the sweep is the better message
                _write_end(state, plan, folder)
            raise
        _write_end(state, plan, folder)
    except OSError as error:
        raise BalltrainError(f"cannot write to {folder}: {error.strerror or error}; what is there is kept") from error
    finally:
        journal.close()


def _write_end(state: SweepState, plan: Plan, folder: Path) -> None:
    """The last tables, and in sweep.json that no more come until it is resumed."""
    write_tables(state, plan.task, folder)
    _write_sweep({**state.sweep, "ended_at": _utc_now()}, folder)


def _write_sweep(sweep: dict[str, Any], folder: Path) -> None:
    new = folder / ".sweep.json.new"
    new.write_text(json.dumps(sweep, indent=1))
    new.replace(folder / "sweep.json")


def _utc_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


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


def recorded_epochs(folder: Path) -> int:
    """Of the trials of a sweep's search, when it began. Raises BalltrainError where there is no sweep."""
    check_name(folder, resume=True)
    return next(read_journal(folder))["sweep"]["epochs"]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 120 else text[:117] + "…"


def _provenance() -> dict[str, Any]:
    """Versions, commit and machine, for who has to reproduce the sweep."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": sys.version.split()[0]}
    for package in ("balltrain", "torch", "ray", "hyperopt", "numpy", "pandas", "pyarrow", "wandb"):
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"], capture_output=True, text=True, check=False
    )
    commit = git.stdout.strip() or None
    return {"versions": versions, "git_commit": commit, "host": socket.gethostname(), "created_at": _utc_now()}


@contextlib.contextmanager
def _ray(resources: Resources) -> Iterator[None]:
    """A Ray to run on: that at `address`, else one of this machine's that ends with the sweep."""
    os.environ.update({key: os.environ.get(key, value) for key, value in RAY_ENVIRONMENT.items()})
    if not resources.joins:
        cluster.make_token()
    import ray

    address = resources.address
    # its errors reach us as values, and a user as one line
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # Ray asks the process group of its own for Ctrl-C; ours comes through the sweep's handler
    try:
        if resources.joins and address:
            ray.init(address=cluster.join(address), **quiet)
        else:
            # a stopped data-parallel trial gives its placement group back only where the State API runs
            several = (resources.workers_per_trial or 1) > 1 or (resources.gpus_per_trial or 0) > 1
            ray.init(address="local", include_dashboard=several, dashboard_host="127.0.0.1", **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = f"at {address}" if address else "on this machine"
        reason = " ".join(str(error).split())[:200]
        raise BalltrainError(f"cannot reach or start Ray {where}: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _placement(resources: Resources) -> Placement:
    """On the nodes there are, or that an autoscaler may add. Raises BalltrainError where that is not enough."""
    nodes = cluster.nodes()
    try:
        return resources.place(nodes)
    except NotEnoughGpus as error:
        if len(nodes) > len(cluster.nodes_there()):
            raise BalltrainError(f"{error} (the autoscaler's maximum, max_workers in the cluster file)") from None
        raise


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
        ),
    )
    try:
        tuner.fit()
    except Exception as error:
        if controller.error is None:
            controller.error = error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def interruptible(controller: Controller, on_interrupt: Callable[[], None]) -> Iterator[None]:
    """First Ctrl-C: trials end after their epoch. Second: now. Nothing is lost either way."""

    def handle(signum: int, frame: Any) -> None:
        if controller.interrupted:
            _end_now()
        controller.interrupted = True
        on_interrupt()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_now() -> None:
    """The journal is on disk. Ray's own processes would outlive their driver, some of them for minutes."""
    worker = sys.modules.get("ray._private.worker")
    if worker is not None and worker._global_node is not None:
        worker._global_node.kill_all_processes(check_alive=False, allow_graceful=True)
    os._exit(EXIT_INTERRUPTED)


def finish_sweep(controller: Controller, folder: Path, remote: str | None = None) -> None:
    """Keep the best checkpoint; raises what ended the sweep early."""
    best = controller.state.best
    if best is not None and remote is not None:  # it may have been trained on another node
        Remote(remote).pull(folder / "checkpoints" / best.trial_id, f"checkpoints/{best.trial_id}")
    _keep_best(controller.state, folder)
    if controller.error is not None:
        raise controller.error


def _keep_best(state: SweepState, folder: Path) -> None:
    """`best/` is a copy of the best trial's checkpoint, whole or not there at all."""
    if state.best is None:
        return
    source, new, best = folder / "checkpoints" / state.best.trial_id, folder / ".best.new", folder / "best"
    try:
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(source, new, ignore=shutil.ignore_patterns(".*"))
        shutil.rmtree(best, ignore_errors=True)
        new.rename(best)
    except OSError as error:
        raise BalltrainError(f"cannot copy the best checkpoint {source} to {best}: {error}") from error

"""One attempt at a trial, in its own process: maps the data, trains, saves, reports.

The trial's process is a Ray Tune actor that runs one attempt after the other. With one worker the training runs
in it, by a TorchTrainer in local mode; with several it starts a TorchTrainer that runs them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balltrain.data.cache import Dataset
from balltrain.errors import BalltrainError, StorageError
from balltrain.execution.placement import Placement
from balltrain.execution.recording import recorded
from balltrain.programs.program import Program, ProgramAttempt, ProgramRef, save_description
from balltrain.records.figures import LATENCY_SECONDS
from balltrain.search import policy
from balltrain.search.attempts import Attempt
from balltrain.search.plan import Plan
from balltrain.search.policy import Cause
from balltrain.storage import Remote, Uploads, retrying
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Task
from balltrain.tasks.user_code import described, told_as_users
from balltrain.training.rows import EpochRow

# what is sent to the sweep's process: JSON texts, because Tune flattens dicts and NaN must survive
ROW, END = "row", "end"
ENDS_WITHIN_S = "30"  # a program that is stopped: a command has 10 s of SIGTERM; Tune's default is 2
# Train asks its workers for rows at this interval, and makes them wait for its default of 2 s an epoch
WORKERS_ENVIRONMENT = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a sweep share; sent to every trial process once."""

    ref: TaskRef | ProgramRef
    request: DataRequest
    data_key: str  # those of data are empty where a program reads its own
    data_dir: str | None  # None: each node's own default
    data_fingerprint: str
    folder: str  # <storage>/<name>
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    remote: str | None  # URI of the sweep in object storage, which `folder` mirrors
    placement_strategy: str = "PACK"
    gpu_type: str | None = None
    measures_latency: bool = False  # of a prediction, after the first epoch
    # on a Ray that was there before: what its nodes must have, and what they are given
    versions: dict[str, str] | None = None
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_program(self) -> bool:
        """Whether it trains by itself: a function, or a command."""
        return not isinstance(self.ref, TaskRef)

    @classmethod
    def of(
        cls,
        plan: Plan,
        dataset: Dataset | None,
        folder: Path,
        placement: Placement,
        remote: str | None = None,
        data_dir: Path | None = None,
    ) -> TrialContext:
        return cls(
            ref=plan.ref,
            request=plan.request,
            data_key=dataset.folder.name if dataset else "",
            # a trial's process, on a cluster that was there before, starts in another folder
            data_dir=str(data_dir.resolve()) if data_dir else None,
            data_fingerprint=dataset.fingerprint if dataset else "",
            folder=str(folder.resolve()),
            workers=placement.workers,
            cpus_per_worker=placement.cpus_per_worker,
            gpus_per_worker=placement.gpus_per_worker,
            remote=remote,
            placement_strategy=placement.strategy,
            gpu_type=placement.gpu_type,
            measures_latency=plan.asks_for(LATENCY_SECONDS),
        )


def run_attempt(config: dict[str, Any], context: TrialContext) -> None:
    """Ray Tune's trainable function. Reports its own errors, so that the process can run the next trial."""
    from ray import tune

    attempt: Attempt = config["attempt"]
    told: dict[str, Any] = {}
    try:
        if context.workers == 1:
            with _recorded(attempt, context):
                _run_in_this_process(attempt, context)
        else:
            _run_on_workers(attempt, context)
    except Exception as error:
        cause, message = _cause(error)
        told = {"cause": cause, "error": message, "traceback": traceback.format_exc()}
    tune.report({END: json.dumps(told)})


def train(attempt: Attempt, context: TrialContext, report: Callable[[EpochRow], None], rank: int = 0) -> None:
    """Train a trial and hand its rows to `report`, each with the node that trained it."""
    from balltrain.execution.node_checks import check_this_node

    if context.versions is not None:
        check_this_node(context.versions, Path(context.folder), context.remote)
        for name, value in context.environment.items():
            os.environ.setdefault(name, value)
    with told_as_users():
        found = context.ref.load()
        folder = Path(context.folder) / "checkpoints" / attempt.trial_id
        with _uploading(folder, context.remote, attempt, rank) as upload:

            def report_row(row: EpochRow) -> None:
                upload()
                report({**row, "node": socket.gethostname()})

            if isinstance(found, Program):
                _run_program(found, attempt, context, folder, report_row, rank)
            else:
                _train_task(found, attempt, context, folder, report_row, rank)


def _run_program(
    program: Program,
    attempt: Attempt,
    context: TrialContext,
    folder: Path,
    report: Callable[[EpochRow], None],
    rank: int,
) -> None:
    if rank == 0:
        save_description(folder, program, attempt.config, attempt.seed)
    own = {name: getattr(attempt, name) for name in ("number", "trial_id", "attempt", "config", "seed", "fold")}
    program.run(
        ProgramAttempt(
            **own,
            reported_epochs=attempt.reported_epochs,
            folder=folder,
            cpus=context.cpus_per_worker,
            gpus=context.gpus_per_worker,
            rank=rank,
            world_size=context.workers,
        ),
        report,
    )


def _train_task(
    task: Task, attempt: Attempt, context: TrialContext, folder: Path, report: Callable[[EpochRow], None], rank: int
) -> None:
    import torch

    from balltrain.data.cache import load_data
    from balltrain.errors import NodeError
    from balltrain.tasks.base import resolve
    from balltrain.training.checkpoint import CheckpointConfig, save_config
    from balltrain.training.loop import fit
    from balltrain.training.workers import pick_device

    ref = context.ref
    assert isinstance(ref, TaskRef)  # a task's
    hp = resolve(task, attempt.config)
    dataset = load_data(ref, task, context.request, context.data_dir, context.data_key)
    # built data may differ in a last bit between processors; files that differ are other data
    if context.request.source is not None and dataset.fingerprint != context.data_fingerprint:
        raise NodeError(f"{socket.gethostname()} has other data in {context.request.source} than the sweep's machine")
    if attempt.fold is not None:
        dataset = dataset.fold(*attempt.fold)
    torch.set_num_threads(max(1, round(context.cpus_per_worker)))
    data = (context.request, dataset.facts, dataset.fingerprint, attempt.fold)
    if rank == 0:
        save_config(folder, CheckpointConfig(ref, attempt.config, attempt.seed, *data))
    fit(
        task,
        hp,
        dataset,
        seed=attempt.seed,
        folder=folder,
        report=report,
        device=pick_device(context.gpus_per_worker),
        reported_epochs=attempt.reported_epochs,
        measures_latency=context.measures_latency,
    )


@contextlib.contextmanager
def _uploading(folder: Path, remote_uri: str | None, attempt: Attempt, rank: int) -> Iterator[Callable[[], None]]:
    """Yields what uploads a trial's checkpoint to object storage, where there is one; no copy is left here."""
    if remote_uri is None:
        yield lambda: None
        return
    remote, relative = Remote(remote_uri), f"checkpoints/{attempt.trial_id}"
    if attempt.attempt > 1:  # the attempt before may have run on another node
        retrying(lambda: remote.pull(folder, relative))
    elif rank == 0:  # of a machine that was lost with the end of its journal: it may be of another configuration
        retrying(lambda: remote.delete(relative))
    if rank > 0:
        yield lambda: None
        return
    uploads = Uploads(remote, folder, relative)
    keep = False
    try:
        yield lambda: retrying(uploads.push)
    except StorageError:  # the last epoch is here alone
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def describe(error: BaseException) -> str:
    """One line: the kind of an error, unless it speaks for itself, and its message."""
    return " ".join(str(error).split())[:500] if isinstance(error, BalltrainError) else described(error)


def _cause(error: BaseException) -> tuple[Cause, str]:
    """Cause and description of what ended an attempt; of several workers' ends, the one that explains the others."""
    from ray.exceptions import RayActorError
    from ray.train import PreemptionError, WorkerGroupError

    from balltrain.execution.ray_internals import unwrapped

    if isinstance(error, PreemptionError):
        return Cause.NODE_LOST, describe(error)
    ends = []
    failures: list[BaseException] = (
        list(error.worker_failures.values()) if isinstance(error, WorkerGroupError) else []
    )
    for failure in failures or [error]:
        failure = unwrapped(failure)
        if isinstance(failure, RayActorError):
            ends.append((policy.cause_of_death(str(failure)), "a worker of the trial: " + describe(failure)))
        else:
            ends.append((policy.cause_of(failure), describe(failure)))
    # those that lost a worker fail as well, with errors of the connection
    return min(ends, key=lambda end: policy.EXPLAINING.index(end[0]))


def _run_in_this_process(attempt: Attempt, context: TrialContext) -> None:
    from ray import tune

    if context.is_program:  # which does without Ray Train, and what that costs a trial
        os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", ENDS_WITHIN_S)
        train(attempt, context, lambda row: tune.report({ROW: json.dumps(row)}))
        return
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.WARNING)  # a line of its own in each trial's output

    def loop(_: dict[str, Any]) -> None:
        train(attempt, context, lambda row: tune.report({ROW: json.dumps(row)}))

    TorchTrainer(
        loop,
        train_loop_config={},
        scaling_config=ScalingConfig(num_workers=0),
        run_config=_run_config(RunConfig, attempt, context),
    ).fit()


def _run_on_workers(attempt: Attempt, context: TrialContext) -> None:
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    from balltrain.execution.ray_internals import pass_on_to_workers

    for name, value in WORKERS_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # What takes back the workers of a stopped trial looks for the Ray of this machine, and gives up where there are
    # two: the next trial would wait for ever.
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    pass_on_to_workers("RAY_ADDRESS")
    resources = {"CPU": context.cpus_per_worker, "GPU": context.gpus_per_worker}
    callback = TuneReportCallback()  # type: ignore[no-untyped-call]  # Ray's own
    TorchTrainer(
        _worker_loop,
        train_loop_config={"attempt": attempt, "context": context},
        scaling_config=ScalingConfig(
            num_workers=context.workers,
            use_gpu=context.gpus_per_worker > 0,
            resources_per_worker={name: amount for name, amount in resources.items() if amount},
            placement_strategy=context.placement_strategy,
            accelerator_type=context.gpu_type if context.gpus_per_worker else None,
        ),
        run_config=_run_config(RunConfig, attempt, context, callbacks=[callback]),
    ).fit()


def _worker_loop(config: dict[str, Any]) -> None:
    """Every worker trains; rank 0 reports, figures that are the same on every worker."""
    import ray.train

    rank = ray.train.get_context().get_world_rank()

    def report(row: EpochRow) -> None:
        ray.train.report({ROW: json.dumps(row)} if rank == 0 else {})

    with _recorded(config["attempt"], config["context"], rank):
        train(config["attempt"], config["context"], report, rank)


@contextlib.contextmanager
def _recorded(attempt: Attempt, context: TrialContext, rank: int = 0) -> Iterator[None]:
    """What an attempt prints is kept, the traceback of its error too."""
    with recorded(Path(context.folder), context.remote, attempt.trial_id, attempt.attempt, rank):
        try:
            yield
        except Exception as error:
            says_all = (
                isinstance(error, BalltrainError) and error.__cause__ is None
            )  # where it is raised says no more
            if says_all:
                print(f"error: {error}", file=sys.stderr)
            else:
                traceback.print_exc()
            raise


def _run_config(run_config_type: Any, attempt: Attempt, context: TrialContext, **more: Any) -> Any:
    # a name without a time stamp: the same attempt is the same run, wherever it is started again
    name = f"{attempt.trial_id}-{attempt.attempt}"
    return run_config_type(name=name, storage_path=str(Path(context.folder) / ".ray" / "train"), **more)

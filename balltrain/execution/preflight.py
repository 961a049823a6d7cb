"""What a sweep will do and cost, before it runs: `balltrain sweep --dry-run`."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from balltrain.data.cache import Dataset, load_data
from balltrain.errors import UsageError
from balltrain.execution.foreseeing import check_constraints
from balltrain.execution.placement import Node, Placement, check_gpu_hours
from balltrain.execution.ray_session import placement_of
from balltrain.execution.resources import Resources
from balltrain.programs.program import Program
from balltrain.records.state import Point
from balltrain.search.freeze_thaw import MAX_PAUSED, NUM_EVEN
from balltrain.search.front_searchers import FRONT_SEARCHERS
from balltrain.search.plan import Plan
from balltrain.search.searchers import FREEZE_THAW, SEARCHERS
from balltrain.search.stopping import SCHEDULERS
from balltrain.tasks import TaskRef
from balltrain.tasks.base import resolve

if TYPE_CHECKING:
    from balltrain.training.probe import Probe

NUM_EXAMPLES = 3


def forecast_sweep(
    plan: Plan,
    folder: Path,
    resources: Resources,
    *,
    data_dir: Path | None,
    wandb_mode: str,
    on_phase: Callable[[str], None] = lambda phase: None,
) -> dict[str, Any]:
    """All of it as JSON, after a few batches of the default configuration were trained and timed, and forgotten.

    Prepares the data as the sweep would. Raises BalltrainError where the sweep could not run.
    """
    placement, nodes = placement_of(resources)
    probed, dataset = _probed(plan, placement, data_dir, on_phase)
    feasible = check_constraints(plan, dataset)
    on_phase("")

    epoch_seconds = probed.epoch_seconds / placement.workers
    after_search = plan.epochs_after_search
    budget = epochs_of_budgets(plan, placement, epoch_seconds)
    rungs, trials, expected = expected_rungs(plan, budget - after_search)
    most = plan.num_searched * plan.epochs
    if plan.search_epochs is not None:  # trials that train when they are spent go on to their next milestone
        most = min(most, plan.search_epochs + placement.concurrency * plan.epochs)
    expected, most = expected + after_search, math.floor(min(most + after_search, budget))
    gpus = placement.workers * placement.gpus_per_worker
    checkpoints = num_checkpoints(plan, placement)
    return {
        **plan.to_json(),
        "storage": str(folder),
        "at_a_time": placement.concurrency,
        "because": because(placement, nodes),
        "rungs": rungs,
        "expected_trials": trials,
        "all_epochs": {"expected": expected, "at_most": most},
        "epoch_seconds": round(epoch_seconds, 4),
        "seconds": _at_rate(expected, most, epoch_seconds / placement.concurrency),
        "gpu_hours": _at_rate(expected, most, epoch_seconds * gpus / 3600),
        "num_params": probed.num_params,
        **({} if feasible is None else {"feasible": feasible._asdict()}),
        "checkpoints": checkpoints,
        "checkpoint_bytes": probed.checkpoint_bytes,
        "disk_bytes": {
            "at_most": checkpoints * probed.checkpoint_bytes,
            "free": shutil.disk_usage(_existing(folder)).free,
        },
        "random_proposals": num_random(plan),
        "wandb": wandb_mode,
        "examples": [plan.configure(plan.space.decode(point)) for point in first_proposals(plan)],
    }


def _probed(
    plan: Plan, placement: Placement, data_dir: Path | None, on_phase: Callable[[str], None]
) -> tuple[Probe, Dataset | None]:
    """And the data that it was timed on; a program reads its own."""
    from balltrain.programs.probe import probe_program
    from balltrain.training.probe import probe
    from balltrain.training.workers import pick_device

    if isinstance(plan.task, Program):
        on_phase(f"running an epoch of {plan.task.name}, which is your own code")
        config = plan.configure(plan.space.decode(first_proposals(plan)[0]))
        return probe_program(plan.task, config, placement.cpus_per_worker, placement.gpus_per_worker), None
    import torch

    assert isinstance(plan.ref, TaskRef)
    task = plan.ref.load()
    on_phase("preparing the data")
    dataset = load_data(plan.ref, task, plan.request, data_dir)
    on_phase("timing a few batches")
    hp = resolve(task, {**plan.sweep.hyperparameters, "epochs": plan.epochs})
    torch.set_num_threads(max(1, round(placement.cpus_per_worker)))
    return probe(task, hp, dataset, pick_device(placement.gpus_per_worker)), dataset


def num_random(plan: Plan) -> int:
    """Proposals that come before the searcher has learned anything."""
    if plan.sweep.searcher == FREEZE_THAW:
        return min(plan.sweep.most_trials, len(plan.first_points()) + NUM_EVEN)
    most = plan.sweep.most_trials
    if plan.goals is not None and plan.sweep.searcher in FRONT_SEARCHERS:
        return min(most, FRONT_SEARCHERS[plan.sweep.searcher].num_random)
    return min(most, getattr(SEARCHERS.load(plan.sweep.searcher), "num_random", most))


def first_proposals(plan: Plan) -> list[Point]:
    """Points of the first trials, as many as are shown."""
    count, first = min(NUM_EXAMPLES, plan.sweep.most_trials), plan.first_points()
    if (search := plan.build_freeze_thaw()) is not None:
        return [search.first(number) for number in range(count)]
    searcher = plan.build_searcher()
    for number, point in enumerate(first):
        searcher.add(number, point)
    return [*first, *(searcher.suggest(number) for number in range(len(first), count))][:count]


def because(placement: Placement, nodes: Sequence[Node]) -> str:
    """The arithmetic behind the number of trials at a time."""
    parts = []
    for unit, total, each in (
        ("CPU", sum(node.get("CPU", 0) for node in nodes), placement.cpus_per_worker * placement.workers),
        ("GPU", placement.num_gpus, placement.gpus_per_worker * placement.workers),
    ):
        if each:
            parts.append(f"{total:g} {unit}s / {each:.3g} a trial")
    text = " and ".join(parts) + f", {placement.workers} workers each" * (placement.workers > 1)
    return text + f", on {len(nodes)} nodes" * (len(nodes) > 1)


def num_checkpoints(plan: Plan, placement: Placement) -> int:
    """That are on disk at most: of the best trials, of those that run or are paused, and `best/`."""
    kept = max(plan.sweep.keep_checkpoints, plan.sweep.continue_best)
    repeats = plan.num_trials - plan.num_searched
    kept = plan.num_trials if plan.sweep.folds else min(plan.num_searched, kept) + repeats
    paused = min(plan.num_searched, MAX_PAUSED) if plan.sweep.searcher == FREEZE_THAW else 0
    best = 1 if plan.goals is None else plan.sweep.keep_checkpoints  # of a front several
    return kept + paused + placement.concurrency + best


def epochs_of_budgets(plan: Plan, placement: Placement, epoch_seconds: float) -> float:
    """That trials train within the sweep's budgets, which may be infinite. An epoch of a trial takes `epoch_seconds`.

    Raises UsageError where they are not enough for one.
    """
    workers = placement.workers
    check_gpu_hours(plan.sweep.gpu_hours, placement)
    held = {"cpu": workers * placement.cpus_per_worker, "gpu": workers * placement.gpus_per_worker}
    found = math.inf
    for budget in plan.sweep.budgets:
        each = epoch_seconds * held.get(budget.kind, 1.0)
        if budget.seconds < each:
            raise UsageError(
                f"{budget.seconds:g} s of {budget.words} are too few for one epoch, which takes {each:.2g} s here"
            )
        found = min(found, budget.seconds / each * (placement.concurrency if budget.kind == "wall" else 1))
    return found


def expected_rungs(plan: Plan, budget: float = math.inf) -> tuple[list[dict[str, int]], int, int]:
    """How many trials of the search reach each epoch at which ASHA decides, how many start, and the epochs of all.

    Trials start until `budget` epochs are trained.

    Found by running the scheduler on trials that come one by one in random order of quality, the same at every
    rung. The first trials at a rung have nobody to lose against, so that more pass than one in `reduction_factor`.
    """
    if plan.sweep.searcher == FREEZE_THAW:
        total = min(plan.num_searched * plan.epochs, plan.search_epochs or math.inf, budget)
        return [], plan.num_searched, math.floor(total)
    stopping = plan.build_stopping()
    rungs = sorted(stopping.rungs())
    every = range(1, plan.epochs + 1) if SCHEDULERS.is_plugin(plan.sweep.scheduler) else ()  # a rule may have none
    epochs = rungs or every
    reached = dict.fromkeys([*rungs, plan.epochs], 0)
    several = 0 if plan.goals is None else len(plan.goals.objectives)

    def heard(quality: float) -> Any:  # as good in each of several objectives: as many are kept at a rung as of one
        return (quality,) * several if several else quality

    total = started = 0
    for trial, quality in enumerate(np.random.default_rng(0).permutation(plan.num_searched).tolist()):
        if total >= budget:
            break
        started += 1
        for epoch in epochs:
            if epoch in reached:
                reached[epoch] += 1
            if not stopping.goes_on(str(trial), epoch, heard(float(quality))):
                total += epoch
                break
        else:
            reached[plan.epochs] += plan.epochs not in epochs
            total += plan.epochs
    total = math.floor(min(total, budget))
    return [{"epoch": epoch, "trials": trials} for epoch, trials in reached.items()], started, total


def _at_rate(expected: int, worst: int, rate: float) -> dict[str, float]:
    return {"expected": round(expected * rate, 3), "at_most": round(worst * rate, 3)}


def _existing(folder: Path) -> Path:
    return next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())

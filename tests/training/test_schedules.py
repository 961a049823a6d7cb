import itertools

import pytest
import torch
from torch import nn

from balltrain.tasks.base import Hyperparameters
from balltrain.training.schedules import build_optimizer, learning_rate, plateau_reductions


def rates(steps_per_epoch=10, **values):
    hp = Hyperparameters(lr=1.0, **values)
    return [learning_rate(hp, step, steps_per_epoch) for step in range(hp.epochs * steps_per_epoch)]


def test_constant():
    assert set(rates(epochs=3, schedule="constant")) == {1.0}


def test_step_multiplies_by_gamma_at_whole_epochs():
    found = rates(epochs=5, schedule="step", step_size=2, gamma=0.5)
    assert [found[10 * epoch] for epoch in range(5)] == [1, 1, 0.5, 0.5, 0.25]
    assert found[19] == 1
    assert found[20] == 0.5


def test_cosine_rises_linearly_and_ends_at_zero():
    found = rates(epochs=4, schedule="cosine", warmup=0.25)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == pytest.approx(1.0, rel=0.01)
    assert found[-1] == pytest.approx(0.0, abs=1e-9)
    assert all(a >= b for a, b in itertools.pairwise(found[10:]))


def test_onecycle_equals_torchs():
    found = rates(epochs=4, schedule="onecycle", warmup=0.3)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=40, pct_start=0.3)
    expected = []
    for _ in range(40):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    # torch puts the peak between two steps, this on the nearest: a difference of one step's slope
    assert found == pytest.approx(expected, abs=0.1)
    assert (found[0], max(found), found[-1]) == pytest.approx((expected[0], max(expected), expected[-1]), abs=0.02)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_optimizers_take_their_hyperparameters(name, kind):
    hp = Hyperparameters(optimizer=name, lr=0.1, weight_decay=0.01, momentum=0.5)
    optimizer = build_optimizer(hp, nn.Linear(2, 2))
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.01)
    assert group.get("momentum", 0.5) == 0.5


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau_steps_where_torchs_does(mode):
    """With no threshold, and its patience counted as epochs that stand still before the step."""
    drawn = torch.Generator().manual_seed(0)
    objectives = torch.rand(60, generator=drawn).tolist()
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, factor=0.5, patience=2, threshold=0, eps=0)
    hp = Hyperparameters(lr=1.0, schedule="plateau", step_size=3, gamma=0.5, epochs=61)
    for epoch, objective in enumerate(objectives, 1):
        theirs.step(objective)
        reductions = plateau_reductions(hp, objectives[:epoch], mode)
        assert learning_rate(hp, 10 * epoch, 10, reductions) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert reductions > 5


def test_other_schedules_know_no_plateau():
    assert plateau_reductions(Hyperparameters(schedule="step", step_size=1), [1.0, 2.0, 3.0], "min") == 0

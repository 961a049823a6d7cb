"""Functions that train: what they are given, what is kept of them, and how other processes find them."""

import math
import random
import sys
import textwrap

import numpy as np
import pytest
import torch
from ray import tune

import balltrain
from balltrain.api.preparing import prepare
from balltrain.errors import BalltrainError, UsageError, UserCodeError
from balltrain.programs.function import function_ref, named_function
from balltrain.programs.handle import Trial
from balltrain.programs.program import ProgramAttempt
from balltrain.search.policy import Cause, cause_of

SPACE = {"lr": tune.loguniform(1e-3, 1e-1)}


class Killed(BaseException):
    """Ends a function's process, as far as it can tell."""


@pytest.fixture
def begin(tmp_path):
    """A `trial` in a folder that stays, and the rows that it has reported."""

    def make(objective="loss", mode="min", reported=0, kill_at=None, rank=0, world_size=1, folder=".", **config):
        rows = []

        def report(row):
            if row["epoch"] == kill_at:
                raise Killed
            rows.append(row)

        workers = {"rank": rank, "world_size": world_size}
        place = tmp_path / folder
        attempt = ProgramAttempt(3, "00003", 1, {"epochs": 3, **config}, 7, reported, place, fold=(1, 4), **workers)
        return Trial(attempt, objective, mode, report), rows

    return make


def train(trial):
    """Descends to 1, exactly the same however often it is interrupted."""
    model = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=trial.config["lr"], momentum=0.9)
    trial.restore(model=model, optimizer=optimizer)
    for _ in trial.epochs():
        loss = (model(torch.ones(1, 1)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.report(loss=loss, weight=model.weight)


def test_it_is_told_what_to_train_and_its_rows_are_those_of_a_sweep(begin):
    trial, rows = begin(lr=0.1)
    assert (trial.config, trial.number, trial.seed) == ({"epochs": 3, "lr": 0.1}, 3, 7)
    assert (trial.rank, trial.world_size, trial.fold, str(trial.device)) == (0, 1, (1, 4), "cpu")
    train(trial)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0]["objective"] == rows[0]["metrics"]["loss"] == 1.0
    assert rows[0]["train_loss"] is None
    assert all(row["seconds"] >= 0 for row in rows)


@pytest.mark.parametrize("kill_at", [1, 2, 3])
def test_killed_between_saving_and_reporting_it_goes_on_as_if_nothing_had_been(begin, kill_at):
    trial, before = begin(lr=0.1, kill_at=kill_at)
    with pytest.raises(Killed):
        train(trial)
    trial, after = begin(lr=0.1, reported=kill_at - 1)
    assert [row["epoch"] for row in after] == [kill_at]  # what was saved, and not reported
    train(trial)
    with_seconds = [*before, *after]
    assert [row["epoch"] for row in with_seconds] == [1, 2, 3]
    whole, rows = begin(lr=0.1, reported=0)
    assert not list(whole.epochs())  # all were saved
    assert [row["metrics"] for row in rows] == [row["metrics"] for row in with_seconds]


def test_what_never_saves_begins_again_and_reports_no_epoch_twice(begin):
    def forgetful(trial):
        total = 0.0
        for epoch in trial.epochs():
            total += epoch
            trial.report(loss=total)

    trial, rows = begin(kill_at=3)
    with pytest.raises(Killed):
        forgetful(trial)
    trial, again = begin(reported=2)
    forgetful(trial)
    assert [row["objective"] for row in rows + again] == [1.0, 3.0, 6.0]


def test_plain_values_arrays_and_files_are_kept(begin):
    def trains(trial):
        for epoch in trial.epochs():
            (trial.folder / "notes.txt").write_text(str(epoch))
            trial.save(**kept, epoch=np.int64(epoch))
            trial.report(loss=epoch)

    trial, _ = begin(kill_at=3)
    kept = {"step": 12, "name": "a", "mean": np.arange(3.0), "nested": {"list": [torch.ones(2), 1.5, None, True]}}
    with pytest.raises(Killed):
        trains(trial)
    trial, _ = begin(reported=3)
    saved = trial.saved
    assert (saved["step"], saved["name"], saved["epoch"]) == (12, "a", 3)
    np.testing.assert_array_equal(saved["mean"], np.arange(3.0))
    assert saved["nested"]["list"][0].tolist() == [1.0, 1.0]
    assert (trial.folder / "notes.txt").read_text() == "3"
    counts = {}
    with pytest.raises(UserCodeError, match="no counts: it has"):
        trial.restore(counts=counts)


def test_the_best_epoch_is_kept_beside_the_last(begin, tmp_path):
    trial, _ = begin(objective="accuracy", mode="max")
    for epoch in trial.epochs():
        trial.save(epoch=epoch)
        trial.report(accuracy=[0.1, 0.9, 0.5][epoch - 1])
    assert torch.load(tmp_path / "best.pt", weights_only=True)["saved"] == {"epoch": 2}
    assert torch.load(tmp_path / "state.pt", weights_only=True)["saved"] == {"epoch": 3}


@pytest.mark.parametrize(
    ("value", "says"),
    [(object(), "trial.save: x is an object"), (np.array(["a"]), "array of <U1"), ({(1, 2): 3}, r"key \(1, 2\)")],
)
def test_objects_are_refused_by_name(begin, value, says):
    trial, _ = begin()
    with pytest.raises(UserCodeError, match=says):
        trial.save(x=value)


def test_a_state_that_does_not_fit_is_said(begin):
    trial, _ = begin()
    trial.restore(model=torch.nn.Linear(1, 1))
    trial.report(loss=1.0)
    trial, _ = begin(reported=1)
    with pytest.raises(UserCodeError, match=r"model cannot be restored: .*size mismatch"):
        trial.restore(model=torch.nn.Linear(2, 1))


@pytest.mark.parametrize(
    "value",
    [2, 2.0, np.float32(2), np.array(2), torch.tensor(2.0, requires_grad=True), True + 1],
)
def test_numbers_of_any_library_are_figures(begin, value):
    trial, rows = begin()
    trial.report(loss=value, val_loss=value)
    assert rows[0]["objective"] == rows[0]["val_loss"] == 2.0


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"acc": 1}, "no figure loss, which is the objective: it has acc"),
        ({"Loss": 1}, "did you mean Loss?"),
        ({"loss": "0.5"}, "loss is '0.5', but figures are single numbers"),
        ({"loss": [1, 2]}, r"loss is \[1, 2\]"),
        ({"loss": 1, "seconds": 3}, "cannot be called seconds"),
    ],
)
def test_a_wrong_report_is_one_line(begin, figures, says):
    trial, _ = begin()
    with pytest.raises(UserCodeError, match=says):
        trial.report(**figures)


def test_a_figure_may_be_missing_later(begin):
    trial, rows = begin()
    trial.report(loss=1, accuracy=0.5)
    trial.report(accuracy=0.6)
    assert rows[1]["objective"] is None


def test_reports_belong_into_the_loop(begin):
    trial, _ = begin()
    with pytest.raises(UserCodeError, match=r"epoch 1 ended without trial\.report"):
        list(trial.epochs())
    for _ in range(3):
        trial.report(loss=1)
    with pytest.raises(UserCodeError, match="after epoch 3, the last"):
        trial.report(loss=1)


def test_patience_ends_the_epochs(begin):
    trial, rows = begin(epochs=50, patience=2)
    for epoch in trial.epochs():
        trial.report(loss=abs(epoch - 3))
    assert len(rows) == 5


def test_all_that_is_random_is_seeded_before_it_starts(begin):
    begin()
    first = random.random(), np.random.rand(), torch.rand(1).item()
    begin()
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == first


def test_an_epoch_draws_the_same_whether_it_was_interrupted_or_not(begin):
    def draws(trial):
        for _ in trial.epochs():
            trial.save()
            trial.report(loss=random.random() + np.random.rand() + torch.rand(1).item())

    trial, rows = begin(kill_at=3)
    with pytest.raises(Killed):
        draws(trial)
    trial, after = begin(reported=2)
    draws(trial)
    again, _ = begin(reported=3)
    assert [row["objective"] for row in [*rows, *after]] == [row["objective"] for row in again._rows]
    assert len({row["objective"] for row in again._rows}) == 3


def test_what_no_other_process_finds_is_refused():
    def inner(trial):
        pass

    for function, says in (
        (lambda trial: None, "a lambda"),
        (inner, "inner, which is defined inside another function"),
    ):
        with pytest.raises(UsageError, match=says):
            function_ref(function, "loss", None)
    with pytest.raises(UsageError, match="is no function"):
        function_ref(len, "loss", None)  # not print, which Ray and others replace
    with pytest.raises(UsageError, match="needs an objective"):
        function_ref(train, None, None)
    with pytest.raises(UsageError, match="mode is 'up'"):
        function_ref(train, "loss", "up")


FILE = """
import helper

def train(trial):
    for epoch in trial.epochs():
        trial.report(loss=helper.loss(epoch))

def wrong(trial, more):
    pass
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "helper.py").write_text("def loss(epoch):\n    return 1 / epoch\n")
    path = tmp_path / "own_job.py"
    path.write_text(FILE)
    return path


def test_its_text_travels_with_what_it_imports(file, begin, monkeypatch):
    ref = named_function(f"{file}:train", "loss", "min")
    file.unlink()
    (file.parent / "helper.py").unlink()
    trial, rows = begin()
    program = ref.load()
    program.function(trial)
    assert [row["objective"] for row in rows] == [1.0, 1 / 2, 1 / 3]
    assert ref.code_id


def test_a_name_that_is_not_there_or_a_wrong_signature_is_said(file):
    with pytest.raises(UsageError, match="has no function 'tran'"):
        named_function(f"{file}:tran", "loss", None)
    with pytest.raises(UsageError, match=r"make it wrong\(trial\)"):
        named_function(f"{file}:wrong", "loss", None)
    with pytest.raises(UsageError, match="cannot be imported"):
        named_function("no_such_module:train", "loss", None)
    with pytest.raises(UsageError, match="but must be a function"):
        named_function("math:pi", "loss", None)


def test_a_function_of_a_module_is_imported(file, monkeypatch):
    monkeypatch.syspath_prepend(file.parent)
    ref = named_function("own_job:train", "loss", "min")
    assert (ref.module, ref.source) == ("own_job", None)
    del sys.modules["own_job"]
    assert ref.load().function.__name__ == "train"


def plan_of(file, **options):
    return prepare(f"{file}:train", SPACE, {"objective": "loss", "epochs": 4, **options}).plan


def test_its_hyperparameters_are_those_of_space_and_sweep(file):
    space = {
        **SPACE,
        "width": tune.choice([16, 64]),
        "kind": tune.choice(["a", None, "b"]),
        "list": tune.choice([[1], [2]]),
    }
    plan = prepare(f"{file}:train", space, {"objective": "loss", "epochs": 4, "hyperparameters": {"depth": 3}}).plan
    fields = {name: info.annotation for name, info in plan.task.Hyperparameters.model_fields.items()}
    assert fields["lr"] is float
    assert fields["width"] is int
    assert fields["depth"] is int
    assert fields["kind"] == str | None
    config = plan.configure({"lr": 0.01, "width": 16, "kind": "a", "list": [1]})
    assert config == {"epochs": 4, "patience": None, "lr": 0.01, "width": 16, "kind": "a", "list": [1], "depth": 3}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": None}, "a trial of train needs a maximum number of epochs"),
        ({"size": 100}, "reads its data by itself"),
        ({"start": [{"lr": 7.0}]}, "lr"),
        ({"objective": None}, "needs an objective"),
        ({"objective": "seconds"}, "cannot be called seconds"),
    ],
)
def test_what_a_function_cannot_have_is_refused(file, options, says):
    with pytest.raises(BalltrainError, match=says):
        plan_of(file, **options)


def test_a_task_keeps_its_own_objective():
    with pytest.raises(UsageError, match="has an objective of its own, val_loss"):
        prepare("detect_heatmap", None, {"objective": "iou"})


def test_a_function_in_a_sweep_file(tmp_path):
    (tmp_path / "job.py").write_text(
        textwrap.dedent("""
        import balltrain
        from ray import tune

        def train(trial):
            for epoch in trial.epochs():
                trial.report(accuracy=epoch * trial.config["lr"])

        space = {"lr": tune.uniform(0, 1)}
        sweep = balltrain.Sweep(train, space, objective="accuracy", mode="max", epochs=5, trials=3)
        """)
    )
    plan = prepare(str(tmp_path / "job.py"), None, {}).plan
    assert (plan.task.name, plan.task.objective, plan.task.mode, plan.epochs) == ("train", "accuracy", "max", 5)
    described = plan.to_json()
    assert (described["program"], described["objective"], described["mode"]) == ("function", "accuracy", "max")
    assert repr(plan.sweep).startswith("Sweep('train', space of lr, ")


def test_the_engine_takes_rows_without_objective_and_tables_have_what_was_reported(file, simulate, tmp_path):
    from balltrain.records.results import load_results
    from balltrain.records.tables import write_tables

    sim = simulate(plan_of(file, trials=2, scheduler="none", searcher="random"))
    attempt = sim.controller.next_attempt()
    for epoch, objective in enumerate((0.5, None, 0.25, math.nan), 1):
        row = {"epoch": epoch, "seconds": 1.0, "lr": None, "train_loss": None, "val_loss": None, "num_params": None}
        sim.controller.report(
            attempt.number, {**row, "metrics": {"loss": objective, "late": 1.0}, "objective": objective}
        )
    trial = sim.state.trials[0]
    assert (trial.objective, trial.epochs, trial.diverged) == (0.25, 4, True)
    folder = tmp_path / "runs" / "job"
    folder.mkdir(parents=True)
    write_tables(sim.state, sim.controller.plan.task, folder)
    import pandas as pd

    epochs = pd.read_parquet(folder / "epochs.parquet")
    assert epochs["metric.loss"].isna().tolist() == [False, True, False, True]
    assert epochs["metric.late"].tolist() == [1.0] * 4
    assert load_results is not None


def test_another_command_says_that_it_cannot_use_its_checkpoint(begin, tmp_path, file):
    from balltrain.programs.program import save_description
    from balltrain.training.checkpoint import load_checkpoint

    save_description(tmp_path, named_function(f"{file}:train", "loss", "min").load(), {"lr": 1}, 0)
    with pytest.raises(BalltrainError, match="of the function train, whose models balltrain cannot run"):
        load_checkpoint(tmp_path)


def test_it_is_exported():
    assert balltrain.Trial is Trial


def test_an_epoch_draws_the_same_whether_the_trial_was_resumed(begin):
    def drawn(trial, upto):
        found = []
        for epoch in trial.epochs():
            found.append((random.random(), np.random.rand(), torch.rand(1).item()))
            trial.save()
            trial.report(loss=1.0)
            if epoch == upto:
                return found
        return found

    trial, _ = begin(folder="whole")
    whole = drawn(trial, 3)
    assert len(set(whole)) == 3
    trial, _ = begin(folder="parts")
    parts = drawn(trial, 1)
    trial, _ = begin(folder="parts", reported=1)
    torch.rand(5)  # drawn again, for a model that is then restored
    assert parts + drawn(trial, 3) == whole


def test_what_a_wrong_report_raises_is_not_tried_again(begin):
    trial, _ = begin()
    for wrong in (lambda: trial.report(acc=1), lambda: trial.save(x=object()), lambda: trial.report(loss="a")):
        with pytest.raises(UserCodeError) as raised:
            wrong()
        assert cause_of(raised.value) == Cause.DETERMINISTIC


SCHEDULES = {
    "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": [1, 2, 2]},
    "OneCycleLR": {"max_lr": 0.5, "total_steps": 9, "cycle_momentum": False},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "ReduceLROnPlateau": {"patience": 0},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "cycle_momentum": False},
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", ["SGD", "AdamW", "Adafactor", "RMSprop"])
def test_optimisers_and_schedules_of_torch_go_on_as_they_were(begin, name, kind):
    def made():
        model = torch.nn.Linear(2, 1)
        optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1)
        return model, optimizer, getattr(torch.optim.lr_scheduler, name)(optimizer, **SCHEDULES[name])

    def step(model, optimizer, schedule):
        optimizer.zero_grad()
        model(torch.ones(3, 2)).sum().backward()
        optimizer.step()
        schedule.step(1.0) if name == "ReduceLROnPlateau" else schedule.step()

    trial, _ = begin()
    first = made()
    trial.restore(**dict(zip(("model", "optimizer", "schedule"), first, strict=True)))
    step(*first)
    trial.report(loss=1.0)
    trial, _ = begin(reported=1)
    second = made()
    assert trial.restore(**dict(zip(("model", "optimizer", "schedule"), second, strict=True)))
    for _ in range(4):
        step(*first)
        step(*second)
        assert first[1].param_groups[0]["lr"] == second[1].param_groups[0]["lr"]
    assert torch.equal(first[0].weight, second[0].weight)


def test_generators_of_python_and_numpy_are_kept(begin):
    trial, _ = begin()
    own, python = np.random.default_rng(3), random.Random(3)
    own.random(), python.random()
    trial.save(numpy=own.bit_generator.state, python=python.getstate())
    trial.report(loss=1.0)
    trial, _ = begin(reported=1)
    again, again_python = np.random.default_rng(), random.Random()
    again.bit_generator.state = trial.saved["numpy"]
    again_python.setstate(trial.saved["python"])
    assert (again.random(), again_python.random()) == (own.random(), python.random())


def test_of_several_workers_the_first_ones_figures_count(begin):
    trial, rows = begin(rank=1, world_size=2)
    trial.report(anything="at all")
    assert rows[0]["metrics"] == {}


def test_what_only_an_option_of_a_choice_has_is_null_with_the_others(file):
    space = {"kind": tune.choice([{"kind": "a", "x": tune.uniform(1, 2)}, {"kind": "b"}])}
    plan = prepare(f"{file}:train", space, {"objective": "loss", "epochs": 4}).plan
    assert plan.task.Hyperparameters.model_fields["x"].annotation == float | None
    assert plan.configure({"kind": "b"}) == {"epochs": 4, "patience": None, "kind": "b", "x": None}


def test_one_with_a_decorator_travels_with_its_file(tmp_path, begin, monkeypatch):
    (tmp_path / "decorated.py").write_text(
        "import torch\n\n@torch.no_grad()\ndef train(trial):\n"
        "    for _ in trial.epochs():\n        trial.report(loss=float(torch.is_grad_enabled()))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import decorated

    trial, rows = begin()
    function_ref(decorated.train, "loss", "min").load().function(trial)
    assert [row["objective"] for row in rows] == [0.0] * 3


def test_a_function_is_trained_by_a_sweep_alone(tmp_path):
    (tmp_path / "job.py").write_text(
        "import balltrain\nfrom ray import tune\n\ndef train(trial):\n    pass\n\n"
        "sweep = balltrain.Sweep(train, {'lr': tune.uniform(0, 1)}, objective='loss', epochs=1)\n"
    )
    for what in (str(tmp_path / "job.py"), f"{tmp_path}/job.py:train", train):
        with pytest.raises(UsageError, match="trained by a sweep; one trial is one training"):
            balltrain.train(what)


def test_one_that_is_named_without_a_space_is_told_of_the_option(file):
    with pytest.raises(UsageError, match=r"the function .*own_job\.py:train needs a space to search: add --space"):
        prepare(f"{file}:train", None, {"objective": "loss", "epochs": 4})

"""A sweep that begins with what earlier ones know."""

import json

import pytest
from toy import TOY_FILE

from balltrain import BalltrainError, UsageError
from balltrain.api.preparing import prepare
from balltrain.records.tables import write_tables


@pytest.fixture
def earlier(make_toy_plan, simulate, tmp_path):
    """Leaves a sweep in `tmp_path`; gives what it is called by a new one."""

    def make(name, task="toy", **options):
        sim = simulate(make_toy_plan(**{"trials": 12, "epochs": 4, "searcher": "random", **options}))
        sim.run()
        folder = tmp_path / name
        folder.mkdir()
        sweep = {**sim.state.sweep, "name": name, "task": task, "placement": {}}
        (folder / "sweep.json").write_text(json.dumps(sweep))
        write_tables(sim.state, sim.controller.plan.task, folder)
        return sim.state.ranked()

    return make


def prepared(tmp_path, *names, **options):
    named = {"from_": list(names), "storage": tmp_path, "name": "new", "wandb": "off", "num_gpus": 0}
    return prepare(TOY_FILE, None, {**named, **options}).plan


@pytest.mark.parametrize("searcher", ["hyperopt", "freeze-thaw"])
def test_the_best_of_each_come_first_by_turns(earlier, tmp_path, simulate, searcher):
    one, other = earlier("one"), earlier("other", seed=1)
    plan = prepared(tmp_path, "one", "other", searcher=searcher, start=[{"lr": 0.05, "batch_size": 8}], trials=14)
    sim = simulate(plan, concurrency=1)
    sim.run()
    wanted = [{"lr": 0.05, "batch_size": 8}]
    wanted += [{name: t.config[name] for name in ("lr", "batch_size")} for pair in zip(one, other) for t in pair]  # noqa: B905
    tried = [{name: t.config[name] for name in ("lr", "batch_size")} for t in sim.state.searched]
    assert tried[:11] == wanted[:11]


def test_a_resumed_sweep_keeps_to_what_they_knew_when_it_began(earlier, tmp_path, simulate):
    earlier("one")
    plan = prepared(tmp_path, "one")
    sim = simulate(plan)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "journal.jsonl").write_text(json.dumps(sim.lines[0]) + "\n")
    (tmp_path / "one" / "trials.parquet").unlink()
    assert prepared(tmp_path, "one", resume=True).known == plan.known
    assert len(plan.known) == 5


def test_what_they_cannot_tell_is_refused(earlier, tmp_path):
    earlier("one")
    earlier("of-detect", task="detect")
    with pytest.raises(UsageError, match="--from of-detect is a sweep of detect, and this one of toy: leave it out"):
        prepared(tmp_path, "of-detect")
    with pytest.raises(BalltrainError, match=r"no sweep 'onne' in .*: did you mean one\?"):
        prepared(tmp_path, "onne")
    with pytest.raises(UsageError, match="sobol goes through points of its own: leave out --from"):
        prepared(tmp_path, "one", searcher="sobol")
    with pytest.raises(UsageError, match="must be a list of names"):
        prepare(TOY_FILE, None, {"from_": [3], "storage": tmp_path, "wandb": "off"})


def test_from_is_typed_once_a_sweep(cli, earlier, tmp_path):
    earlier("one")
    code, _, err = cli("sweep", TOY_FILE, "--from", "one", "--from", "two", "--storage", tmp_path, "--dry-run")
    assert code == 1
    assert "no sweep 'two' in" in err

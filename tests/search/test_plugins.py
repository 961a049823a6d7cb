"""Searchers and stopping rules of installed packages: the package of docs/plugins.md, and broken ones."""

import re
import tomllib
from pathlib import Path

import pytest
from ray import tune

from balltrain.errors import BalltrainError, UsageError
from balltrain.records.columns import Status
from balltrain.search.searchers import SEARCHERS, build_searcher
from balltrain.search.space import Space
from balltrain.search.stopping import SCHEDULERS, build_stopping
from balltrain.search.sweep import Sweep, override
from balltrain.testing import SearcherConformance, StoppingConformance
from balltrain.testing.curves import generated_problem
from balltrain.testing.virtual import VirtualSweep, outcome, plan_of

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
SPACE = Space({"lr": tune.loguniform(1e-4, 1), "kind": tune.choice(["a", {"n": tune.randint(0, 5)}])})


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Have a package installed: its files, and its entry points by group."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(files, entry_points, name="extra"):
        for file, text in files.items():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(text)
        folder = tmp_path / f"balltrain_{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: balltrain-{name}\nVersion: 1.0\n")
        lines = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
            for group, points in entry_points.items()
        ]
        (folder / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)  # what was looked up before is looked up again

    return make


@pytest.fixture
def extra(install):
    """The package that docs/plugins.md shows."""
    parts = re.findall(r"^## (\S+)\n.*?```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    files = dict(parts)
    assert set(files) == {
        "pyproject.toml",
        "balltrain_extra/evolve.py",
        "balltrain_extra/median.py",
        "tests/test_conformance.py",
    }
    project = tomllib.loads(files["pyproject.toml"])["project"]
    install({name: text for name, text in files.items() if "extra/" in name}, project["entry-points"])


@pytest.mark.usefixtures("extra")
class TestEvolve(SearcherConformance):
    searcher = "evolve"


@pytest.mark.usefixtures("extra")
class TestMedian(StoppingConformance):
    scheduler = "median"


@pytest.mark.usefixtures("extra")
def test_a_sweep_by_both_is_killed_and_goes_on():
    problem = generated_problem(5)
    plan = plan_of(problem, searcher="evolve", scheduler="median", trials=24, start=[{"layout": "deep"}])
    whole = VirtualSweep(problem, plan, workers=1).run()
    assert {t.status for t in whole.state.searched} == {Status.COMPLETED, Status.STOPPED}
    killed = VirtualSweep(problem, plan, workers=1).run(200)
    resumed = VirtualSweep(problem, plan, workers=1, lines=killed.lines).run()
    assert outcome(resumed.state) == outcome(whole.state)
    assert (plan.to_json()["searcher"], plan.to_json()["scheduler"]["name"]) == ("evolve", "median")


@pytest.mark.usefixtures("extra")
def test_a_dry_run_of_them_says_what_they_do(cli):
    options = ("--searcher", "evolve", "--scheduler", "median", "--size", 60, "--dry-run", "--trials", 9)
    code, out, err = cli("sweep", "detect_heatmap", *options, "--data-dir", "d")
    assert code == 0, err
    assert re.search(r"searcher +evolve, the first 8 at random", out)
    assert re.search(r"scheduler +median: [3-8] reach epoch 10, expected", out)


@pytest.mark.usefixtures("extra")
def test_they_are_named_among_the_others():
    with pytest.raises(UsageError, match="unknown searcher 'evolv': did you mean evolve"):
        Sweep("detect", {}, searcher="evolv")
    with pytest.raises(UsageError, match="unknown scheduler 'mean': did you mean median"):
        Sweep("detect", {}, scheduler="mean")
    with pytest.raises(UsageError, match="freeze-thaw pauses trials itself: leave out the scheduler median"):
        Sweep("detect", {}, searcher="freeze-thaw", scheduler="median")
    with pytest.raises(UsageError, match="leave out --scheduler median"):
        override(Sweep("detect", {}), searcher="freeze-thaw", scheduler="median")
    assert override(Sweep("detect", {}, searcher="freeze-thaw"), scheduler="median").searcher == "hyperopt"


def test_one_that_is_not_installed_any_more_is_said():
    with pytest.raises(UsageError, match=r"unknown searcher 'evolve'.*or install the package that has it"):
        Sweep("detect", {}, searcher="evolve")


BROKEN = """
import numpy as np

class Base:
    point = {"lr": 0.01, "kind": 0}
    def __init__(self, space, mode, seed): pass
    def suggest(self, number): return self.point
    def add(self, number, point): pass
    def tell(self, number, objective): pass

class Deaf(Base):
    tell = None

class Fails(Base):
    def __init__(self, space, mode, seed):
        raise RuntimeError("no more")

class Other:
    def __init__(self, space): pass

class Outside(Base):
    point = {"lr": 7.0, "kind": 0}

class Missing(Base):
    point = {"lr": 0.01}

class Inactive(Base):
    point = {"lr": 0.01, "kind": 0, "kind/1/n": 3}

class Nothing(Base):
    point = None

class Numpy(Base):
    point = {"lr": np.float64(0.01), "kind": np.int64(1), "kind/1/n": np.int32(4)}

class Silent:
    def __init__(self, mode, epochs, grace, reduction_factor): pass
    def goes_on(self, trial_id, epoch, objective): pass
    def rungs(self): return {}

number = 3
"""


@pytest.fixture
def broken(install):
    names = re.findall(r"class (\w+)", BROKEN)
    points = {name.lower(): f"broken_extra:{name}" for name in names}
    wrong = {"absent": "broken_extra:Absent", "nowhere": "no_such_module:A", "number": "broken_extra:number"}
    install(
        {"broken_extra.py": BROKEN},
        {
            SEARCHERS.group: {**points, **wrong, "sobol": "broken_extra:Base"},
            SCHEDULERS.group: {"silent": "broken_extra:Silent", "asha": "broken_extra:Silent"},
        },
    )


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", r"plug-in absent \(broken_extra:Absent of balltrain-extra 1\.0\) cannot be imported: Attrib"),
        ("nowhere", r"cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("number", "is 3: name a class"),
        ("deaf", "the searcher deaf has no method tell: a searcher has suggest, add and tell"),
        ("other", r"the searcher other cannot be made by Other\(space, mode, seed\)"),
        ("fails", r"broken_extra.py, line \d+, in __init__: RuntimeError: no more"),
        ("sobol", r"plug-in sobol .* has the name of a searcher that comes with balltrain"),
    ],
)
def test_one_that_is_none_is_one_line_before_anything_starts(name, says):
    with pytest.raises(BalltrainError, match=says):
        build_searcher(name, SPACE, "min", 0)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("outside", r"the searcher outside proposes 7\.0 for lr, which is outside of the space"),
        ("missing", "proposes nothing for kind: the space has lr, kind there"),
        ("inactive", "proposes kind/1/n, which does not count there"),
        ("nothing", "proposes None: return a dict"),
    ],
)
def test_a_point_that_the_space_does_not_hold_is_refused(name, says):
    with pytest.raises(BalltrainError, match=says):
        build_searcher(name, SPACE, "min", 0).suggest(0)


@pytest.mark.usefixtures("broken")
def test_numbers_of_numpy_are_numbers():
    point = build_searcher("numpy", SPACE, "min", 0).suggest(0)
    assert point == {"lr": 0.01, "kind": 1, "kind/1/n": 4}
    assert {type(value) for value in point.values()} == {float, int}


@pytest.mark.usefixtures("broken")
def test_a_rule_that_forgets_to_return_is_refused():
    with pytest.raises(BalltrainError, match="the scheduler silent decides None by goes_on: return True or False"):
        build_stopping("silent", "min", 9, 1, 3).goes_on("a", 1, 0.5)
    with pytest.raises(UsageError, match="has the name of a scheduler that comes with balltrain, asha"):
        build_stopping("asha", "min", 9, 1, 3)


@pytest.mark.usefixtures("broken")
def test_two_packages_with_one_name_are_refused(install):
    install({}, {SEARCHERS.group: {"base": "elsewhere:Base"}}, name="second")
    with pytest.raises(UsageError, match=r"two searchers are called base: .*uninstall one of them"):
        Sweep("detect", {}, searcher="base")

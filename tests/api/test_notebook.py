"""In a notebook: progress in the cell's output, Ctrl-C, a Ray that runs already."""

import re

import pytest
from toy import TOY_FILE

SETUP = f"""
import sys, os
sys.path.append({str(TOY_FILE.rpartition("/")[0])!r})
import balltrain, toy
from ray import tune
LR = {{"lr": tune.loguniform(1e-4, 1e-1)}}
"""
SWEEP = 'results = balltrain.sweep(toy.Toy, LR, name="{name}", wandb="off", {options})'


@pytest.fixture(scope="module")
def notebook(kernel):
    assert kernel.run(SETUP).error is None
    return kernel


def plain(content):
    return content["data"]["text/plain"]


@pytest.fixture(scope="module")
def swept(notebook):
    return notebook.run("print('before')\n" + SWEEP.format(name="shown", options="trials=4, epochs=2") + "\nresults")


def test_a_sweep_is_shown_in_place_while_it_runs(swept):
    assert swept.error is None
    phases, panel = swept.displays
    assert plain(phases) == "preparing the data …"
    (places, places_of_panel) = (display["transient"]["display_id"] for display in (phases, panel))
    assert plain([update for update in swept.updates if update["transient"]["display_id"] == places][-1]) == ""
    drawn = [update for update in swept.updates if update["transient"]["display_id"] == places_of_panel]
    assert re.search(r"\d/4 trials", plain(panel))
    assert "4/4 trials" in plain(drawn[-1])
    assert drawn[-1]["data"]["text/html"].startswith("<pre style=")


def test_nothing_else_is_said_and_nothing_is_cleared(swept):
    assert swept.out == "before\n"
    assert swept.streams["stderr"] == ""


def test_results_are_a_table_in_a_notebook(swept, notebook):
    assert swept.value["text/html"].startswith("<b>shown</b>: 4 trials")
    assert swept.value["text/plain"].startswith("shown  toy · hyperopt + asha · 4 trials: ")
    assert notebook.run("print(results)").out.startswith("shown  toy")


def test_a_quiet_sweep_shows_nothing(notebook):
    ran = notebook.run("model = balltrain.train(toy.Toy, epochs=1, progress=False, wandb='off')\nmodel")
    assert (ran.error, ran.displays, ran.streams) == (None, [], {"stdout": "", "stderr": ""})


def test_an_error_leaves_no_phase_behind(notebook):
    ran = notebook.run(SWEEP.format(name="shown", options="trials=4"))
    assert ran.error.endswith("shown holds a sweep already: add resume=True to go on with it, or choose another name")
    assert plain(ran.updates[-1]) == ""


def test_no_notebook_is_seen_where_there_is_none():
    from balltrain.reporting.notebook import in_notebook

    assert not in_notebook()

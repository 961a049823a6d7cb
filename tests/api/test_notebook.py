"""In a notebook: progress in the cell's output, Ctrl-C, a Ray that runs already."""

import re

import pytest
from sum_task import IMPORTS, SUM

SWEEP = 'results = balltrain.sweep(Sum, {{"lr": tune.loguniform(1e-4, 1e-1)}}, name="{name}", wandb="off", {options})'


@pytest.fixture(scope="module")
def notebook(kernel):
    assert kernel.run(IMPORTS + SUM).error is None
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
    assert swept.value["text/plain"].startswith("shown  sum · hyperopt + asha · 4 trials: ")
    assert notebook.run("print(results)").out.startswith("shown  sum")


def test_the_report_of_a_cells_task_says_how_to_train_it_in_python(swept, notebook):
    notebook.run("text = open(results.report()).read()")
    assert notebook.json(
        "print(json.dumps(['balltrain.train(TASK, epochs=2, lr=' in text, 'balltrain train' in text]))"
    ) == [
        True,
        False,
    ]


def test_a_quiet_sweep_shows_nothing(notebook):
    ran = notebook.run("model = balltrain.train(Sum, epochs=1, progress=False, wandb='off')\nmodel")
    assert (ran.error, ran.displays, ran.streams) == (None, [], {"stdout": "", "stderr": ""})


def test_an_error_leaves_no_phase_behind(notebook):
    ran = notebook.run(SWEEP.format(name="shown", options="trials=4"))
    assert ran.error.endswith("shown holds a sweep already: add resume=True to go on with it, or choose another name")
    assert plain(ran.updates[-1]) == ""


@pytest.mark.slow
def test_an_interrupt_returns_what_there_is_and_the_sweep_goes_on_later(notebook):
    def has_trained(ran):
        return any(re.search(r"epochs [1-9]", plain(update)) for update in ran.updates)

    def call(more=""):
        return SWEEP.format(name="stopped", options=f"trials=2, epochs=30, scheduler='none'{more}")

    notebook.run("NAP_S = 0.5")
    ran = notebook.run(call() + "\nresults.interrupted", interrupt_when=has_trained)
    assert (ran.error, ran.value["text/plain"]) == (None, "True")
    assert ran.streams["stderr"].splitlines() == [
        "ending after the epochs that run; another interrupt ends at once",
        "to go on: the same call with name='stopped', resume=True",
    ]
    assert notebook.json("print(json.dumps([results.counts, len(results.epochs)]))")[0]["interrupted"] == 2
    notebook.run("NAP_S = 0.0")
    again = notebook.run(call(", resume=True") + "\nresults.counts['completed'], len(results.epochs)")
    assert (again.error, again.value["text/plain"]) == (None, "(2, 60)")


def test_a_sweep_runs_on_the_ray_of_the_notebook_and_leaves_it_up(notebook):
    start = "import ray\nray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level='critical')"
    assert notebook.run(f"{start}\nbefore = ray.get_runtime_context().gcs_address").error is None
    ran = notebook.run(SWEEP.format(name="guest", options="trials=2, epochs=1") + "\nresults.counts['completed']")
    assert (ran.error, ran.value["text/plain"]) == (None, "2")
    after = notebook.run("ray.get_runtime_context().gcs_address == before, results.tables.sweep['placement']")
    assert after.value["text/plain"].startswith("(True")
    assert notebook.run("ray.shutdown()").error is None


def test_no_notebook_is_seen_where_there_is_none():
    from balltrain.reporting.notebook import in_notebook

    assert not in_notebook()

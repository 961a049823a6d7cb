"""`balltrain.sweep`, `load` and `train` from a script: what they return, what they refuse, in which words."""

import inspect
import os
import shutil
import threading
import time

import numpy as np
import pytest
from ray import tune
from toy import TOY_FILE, Toy

import balltrain

LR = {"lr": tune.loguniform(1e-4, 1e-1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("api")


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("BALLTRAIN_STORAGE", raising=False)


@pytest.fixture(scope="module")
def swept(folder, shared_data_dir):
    """A sweep of the toy task, which was read again and again while it ran."""
    import balltrain.execution.runner as runner

    seen, ended = [], threading.Event()

    def look():
        while not ended.wait(0.05):
            try:
                seen.append(balltrain.load("toys", storage=folder / "runs"))
            except balltrain.BalltrainError as error:
                seen.append(str(error))

    looking = threading.Thread(target=look)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(runner, "COMPACT_EVERY_S", 0.2)
        looking.start()
        results = balltrain.sweep(
            *(Toy, LR),
            **{"trials": np.int64(6), "epochs": 3, "name": "toys", "data_dir": shared_data_dir, "wandb": "off"},
            hyperparameters={"batch_size": np.int64(16)},
            progress=False,
        )
    ended.set()
    looking.join()
    return results, seen


def test_results_hold_the_best_and_all_as_tables(swept):
    results, _ = swept
    assert (results.name, results.storage, results.interrupted) == ("toys", "runs", False)
    assert len(results.trials) == 6
    assert results.trials["objective"].min() == results.best.objective
    assert results.best.config["batch_size"] == 16
    assert results.epochs["epoch"].max() == 3
    assert (results.best.checkpoint / "model.safetensors").is_file()
    assert results.seconds > 0


def test_results_print_as_a_table(swept, monkeypatch):
    results, _ = swept
    monkeypatch.setenv("FORCE_COLOR", "1")  # a notebook's kernel has it
    text = repr(results)
    assert "\x1b" not in text
    assert text.startswith("toys  toy · hyperopt + asha · 6 trials: ")
    assert results.best.trial_id in text
    page = results._repr_html_()
    assert page.startswith("<b>toys</b>: 6 trials (")
    assert page.count("<tr") == 1 + 6
    assert "<td></td>" not in page


def test_what_is_returned_prints_in_a_line(swept):
    results, _ = swept
    assert repr(results.best).startswith(f"Best(trial_id='{results.best.trial_id}', objective=")
    evaluation = results.model().evaluate("test")
    assert repr(evaluation).startswith("Evaluation(toy, test, 10 items: loss ")
    assert "<td>error</td>" in evaluation._repr_html_()
    assert repr(results.model()) == "Model('runs/toys/best')"
    sweep = balltrain.Sweep(Toy(), LR, trials=3)
    assert repr(sweep) == "Sweep('toy', space of lr, trials=3)"


def test_a_report_is_a_path_and_a_page(swept):
    report = swept[0].report()
    assert os.fspath(report) == str(report) == "runs/toys/report.html"
    assert repr(report) == "Report('runs/toys/report.html')"
    assert report._repr_html_().startswith("<iframe srcdoc=")


def test_a_sweep_is_read_while_it_runs(swept):
    """Each look has the tables as they are by then, or says in a line that there are none yet."""
    results, seen = swept
    assert seen
    for look in seen:
        if isinstance(look, str):
            assert "no sweep 'toys'" in look or "yet" in look
        else:
            assert len(look.trials) <= 6
            assert look.refresh().counts == results.counts


@pytest.mark.parametrize("name", ["toys", "runs/toys", "runs/toys/", "{folder}/runs/toys"])
def test_a_sweep_is_read_by_name_and_by_folder(swept, folder, name):
    loaded = balltrain.load(name.format(folder=folder))
    assert loaded.trials.equals(swept[0].trials)
    assert loaded.refresh().name == "toys"


def test_a_sweep_is_read_inside_its_folder(swept, monkeypatch):
    monkeypatch.chdir(swept[0].folder)
    assert balltrain.load(".").name == "toys"


def test_the_environment_says_where_sweeps_are(swept, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("BALLTRAIN_STORAGE", str(folder / "runs"))
    monkeypatch.chdir(tmp_path)
    assert len(balltrain.load("toys").trials) == 6


def test_a_sweep_in_object_storage_is_read_and_its_model_fetched(swept, bucket, tmp_path, monkeypatch):
    from balltrain.storage import Storage

    results, _ = swept
    place, best = Storage(bucket), results.best
    for file in [file for file in results.folder.rglob("*") if file.is_file()]:
        if "best" not in file.parts and ".lock" not in file.name:  # as long as the sweep runs
            place.remote.push_file(file, f"toys/{file.relative_to(results.folder)}")
    loaded = balltrain.load(f"{bucket}/toys")
    assert (loaded.storage, len(loaded.trials)) == (bucket, 6)
    assert loaded.best.trial_id == best.trial_id
    assert loaded.model().hyperparameters["lr"] == best.config["lr"]
    with pytest.raises(balltrain.BalltrainError, match=r"no sweep 'toy' in .*did you mean toys\?"):
        balltrain.load(f"{bucket}/toy")


def test_training_says_what_it_found(folder, shared_data_dir, capsys):
    model = balltrain.train(TOY_FILE, epochs=2, lr=0.01, out="runs/one", data_dir=shared_data_dir, wandb="off")
    assert repr(model).startswith("Model('runs/one/best', val_loss ")
    assert model.hyperparameters["lr"] == 0.01
    assert model.results.best.epoch in (1, 2)
    assert capsys.readouterr().err.count("\n") == 3


REFUSED = [
    ({"trails": 3}, "balltrain.sweep() has no 'trails': did you mean trials?"),
    ({"num_gpu": 1}, "balltrain.sweep() has no 'num_gpu': did you mean num_gpus?"),
    ({"lr": 3}, "balltrain.sweep() has no 'lr', which is a hyperparameter: fix it for every trial by "),
    ({"trials": "20"}, "trials is '20', but must be of the type int"),
    ({"trials": True}, "trials is True, but must be of the type int"),
    ({"trials": 0}, "the number of trials is 0, but must be at least 1"),
    ({"size": 0}, "size is 0, but must be at least 1"),
    ({"hyperparameters": ["lr"]}, "hyperparameters is ['lr'], but must be of the type dict"),
    ({"hyperparameters": {"lrr": 1}}, "toy has no hyperparameter 'lrr': did you mean lr?"),
    ({"source": "nowhere"}, "source nowhere: there is no such file or folder"),
    ({"resume": True}, 'resume=True needs the sweep\'s name: name="NAME" (balltrain results lists them)'),
    ({"name": "a/b"}, "name 'a/b' cannot be a folder's name"),
    ({"repeats": 3}, "repeats needs confirm=K, the number of best configurations to train again"),
    ({"wandb_checkpoint": True, "wandb": "off"}, 'wandb_checkpoint=True needs W&B, which wandb="off" turns off'),
    ({"wandb": "of"}, "unknown wandb mode 'of': choose one of"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_a_wrong_argument_is_refused_in_the_words_of_python(options, message):
    with pytest.raises(balltrain.BalltrainError) as refused:
        balltrain.sweep(Toy, LR, **options)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Toy,), "a task needs a space to search: balltrain.sweep(task, {"),
        ((Toy, ["lr"]), "the space is ['lr'], but must be a dict of hyperparameters, such as {"),
        ((Toy, {"lr": 0.1}), "the space {'lr': 0.1} has nothing to search: give a range, such as {"),
        ((Toy, {"lrr": LR["lr"]}), "the space of the sweep allows what toy refuses: toy has no hyperparameter 'lrr'"),
        ((3, LR), "3 is no task: give a task's name, a Python file, or a subclass of balltrain.Task"),
        (("detect_heatmapp",), "no sweep of 'detect_heatmapp': did you mean detect_heatmap? choose one of"),
        (("detekt", LR), "unknown task 'detekt': did you mean detect? choose one of"),
        ((balltrain.Sweep("detect", LR), LR), "a Sweep has a space: leave out the second argument, or give a task"),
    ],
)
def test_what_is_no_sweep_is_refused(arguments, message):
    with pytest.raises(balltrain.UsageError) as refused:
        balltrain.sweep(*arguments)
    assert str(refused.value).startswith(message)


def test_a_name_that_is_taken_says_how_to_go_on(swept, shared_data_dir):
    with pytest.raises(balltrain.BalltrainError) as refused:
        balltrain.sweep(Toy, LR, name="toys", data_dir=shared_data_dir, wandb="off", progress=False)
    assert str(refused.value).endswith(
        "toys holds a sweep already: add resume=True to go on with it, or choose another name"
    )


def test_the_command_line_keeps_its_own_words(cli, swept):
    code, _, error = cli("sweep", TOY_FILE, "--size", "0")
    assert (code, error) == (2, "error: --size is 0, but must be at least 1\n")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: balltrain.train(Toy, sed=1), "balltrain.train() has no 'sed': did you mean seed?"),
        (lambda: balltrain.train(Toy, lrr=1), "balltrain.train() has no 'lrr': did you mean lr?"),
        (lambda: balltrain.train(Toy, lr=-1), "hyperparameter lr = -1: "),
        (lambda: balltrain.train(Toy, workers=0), "workers is 0, but must be at least 1"),
        (lambda: balltrain.train(Toy, resume=True), 'resume=True needs the run\'s folder: out="runs/NAME"'),
        (lambda: balltrain.Model("nowhere").evaluate(), "nowhere is not there: a checkpoint is a folder with"),
        (lambda: balltrain.Model("runs").evaluate("all"), "unknown split 'all': choose train, val or test"),
        (lambda: balltrain.Model("runs/toys/best").evaluate(sise=3), "balltrain.Model.evaluate() has no 'sise': did"),
        (lambda: balltrain.Model("runs/toys/best").predict("x.jpg", "out"), "x.jpg: there is no such file"),
    ],
)
def test_what_cannot_be_trained_or_read_is_refused(swept, call, message):
    with pytest.raises(balltrain.BalltrainError) as refused:
        call()
    assert str(refused.value).startswith(message)


def test_help_lists_every_option_once_by_what_it_is_for():
    text, options = inspect.getdoc(balltrain.sweep), inspect.signature(balltrain.sweep).parameters
    assert list(options)[:3] == ["task", "space", "progress"]
    for name in list(options)[3:]:
        assert text.count(f"\n        {name} (") == 1, name
    assert "--" not in text
    panels = ("Search", "Early stopping", "After the search", "Model", "Data", "Resources", "Tracking", "The run")
    places = [text.index(f"\n    {panel}\n") for panel in panels]
    assert places == sorted(places)
    assert max(len(line) for line in text.splitlines()) <= 120


def test_a_checkpoint_keeps_the_text_of_its_task(swept, tmp_path):
    """The file of a task may be gone, or of another machine."""
    import json

    from balltrain.training.checkpoint import load_checkpoint

    copy = shutil.copytree(swept[0].best.checkpoint, tmp_path / "c")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "task_file": "/not/here/toy.py"}))
    assert load_checkpoint(copy).task.name == "toy"


def test_time_stamped_names_of_two_calls_differ():
    from balltrain.api.arguments import time_stamped

    first = time_stamped("toy")
    time.sleep(1.01)
    assert first != time_stamped("toy")

"""Spaces in TOML files: what they mean, and what is said of mistakes."""

import pytest
from ray import tune

from balltrain.errors import UsageError
from balltrain.search.space import Space
from balltrain.search.space_files import read_space


@pytest.fixture
def read(tmp_path):
    def read(text, known=None):
        path = tmp_path / "space.toml"
        path.write_text(text)
        return Space(read_space(path, known)).to_json()

    return read


@pytest.mark.parametrize(
    ("toml", "in_python"),
    [
        ("{uniform = [0, 0.5]}", tune.uniform(0, 0.5)),
        ("{uniform = [0, 0.5], step = 0.1}", tune.quniform(0, 0.5, 0.1)),
        ("{log = [1e-4, 1e-1]}", tune.loguniform(1e-4, 1e-1)),
        ("{log = [1e-4, 1], step = 1e-4}", tune.qloguniform(1e-4, 1, 1e-4)),
        ("{int = [1, 8]}", tune.randint(1, 9)),
        ("{int = [16, 64], step = 16}", tune.qrandint(16, 64, 16)),
        ("{log_int = [8, 1024]}", tune.lograndint(8, 1025)),
        ("{loguniform = [1e-4, 1e-1]}", tune.loguniform(1e-4, 1e-1)),
        ("{randint = [1, 8]}", tune.randint(1, 8)),
        ("{qrandint = [16, 64, 16]}", tune.qrandint(16, 64, 16)),
        ("{qlograndint = [1, 64, 2]}", tune.qlograndint(1, 64, 2)),
        ('{choice = ["adam", "sgd"]}', tune.choice(["adam", "sgd"])),
        ("{grid = [16, 64]}", tune.grid_search([16, 64])),
        ("{grid_search = [16, 64]}", tune.grid_search([16, 64])),
        ("{choice = [1, {int = [2, 4]}]}", tune.choice([1, tune.randint(2, 5)])),
        ("[8, {int = [1, 4]}]", [8, tune.randint(1, 5)]),
        ("{alpha = 1, beta = {uniform = [0, 1]}}", {"alpha": 1, "beta": tune.uniform(0, 1)}),
        ("64", 64),
        ("{uniform = [0.5, 0.1]}", tune.uniform(0.5, 0.1)),  # falling: searchers in order begin at 0.5
    ],
)
def test_each_word_means_what_ray_tune_has(read, toml, in_python):
    assert read(f"x = {toml}") == Space({"x": in_python}).to_json()


def test_an_option_may_set_several_hyperparameters(read):
    text = '[[head.choice]]\nmodel = "mlp"\nwidth = {int = [1, 4]}\n[[head.choice]]\nmodel = "linear"\n'
    options = [{"model": "mlp", "width": tune.randint(1, 5)}, {"model": "linear"}]
    assert read(text) == Space({"head": tune.choice(options)}).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = {log = [0, 1]}", "line 1: lr: .*above 0"),
        ("a = 1\nlr = {lgo = [1e-4, 1]}", "line 2: lr: 'lgo' is no kind of range: did you mean log"),
        ("a = 1\n\nlr = {log = [1e-4]}", "line 3: lr: log = .* 2 numbers"),
        ("lr = {log = [1e-4, 1], q = 1}", "line 1: lr: log goes with no 'q'"),
        ("lr = {log = 1e-4}", "must be 2 numbers"),
        ("lr = {log = [true, 1]}", "must be 2 numbers"),
        ("n = {int = [1.5, 4]}", "is of integers"),
        ("n = {int = [1, 4], step = 0}", "step = 0, but must be"),
        ("n = {choice = []}", "must be a list of values"),
        ("n = {choice = [1], step = 1}", "choice has no step"),
        ("n = {qrandint = [1, 4]}", "must be 3 numbers"),
        ("n = {uniform = [1, 1]}", "holds one value: write n = 1"),
        ("day = 2024-01-01", "is a date"),
        ("lr = {log = [1e-4, 1}", "line 1: "),
        ("lr = 1\nlr = 2", "line 2: "),
        ("", "is empty"),
        ("[[h.choice]]\nm = 1\n[[h.choice]]\nm = {int = [0.5, 1]}", "line 4: h.m: int"),
        ("lrr = 1", r"line 1: lrr: there is no hyperparameter 'lrr': did you mean lr\?"),
    ],
)
def test_a_mistake_is_named_with_its_line(read, text, message):
    with pytest.raises(UsageError, match=message):
        read(text, known=None if "lrr" not in text else ["lr", "width"])


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no TOML file"):
        read_space(tmp_path / "space.yaml")


def test_a_task_is_swept_with_the_space_of_a_file(tmp_path):
    from toy import TOY_FILE

    from balltrain.api.preparing import prepare

    file = tmp_path / "space.toml"
    file.write_text("lr = {log = [1e-4, 1e-1]}\nbatch_size = 16\n")
    plan = prepare(TOY_FILE, file, {}).plan
    assert plan.space.to_json() == Space({"lr": tune.loguniform(1e-4, 1e-1), "batch_size": 16}).to_json()
    file.write_text("lr = {log = [1e-4, 1e-1]}\nbatchsize = 16\n")
    with pytest.raises(UsageError, match=r"line 2: .*did you mean batch_size\?"):
        prepare(TOY_FILE, file, {})

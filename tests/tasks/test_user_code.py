"""What a user's own code raises is one line: the file, the line, the method and the exception."""

import argparse
import os
import signal

import numpy as np
import pytest

from balltrain.data.cache import load_data
from balltrain.errors import BalltrainError, UserCodeError
from balltrain.search import policy
from balltrain.search.policy import Cause
from balltrain.tasks import run_file, task_ref
from balltrain.tasks.base import DataRequest
from balltrain.tasks.user_code import told_as_users, users_error

TASK = """import numpy as np
from torch import nn
import balltrain


def helper(batch):
    return batch["x"]


class Own(balltrain.Task):
    name = "own"

    def prepare(self, request, arrays):
        arrays["x"] = np.zeros((20, 2), np.float32)
        PREPARE
        return {}

    def build_model(self, hp, facts):
        return nn.Linear(2, 1)

    def loss(self, model, batch, hp):
        LOSS

    def predict(self, model, batch, hp):
        return {"y": model(batch["x"])}

    def metrics(self, outputs, targets, hp, *, thorough):
        return {"loss": 0.0}
"""


def own(folder, prepare="pass", loss="return model(batch['x']).mean()", top=""):
    file = folder / "own.py"
    file.write_text(TASK.replace("PREPARE", prepare).replace("LOSS", loss) + top)
    return task_ref(str(file))


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        ("{}['price']", "own.py, line 15, in prepare: KeyError: 'price'"),
        ("open('data/train.csv')", "own.py, line 15, in prepare: FileNotFoundError: [Errno 2]"),
        ("helper({})", "own.py, line 7, in helper (of prepare): KeyError: 'x'"),
        ("[helper({}) for _ in range(2)]", "own.py, line 7, in helper (of prepare): KeyError"),
        ("raise SystemExit(3)", "own.py, line 15, in prepare, ends the process (SystemExit: 3)"),
        ("raise KeyboardInterrupt", "own.py, line 15, in prepare: KeyboardInterrupt"),
        ("arrays['z'] = [[1], [1, 2]]", "own.py, line 15, in prepare: ValueError"),
    ],
)
def test_prepare_that_raises_is_told_by_its_line(tmp_path, prepare, said):
    ref = own(tmp_path, prepare)
    with pytest.raises(UserCodeError) as caught:
        load_data(ref, ref.load(), DataRequest(), tmp_path / "data")
    assert str(caught.value).startswith(said)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ("import sys; sys.exit('no data')", "ends the process (SystemExit: no data): put"),
        ("raise KeyboardInterrupt", "fails: KeyboardInterrupt"),
        ("import os; os._exit(4)", "ends the process (SystemExit: 4)"),
        ("import argparse; argparse.ArgumentParser().parse_args(['x'])", "SystemExit: unrecognized arguments: x"),
        ("helper({})", "in helper (at import): KeyError: 'x'"),
        ("class Stop(BaseException): pass\nraise Stop('now')", "fails: Stop: now"),
    ],
)
def test_what_ends_the_process_at_import_is_an_error_of_the_file(tmp_path, top, said, capsys):
    with pytest.raises(UserCodeError, match=r"^own.py, line \d+, ") as caught:
        own(tmp_path, top=top)
    assert said in str(caught.value)
    assert capsys.readouterr().err == ""  # no usage of a command that nobody typed


def test_what_was_put_in_place_of_exits_is_taken_back(tmp_path):
    before = os._exit, argparse.ArgumentParser.error
    own(tmp_path)
    assert (os._exit, argparse.ArgumentParser.error) == before


def test_ctrl_c_that_meets_a_users_code_stays_one(tmp_path):
    module = run_file(tmp_path / "m.py", "import os, signal\ndef work(): os.kill(os.getpid(), signal.SIGINT)\n")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), told_as_users():
            module.work()
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_that_the_user_words_passes_as_it_is(tmp_path):
    ref = own(tmp_path, "raise balltrain.BalltrainError('no such year')")
    with pytest.raises(BalltrainError, match=r"^no such year$"):
        load_data(ref, ref.load(), DataRequest(), tmp_path / "data")


def test_an_error_of_balltrain_itself_is_none_of_the_users():
    with pytest.raises(IndexError) as caught:
        np.zeros(2)[5]
    assert users_error(caught.value) is None


def test_an_exception_whose_text_fails_is_named_all_the_same(tmp_path):
    text = "class Bad(Exception):\n    def __str__(self): return 1\ndef work(): raise Bad\n"
    with pytest.raises(UserCodeError, match=r"m.py, line 3, in work: Bad$"), told_as_users():
        run_file(tmp_path / "m.py", text).work()


@pytest.mark.parametrize(
    ("raised", "cause"),
    [
        ("ValueError", Cause.DETERMINISTIC),
        ("SystemExit", Cause.DETERMINISTIC),
        ("KeyError", Cause.EXCEPTION),
    ],
)
def test_what_is_tried_again_does_not_depend_on_who_raised_it(tmp_path, raised, cause):
    with pytest.raises(UserCodeError) as caught, told_as_users():
        run_file(tmp_path / "m.py", f"def work(): raise {raised}\n").work()
    assert policy.cause_of(caught.value) == cause


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("return batch['labels']", "own.py, line 22, in loss: KeyError: 'labels'"),
        ("return None", "own: loss returned nothing, but must return a tensor of one number"),
        ("return model(batch['x'])", "own: loss returned a tensor of shape (16, 1), but must"),
        ("import os; os._exit(3)", "own.py, line 22, in loss, ends the process (SystemExit: 3)"),
    ],
)
def test_a_loss_that_fails_is_one_line_of_train(cli, tmp_path, loss, said):
    own(tmp_path, loss=loss)
    run = ["train", "own.py", "--epochs", "1", "--wandb", "off", "--out", "r", "--data-dir", "d"]
    code, out, err = cli(*run)
    last = err.strip().splitlines()[-1]
    assert (code, out) == (1, "")
    assert last.startswith(f"error: {said}")
    assert "Traceback" not in err


def test_debug_shows_the_traceback(cli, tmp_path):
    (tmp_path / "own.py").write_text("def f():\n    return {}['a']\nf()\n")
    _, _, err = cli("--debug", "data", "build", "own.py")
    assert "return {}['a']" in err
    assert err.strip().splitlines()[-1] == "error: own.py, line 2, in f (at import): KeyError: 'a'"

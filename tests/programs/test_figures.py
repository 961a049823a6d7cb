"""Which figures are found in what programs print."""

import math

import pytest

from balltrain.errors import UsageError
from balltrain.programs.figures import Pattern, json_figures, last_written, named_figures


@pytest.mark.parametrize(
    ("line", "figures"),
    [
        ('{"epoch": 3, "val_loss": 0.5}', {"epoch": 3, "val_loss": 0.5}),
        ('INFO:root:{"val": {"loss": 0.5, "acc": 1}}', {"val/loss": 0.5, "val/acc": 1}),
        ("{'eval_loss': '0.5', 'epoch': 1.0}", {"eval_loss": 0.5, "epoch": 1.0}),  # Hugging Face's Trainer
        ('{"event": "saved", "ok": true}', None),
        ('{"loss": 0.5', None),
        ("{not json}", None),
        ("loss 0.5", None),
    ],
)
def test_json_at_the_end_of_a_line(line, figures):
    assert json_figures(line) == figures


@pytest.mark.parametrize(
    ("line", "figures"),
    [
        ("val_loss: 0.123", {"val_loss": 0.123}),
        ("Epoch 3/20 train_loss=1e-3, val/acc = .5", {"epoch": 3, "train_loss": 1e-3, "val/acc": 0.5}),
        (
            "Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.305400",  # PyTorch's own example
            {"epoch": 1, "Loss": 2.3054},
        ),
        ("Test set: Average loss: 0.0266, Accuracy: 9919/10000 (99%)", {"loss": 0.0266, "Accuracy": 9919}),
        ("8/8 - 0s - loss: 0.6 - val_loss: -2.5e+3", {"loss": 0.6, "val_loss": -2500}),  # Keras
        ("Epoch [4/9]", {"epoch": 4}),
        ("2024-05-01 10:12:13,5 INFO root:val_loss=0.25", {"val_loss": 0.25}),
        ("epoch 0 train_loss 0.81 val_loss 1e-3", {"epoch": 0, "train_loss": 0.81, "val_loss": 1e-3}),
        ("Epoch [3/20], loss 0.5, acc 0.9", {"epoch": 3, "loss": 0.5, "acc": 0.9}),
        ("epoch 3 took 5 s", {"epoch": 3}),
        ("epoch 3 best val_loss 0.1", {"epoch": 3}),
        ("val_loss 0.1", None),
        ("version: 1.2.3", None),
        ("best val_loss: 0.1", None),
        ("saved to model.pt", None),
    ],
)
def test_numbers_with_a_name_before_them(line, figures):
    assert named_figures(line) == figures


def test_a_loss_that_is_not_a_number_is_a_figure():
    assert math.isnan(named_figures("val_loss: nan")["val_loss"])
    assert json_figures('{"val_loss": Infinity}') == {"val_loss": math.inf}


def test_of_a_progress_bar_its_last_state_counts():
    assert last_written("  0% loss=9\r 50% loss=5\r\x1b[32m100% loss=1\x1b[0m\r\n") == "100% loss=1"


def test_a_pattern_of_the_users_own():
    assert Pattern(r"after (?P<epoch>\d+) rounds: (?P<val_acc>\S+) right")("after 3 rounds: 0.5 right") == {
        "epoch": 3,
        "val_acc": 0.5,
    }
    with pytest.raises(UsageError, match=r"names no figure"):
        Pattern(r"(\d+)")
    with pytest.raises(UsageError, match="no regular expression"):
        Pattern("(?P<a>")

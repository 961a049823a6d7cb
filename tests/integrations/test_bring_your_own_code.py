"""docs/bring-your-own-code.md says at most five lines of change: of a script as others write it."""

import difflib

import pytest
from ray import tune

import balltrain
from balltrain.api.preparing import prepare
from balltrain.programs.handle import Trial
from balltrain.programs.program import ProgramAttempt

SCRIPT = """\
import argparse
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--width", type=int, default=16)
parser.add_argument("--epochs", type=int, default=10)


def main(args):
    x = torch.randn(300, 4)
    model = nn.Sequential(nn.Linear(4, args.width), nn.Tanh(), nn.Linear(args.width, 1))
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        loss = (model(x) - x.sum(1, keepdim=True)).pow(2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        print(f"epoch {epoch} loss {loss.item():.4f}")


if __name__ == "__main__":
    main(parser.parse_args())
"""
STEPS = [
    ("def main(args):\n", "def main(trial):\n    args = argparse.Namespace(**trial.config)\n"),
    (
        "    for epoch in range(args.epochs):\n",
        "    trial.restore(model=model, opt=opt)\n    for epoch in trial.epochs():\n",
    ),
    ("        print(f", "        trial.report(loss=loss)\n        print(f"),
]


def test_a_plain_script_is_a_function_after_five_lines(tmp_path):
    text = SCRIPT
    for before, after in STEPS:
        assert before in text
        text = text.replace(before, after)
    changed = [line for line in difflib.ndiff(SCRIPT.splitlines(), text.splitlines()) if line.startswith("+ ")]
    assert len(changed) == 5
    file = tmp_path / "train.py"
    file.write_text(text)
    space = {"lr": tune.loguniform(1e-3, 1e-1), "width": tune.choice([8, 16])}
    plan = prepare(f"{file}:main", space, {"objective": "loss", "epochs": 4}).plan
    rows = []
    attempt = ProgramAttempt(0, "00000", 1, plan.configure({"lr": 0.01, "width": 8}), 7, 0, tmp_path / "trial")
    plan.task.function(Trial(attempt, "loss", "min", rows.append))
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["objective"] < rows[0]["objective"]
    with pytest.raises(balltrain.UsageError, match="needs an objective"):
        prepare(f"{file}:main", space, {"epochs": 4})

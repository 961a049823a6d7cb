"""Tables of real learning curves for `benchmarks/search.py --curves`, of small recurrent networks.

    python benchmarks/rnn_curves.py DIR [--configurations 600] [--problems markov-tanh …]

Each file holds the validation losses of random configurations of Adam with eight hyperparameters: learning rate, both
betas, epsilon, L1, L2, and a linear and an exponential decay of the rate, in the wide ranges of TaskSet (Metz et al.,
arXiv 2002.11887), where most do badly and some diverge. All configurations of a problem train at once, each with
parameters of its own along the first axis.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

EPOCHS, STEPS, BATCH, LENGTH, HIDDEN = 50, 16, 8, 12, 16
PROBLEMS = ("markov-tanh", "markov-gru", "brackets-tanh", "adding-gru")
RANGES = {  # all logarithmic
    "learning_rate": (1e-7, 1e1),
    "one_minus_beta1": (1e-4, 1.0),
    "one_minus_beta2": (1e-6, 1.0),
    "epsilon": (1e-10, 1e3),
    "l1": (1e-8, 1e1),
    "l2": (1e-8, 1e1),
    "linear_decay": (1e-7, 1e-3),
    "exponential_decay": (1e-6, 1e-2),
}


class Source:
    """Sequences: inputs (batch, LENGTH, width) and targets, classes (batch, LENGTH) or values (batch,)."""

    def __init__(self, kind: str, seed: int):
        self.kind, random = kind, np.random.default_rng(seed)
        self.width = {"markov": 10, "brackets": 6, "adding": 2}[kind]
        self.outputs = 1 if kind == "adding" else self.width
        self.next = random.dirichlet(np.full(self.width, 0.15), (self.width, self.width))  # given the two before

    def draw(self, count: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        if self.kind == "adding":  # the sum of the two numbers that are marked
            x = np.zeros((count, LENGTH, 2), np.float32)
            x[..., 0] = random.random((count, LENGTH))
            marks = random.random((count, LENGTH)).argsort(1)[:, :2]
            np.put_along_axis(x[..., 1], marks, 1.0, 1)
            return torch.from_numpy(x), torch.from_numpy((x[..., 0] * x[..., 1]).sum(1))
        symbols = np.zeros((count, LENGTH + 1), np.int64)
        for row in symbols:
            stack: list[int] = []
            for t in range(LENGTH + 1):
                if self.kind == "markov":
                    row[t] = random.choice(self.width, p=self.next[row[t - 2], row[t - 1]]) if t > 1 else 0
                elif stack and random.random() < 0.55:  # half of the symbols close what the other half opened
                    row[t] = stack.pop() + self.width // 2
                else:
                    stack.append(int(random.integers(self.width // 2)))
                    row[t] = stack[-1]
        return torch.eye(self.width)[symbols[:, :-1]], torch.from_numpy(symbols[:, 1:])


def forward(parameters: dict[str, Tensor], x: Tensor, cell: str) -> Tensor:
    """Outputs (configurations, batch, LENGTH, outputs) for inputs (batch, LENGTH, width)."""
    num = parameters["out"].shape[0]
    h = torch.zeros(num, len(x), HIDDEN)
    steps = []
    for t in range(LENGTH):
        given = x[:, t].expand(num, -1, -1)
        a = torch.bmm(given, parameters["in"]) + parameters["bias"]
        if cell == "gru":
            b = torch.bmm(h, parameters["hidden"])
            z, r = (
                torch.sigmoid(a[..., :HIDDEN] + b[..., :HIDDEN]),
                torch.sigmoid(a[..., HIDDEN : 2 * HIDDEN] + b[..., HIDDEN : 2 * HIDDEN]),
            )
            h = z * h + (1 - z) * torch.tanh(a[..., 2 * HIDDEN :] + r * b[..., 2 * HIDDEN :])
        else:
            h = torch.tanh(a + torch.bmm(h, parameters["hidden"]))
        steps.append(h)
    states = torch.stack(steps, 2).flatten(1, 2)  # (configurations, batch x LENGTH, HIDDEN)
    out = torch.bmm(states, parameters["out"]) + parameters["out_bias"]
    return out.view(num, len(x), LENGTH, -1)


def losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean losses (configurations,): squared error of the last output, or cross-entropy of all."""
    if targets.dtype == torch.float32:
        return (outputs[:, :, -1, 0] - targets).square().mean(1)
    chosen = outputs.log_softmax(-1).gather(-1, targets.expand(len(outputs), -1, -1)[..., None])
    return -chosen.mean((1, 2, 3))


def train(problem: str, hp: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """Validation losses (configurations, EPOCHS), NaN from where one is ten times that of the untrained network."""
    kind, cell = problem.split("-")
    source, random = Source(kind, seed), np.random.default_rng(seed)
    num, gates = len(hp["learning_rate"]), 3 if cell == "gru" else 1
    torch.manual_seed(seed)
    shapes = {
        "in": (source.width, gates * HIDDEN),
        "hidden": (HIDDEN, gates * HIDDEN),
        "out": (HIDDEN, source.outputs),
    }
    parameters = {k: torch.randn(num, *s) / math.sqrt(s[0]) for k, s in shapes.items()}
    parameters |= {"bias": torch.zeros(num, 1, gates * HIDDEN), "out_bias": torch.zeros(num, 1, source.outputs)}
    values = {k: torch.tensor(v, dtype=torch.float32)[:, None, None] for k, v in hp.items()}
    beta1, beta2 = 1 - values["one_minus_beta1"], 1 - values["one_minus_beta2"]
    m = {k: torch.zeros_like(p) for k, p in parameters.items()}
    v = {k: torch.zeros_like(p) for k, p in parameters.items()}
    x_val, y_val = source.draw(64, np.random.default_rng(seed + 1))
    found, step = np.empty((num, EPOCHS)), 0
    with torch.no_grad():
        untrained = float(losses(forward(parameters, x_val, cell), y_val).mean())
    for epoch in range(EPOCHS):
        for _ in range(STEPS):
            x, y = source.draw(BATCH, random)
            for p in parameters.values():
                p.requires_grad_(True)
            gradients = torch.autograd.grad(losses(forward(parameters, x, cell), y).sum(), list(parameters.values()))
            step += 1
            rate = values["learning_rate"] * torch.clamp(1 - step * values["linear_decay"], min=0)
            rate = rate * torch.exp(-step * values["exponential_decay"])
            with torch.no_grad():
                for (key, p), g in zip(parameters.items(), gradients, strict=True):
                    p = p.detach()
                    g = g + values["l1"] * p.sign() + 2 * values["l2"] * p
                    m[key] = beta1 * m[key] + (1 - beta1) * g
                    v[key] = beta2 * v[key] + (1 - beta2) * g * g
                    m_hat, v_hat = m[key] / (1 - beta1**step), v[key] / (1 - beta2**step).clamp(min=1e-12)
                    parameters[key] = p - rate * m_hat / (v_hat.sqrt() + values["epsilon"])
        with torch.no_grad():
            found[:, epoch] = losses(forward(parameters, x_val, cell), y_val).numpy()
    bad = np.logical_or.accumulate(~(found < 10 * untrained), axis=1)
    return np.where(bad, np.nan, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--configurations", type=int, default=600)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for problem in options.problems:
        start, seed = time.perf_counter(), PROBLEMS.index(problem)
        random = np.random.default_rng([7, seed])
        hp = {
            k: np.exp(random.uniform(math.log(a), math.log(b), options.configurations))
            for k, (a, b) in RANGES.items()
        }
        curves = train(problem, hp, seed)
        rows = [
            {"hp": {k: float(v[n]) for k, v in hp.items()}, "valid": {"loss": curve.tolist()}}
            for n, curve in enumerate(curves)
        ]
        (options.folder / f"{problem}.json").write_text(json.dumps(rows))
        best = np.sort(np.nan_to_num(curves, nan=np.inf).min(1))
        print(
            f"{problem}: {time.perf_counter() - start:.0f} s, diverged {np.isnan(curves[:, -1]).mean():.0%}, best "
            f"{best[0]:.4f}, 1 % {best[len(best) // 100]:.4f}, 10 % {best[len(best) // 10]:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Softmax regression on scikit-learn's digits, with argparse, as one would write it. Writes OUT/results.csv.

It goes on where it was stopped: it saves its weights before it writes an epoch's row.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("out"))
args = parser.parse_args()

digits = load_digits()
x, labels = digits.data / 16, np.eye(10)[digits.target]  # (1797, 64) from 0 to 1, (1797, 10)
order = np.random.default_rng(0).permutation(len(x))
train, val = order[:1400], order[1400:]


def probabilities(weights: np.ndarray, images: np.ndarray) -> np.ndarray:
    logits = images @ weights
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


args.out.mkdir(parents=True, exist_ok=True)
saved = args.out / "weights.npz"
weights, begun = np.zeros((64, 10)), 0
if saved.exists():
    state = np.load(saved)
    weights, begun = state["weights"], int(state["epoch"])

with open(args.out / "results.csv", "a", newline="") as file:
    rows = csv.writer(file)
    if file.tell() == 0:
        rows.writerow(["epoch", "val_loss", "val_acc"])
    for epoch in range(begun + 1, args.epochs + 1):
        rng = np.random.default_rng([args.seed, epoch])
        shuffled = rng.permutation(train)
        for batch in np.split(shuffled, range(args.batch_size, len(train), args.batch_size)):
            error = probabilities(weights, x[batch]) - labels[batch]
            weights -= args.lr * x[batch].T @ error / len(batch)
        found = probabilities(weights, x[val])
        loss = -np.log((found * labels[val]).sum(1) + 1e-12).mean()
        accuracy = (found.argmax(1) == digits.target[val]).mean()
        np.savez(saved, weights=weights, epoch=epoch)
        rows.writerow([epoch, loss, accuracy])
        file.flush()

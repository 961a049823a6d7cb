"""The eight networks of a course assignment of November 2022, each by its recipe: what every step of them brings.

Each is trained once, for 120 epochs of 42 000 pictures; the best goes on to epoch 240, as `gap` did in the original:

    balltrain sweep cifar10_originals --data validation=8000 --num-gpus 1
    balltrain report cifar10_originals

On two cores that takes days. The same path in a hundredth of the steps, on a fifth of the pictures:

    balltrain sweep cifar10_originals --size 12000 --epochs 10 --continue-best 0 --set lr=0.01 --set momentum=0.9
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "cifar10",
    {"model": tune.choice(["a", "b", "c", "d", "e", "f", "g", "gap"])},
    trials=8,
    epochs=120,
    # the first 8 points of the sequence lie in 8 different eighths: each network once
    searcher="sobol",
    sobol_scramble=False,
    scheduler="none",
    keep_checkpoints=8,
    continue_best=1,
    continue_epochs=240,
)

if __name__ == "__main__":
    sweep.main(__file__)

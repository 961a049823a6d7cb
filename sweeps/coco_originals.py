"""The original's models of 2024 as one table: its four depths with two of its learning rates, each once.

Its report counts eight models; which depth and rate each had is not known here. The batches, losses and optimiser are
the original's (`model: reference`), for 50 of its 20 to 80 epochs:

    balltrain sweep coco_originals --source COCO --categories … --num-gpus 1

With its third rate, 1e-5, in the list of `lr`, and 12 trials, the table has all its depths and rates. To see it run:

    balltrain sweep coco_originals --source COCO --size 100 --epochs 1 --image-size 64 --set channels=16
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "coco",
    {"depth": tune.choice([18, 34, 50, 101]), "lr": tune.choice([1e-4, 1e-3])},
    trials=8,
    epochs=50,
    hyperparameters={"model": "reference"},
    # the first 8 points of the sequence lie in 8 different of its 4 x 2 boxes: each combination once
    searcher="sobol",
    sobol_scramble=False,
    scheduler="none",
    keep_checkpoints=8,
    seed=3407,
)

if __name__ == "__main__":
    sweep.main(__file__)

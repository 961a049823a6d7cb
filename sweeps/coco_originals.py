"""The RetinaNets of a project of 2024 on COCO as one table: four depths, each with three learning rates, once each.

Its models are numbered 1 to 8; which depth and rate each had is not known, but all are among these 12. Its rate was
1e-4, in its table also 1e-3 and 1e-5, its epochs 20 to 80, its seed 3407 or random. The rate is constant, so that
what 20 or 40 epochs give stands in the curves of 80 epochs.

    balltrain sweep coco_originals --source COCO --categories person,car --num-gpus 8
    balltrain sweep coco_originals --source COCO --categories person,car --num-gpus 8 --seed 1

To see it run on two cores, on a hundred images:

    balltrain sweep coco_originals --source COCO --size 100 --epochs 1 --image-size 64 --set channels=16
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "coco",
    {"depth": tune.grid_search([18, 34, 50, 101]), "lr": tune.grid_search([1e-3, 1e-4, 1e-5])},
    trials=12,
    epochs=80,
    hyperparameters={"model": "reference"},
    searcher="grid",
    scheduler="none",
    keep_checkpoints=12,
    seed=3407,
)

if __name__ == "__main__":
    sweep.main(__file__)

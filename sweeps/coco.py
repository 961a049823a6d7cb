"""RetinaNet's space: network, optimiser, batches and the focal loss.

    balltrain sweep coco --source COCO --categories person,car --num-gpus 8
    python sweeps/coco.py --source COCO --num-gpus 8

Weights to start from are those of one depth: a sweep with them is a copy of this file, with depth, weights and
norm among its `hyperparameters`.
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "coco",
    {
        "depth": tune.choice([18, 34, 50]),
        "optimizer": tune.choice(["adamw", "sgd"]),
        "lr": tune.loguniform(1e-4, 1e-2),
        "batch_size": tune.choice([4, 8, 16]),
        "drop_last": tune.choice([False, True]),
        "prior": tune.loguniform(1e-3, 1e-1),
        "focal_alpha": tune.uniform(0.1, 0.75),
        "focal_gamma": tune.uniform(0.5, 5.0),
    },
    trials=40,
    epochs=60,
    seed=3407,
)

if __name__ == "__main__":
    sweep.main(__file__)

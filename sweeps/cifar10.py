"""The fast network's own space: what chooses its default values.

balltrain sweep cifar10 --source cifar-10-python.tar.gz
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "cifar10",
    {
        "lr": tune.loguniform(1e-3, 2e-2),
        "weight_decay": tune.loguniform(1e-3, 1.0),
        "batch_size": tune.choice([64, 128, 256]),
        "label_smoothing": tune.uniform(0.0, 0.3),
        "widths": tune.choice([[32, 64, 128], [48, 96, 192], [64, 128, 256]]),
        "shift": tune.choice([2, 3, 4]),
        "cutout": tune.choice([0, 8, 12]),
    },
    trials=40,
    epochs=20,
)

if __name__ == "__main__":
    sweep.main(__file__)

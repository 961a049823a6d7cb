"""The heatmap detector's own space: the sweep that chose its default values.

balltrain sweep detect_heatmap
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "detect",
    {
        "lr": tune.loguniform(1e-3, 1e-2),
        "weight_decay": tune.loguniform(1e-5, 1e-1),
        "batch_size": tune.choice([32, 64, 128]),
        "channels": tune.choice([16, 24, 32]),
        "blocks": tune.choice([1, 2, 3]),
        "bce_scale": tune.loguniform(1e-3, 1.0),
    },
    trials=60,
    hyperparameters={"model": "heatmap"},
)

if __name__ == "__main__":
    sweep.main(__file__)

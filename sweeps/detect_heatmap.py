"""The heatmap detector's space, around its default values.

balltrain sweep detect_heatmap --trials 20 --epochs 5
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "detect",
    {
        "lr": tune.loguniform(1e-3, 1e-2),
        "clip_norm": tune.loguniform(1e-4, 1e-1),
        "batch_size": tune.choice([32, 64, 128]),
        "weight_decay": tune.loguniform(1e-5, 1e-1),
        "channels": tune.choice([16, 24, 32]),
    },
    trials=60,
    hyperparameters={"model": "heatmap"},
)

if __name__ == "__main__":
    sweep.main(__file__)

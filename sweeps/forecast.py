"""The interaction model's own space: the sweep that chooses its default values.

balltrain sweep forecast --source mini_balls_seq.tgz
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "forecast",
    {
        "lr": tune.loguniform(3e-3, 3e-2),
        "weight_decay": tune.loguniform(1e-4, 1.0),
        "batch_size": tune.choice([32, 64, 128]),
        "width": tune.choice([64, 96, 128]),
        "history": tune.choice([6, 8, 10]),
        "windows": tune.choice([4, 7, 10]),
        "colors": tune.choice([False, True]),
    },
    trials=60,
    epochs=20,
    hyperparameters={"model": "interaction"},
)

if __name__ == "__main__":
    sweep.main(__file__)

"""The original project's search for its forecaster, with its larger batch sizes.

Source: BallDetectionAndForecasting (P.-E. Sotir, 2019), docs/rapport.md, which gives two versions of the space:
the one with batch sizes of 16 to 64 is
sweeps/forecast_reference.py. Its best: lr 9.89e-5, weight decay 2.02e-4,
batch size 16, tanh, dropout 0.45, widths 512-256-128-128; they are the defaults of `model="reference"`.

    balltrain sweep forecast_reference_wide --source mini_balls_seq.tgz
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "forecast",
    {
        "lr": tune.uniform(5e-6, 1e-4),
        "weight_decay": tune.loguniform(1e-7, 1e-2),
        "batch_size": tune.choice([32, 64, 128]),
        "activation": tune.choice(["leaky_relu", "relu", "tanh"]),
        "dropout": tune.choice([0.0, tune.uniform(0.45, 0.8)]),
        "widths": tune.choice(
            [
                [512, 256, 128, 128],
                [128, 256, 256, 512],
                [128, 256, 256, 256],
                [128, 128, 256, 256, 256],
                [128, 128, 256, 256, 256, 256],
                [128, 128, 128, 256, 256, 256, 256],
            ]
        ),
    },
    trials=100,
    epochs=90,
    hyperparameters={"model": "reference"},
)

if __name__ == "__main__":
    sweep.main(__file__)

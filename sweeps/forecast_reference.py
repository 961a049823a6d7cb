"""The original project's second search for its forecaster: 100 trials of up to 90 epochs, rates that fall by steps.

Source: BallDetectionAndForecasting (P.-E. Sotir, 2019), src/hp.py; the first search is
sweeps/forecast_reference_wide.py. Its best (lr 9.89e-5, weight decay 2.02e-4, batch size 16, dropout 0.45, widths
512-256-128-128) are the values of `model="reference"`.

    balltrain sweep forecast_reference --source mini_balls_seq.tgz
"""

from ray import tune

from balltrain import Published, Sweep

sweep = Sweep(
    "forecast",
    {
        "lr": tune.uniform(5e-6, 1e-4),
        "weight_decay": tune.loguniform(1e-7, 1e-2),
        "batch_size": tune.choice([16, 32, 64]),
        "dropout": tune.choice([0.0, tune.uniform(0.1, 0.45)]),
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
    hyperparameters={"model": "reference", "patience": 12},  # x 0.3 every 30 epochs and tanh, as its recipe says
    reference=Published(
        name="forecast 2",
        count=100,
        mean=0.003077,
        std=0.004137,
        min=0.000502,
        q25=0.001045,
        q50=0.001618,
        q75=0.003594,
        max=0.02556,
    ),
)

if __name__ == "__main__":
    sweep.main(__file__)

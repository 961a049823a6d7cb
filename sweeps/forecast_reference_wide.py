"""The original project's first search for its forecaster: a constant rate, batch sizes of 32 to 128.

Source: BallDetectionAndForecasting (P.-E. Sotir, 2019), docs/rapport.md. Its dropout probabilities are 1, or 0.45 to
0.8: 1 stood for none. The widths are those of the second search, sweeps/forecast_reference.py.

    balltrain sweep forecast_reference_wide --source mini_balls_seq.tgz
"""

from ray import tune

from balltrain import Published
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep

second, _ = find_sweep("forecast_reference")
sweep = override(
    second,
    space={
        **second.space,
        "batch_size": tune.choice([32, 64, 128]),
        "activation": tune.choice(["leaky_relu", "relu", "tanh"]),
        "dropout": tune.choice([0.0, tune.uniform(0.45, 0.8)]),
    },
    hyperparameters={**second.hyperparameters, "schedule": "constant"},
    reference=Published(
        name="forecast 1",
        count=100,
        mean=0.004782,
        std=0.017039,
        min=0.000309,
        q25=0.000479,
        q50=0.000614,
        q75=0.00115,
        max=0.089641,
    ),
)
del second  # a file defines one sweep

if __name__ == "__main__":
    sweep.main(__file__)

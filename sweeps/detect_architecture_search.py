"""A search of the detector's architecture, with no more parameters than the original: depth, width, kernel, poolings.

Every range of the space ends where CAP does, so that a configuration over it is never proposed. A trial that is
refused would cost a proposal, and teach TPE that its neighbours, just under the cap, are bad.

    balltrain sweep detect_architecture_search --num-gpus 8
"""

from ray import tune

from balltrain import Sweep
from balltrain.search.architectures import shapes_under

CAP = 356_413  # of the original
SHAPES = shapes_under(
    CAP,
    "detect",
    fixed={"model": "reference"},
    options={"depth": (1, 2, 3), "kernel": (3, 5, 7), "poolings": (3, 4)},
    size="width",
    lowest=2,
    highest=12,
)

sweep = Sweep(
    "detect",
    {
        "architecture": tune.choice([{**shape, "width": tune.randint(2, largest + 1)} for shape, largest in SHAPES]),
        "lr": tune.loguniform(1e-4, 5e-3),
    },
    trials=100,
    epochs=30,
    hyperparameters={"model": "reference", "step_size": 20},  # the rate falls once, after two thirds of the epochs
)

if __name__ == "__main__":
    sweep.main(__file__)

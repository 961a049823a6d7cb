"""A search of the detector's architecture, with no more parameters than the original: depth, width, kernel, poolings.

Every range of the space ends where CAP does, so that a configuration over it is never proposed. A trial that is
refused would cost a proposal, and teach TPE that its neighbours, just under the cap, are bad.

    balltrain sweep detect_architecture_search --num-gpus 8
"""

from itertools import product
from typing import Any

from ray import tune

from balltrain import Sweep
from balltrain.search.architectures import largest_under, num_params

CAP = 356_413  # of the original
DEPTHS, KERNELS, POOLINGS = (1, 2, 3), (3, 5, 7), (3, 4)
NARROWEST, WIDEST = 2, 12


def shapes() -> list[dict[str, Any]]:
    """Every depth, kernel and number of poolings, each with the widths that fit."""
    found = []
    for depth, kernel, poolings in product(DEPTHS, KERNELS, POOLINGS):
        shape = {"depth": depth, "kernel": kernel, "poolings": poolings}

        def count(width: int, shape: dict[str, Any] = shape) -> int:
            return num_params("detect", {"model": "reference", **shape, "width": width})

        if (widest := largest_under(CAP, count, WIDEST)) >= NARROWEST:
            found.append({**shape, "width": tune.randint(NARROWEST, widest + 1)})
    return found


sweep = Sweep(
    "detect",
    {"architecture": tune.choice(shapes()), "lr": tune.loguniform(1e-4, 5e-3)},
    trials=100,
    epochs=30,
    hyperparameters={"model": "reference", "step_size": 20},  # the rate falls once, after two thirds of the epochs
)

if __name__ == "__main__":
    sweep.main(__file__)

"""A search of vgg's architecture, with no more parameters than the original: depth, channels, kernel, hidden width.

Every range of the space ends where CAP does, so that a configuration over it is never proposed: see
sweeps/detect_architecture_search.py.

    balltrain sweep catdogs_vgg_architecture_search --source trainset.zip --num-gpus 8
"""

from itertools import product
from typing import Any

from ray import tune

from balltrain import Sweep
from balltrain.search.architectures import largest_under, num_params

CAP = 12_918_427  # of the original
DEPTHS, KERNELS, HIDDEN = (1, 2, 3), (3, 5), (250, 500)
FEWEST, MOST = 16, 160


def shapes() -> list[dict[str, Any]]:
    """Every depth, kernel and hidden width, each with the channels that fit."""
    found = []
    for depth, kernel, hidden in product(DEPTHS, KERNELS, HIDDEN):
        shape = {"vgg_depth": depth, "vgg_kernel": kernel, "vgg_width": hidden}

        def count(start: int, shape: dict[str, Any] = shape) -> int:
            return num_params("catdogs", {"model": "vgg", **shape, "vgg_start": start})

        if (most := largest_under(CAP, count, MOST)) >= FEWEST:
            found.append({**shape, "vgg_start": tune.randint(FEWEST, most + 1)})
    return found


sweep = Sweep(
    "catdogs",
    {"architecture": tune.choice(shapes()), "lr": tune.loguniform(1e-3, 3e-2)},
    trials=60,
    epochs=20,
    hyperparameters={"model": "vgg"},
)

if __name__ == "__main__":
    sweep.main(__file__)

"""A search of vgg's architecture, with no more parameters than the original: depth, channels, kernel, hidden width.

Every range of the space ends where CAP does, so that a configuration over it is never proposed: see
sweeps/detect_architecture_search.py.

    balltrain sweep catdogs_vgg_architecture_search --source trainset.zip --num-gpus 8
"""

from ray import tune

from balltrain import Sweep
from balltrain.search.architectures import shapes_under

CAP = 12_918_427  # of the original
SHAPES = shapes_under(
    CAP,
    "catdogs",
    fixed={"model": "vgg"},
    options={"vgg_depth": (1, 2, 3), "vgg_kernel": (3, 5), "vgg_width": (250, 500)},
    size="vgg_start",
    lowest=16,
    highest=160,
)

sweep = Sweep(
    "catdogs",
    {
        "architecture": tune.choice(
            [{**shape, "vgg_start": tune.randint(16, largest + 1)} for shape, largest in SHAPES]
        ),
        "lr": tune.loguniform(1e-3, 3e-2),
    },
    trials=60,
    epochs=20,
    hyperparameters={"model": "vgg"},
)

if __name__ == "__main__":
    sweep.main(__file__)

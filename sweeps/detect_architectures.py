"""The original project's earlier search, over convolution stacks: strides in place of pooling, no batch norm.

Source: BallDetectionAndForecasting (P.-E. Sotir, 2019), docs/rapport.md, "l'un des premiers espaces". Its
dropout probabilities of 1, or 0.45 to 0.8, are those of keeping nothing back and of dropping: 1 stood for none.
"""

from ray import tune

from balltrain import Published, Sweep


def conv(channels: int, kernel: int, stride: int = 1) -> dict[str, int]:
    """A convolution that keeps the size of its input, but for its stride."""
    return {"channels": channels, "kernel": kernel, "stride": stride, "padding": kernel // 2}


STACKS = [
    [conv(4, 3), conv(4, 3), conv(4, 3, 2), conv(8, 5), conv(8, 7)],
    [conv(2, 3), conv(4, 3), conv(4, 3, 2), conv(8, 5), conv(8, 5, 2), conv(16, 7)],
    [conv(4, 3), conv(4, 3), conv(8, 3), conv(8, 3, 2), conv(16, 5)],
    [conv(4, 3), conv(4, 3), conv(4, 3), conv(4, 3, 4), conv(8, 3), conv(8, 3)],
]

sweep = Sweep(
    "detect",
    {
        "lr": tune.uniform(5e-6, 1e-4),
        "weight_decay": tune.loguniform(1e-7, 1e-3),
        "batch_size": tune.choice([32, 64, 128]),
        "dropout": tune.choice([0.0, tune.uniform(0.45, 0.8)]),
        "layers": tune.choice(STACKS),
        "fully_connected": tune.choice([[64], [64, 128], []]),
    },
    trials=100,
    epochs=90,
    hyperparameters={
        "model": "reference",
        "activation": "leaky_relu",
        "batch_norm": False,
        "optimizer": "adam",
        "schedule": "step",
        "step_size": 40,
        "gamma": 0.2,
        "clip_norm": None,
        "patience": 12,
    },
    reference=Published(
        name="detect 1",
        count=100,
        mean=0.104104,
        std=0.041804,
        min=0.03132,
        q25=0.06958,
        q50=0.092948,
        q75=0.153632,
        max=0.158702,
    ),
)

if __name__ == "__main__":
    sweep.main(__file__)

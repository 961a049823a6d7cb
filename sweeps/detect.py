"""The original project's last search for its detector: 100 trials of up to 90 epochs.

Source: BallDetectionAndForecasting (P.-E. Sotir, 2019), docs/rapport.md, "second/dernier espace". Its best:
lr 6.54e-4, weight decay 6.84e-6, batch size 16, batch norm momentum 0.0736, no dropout, no hidden layer.

    balltrain sweep detect --num-gpus 8
    python sweeps/detect.py --num-gpus 8
"""

from ray import tune

from balltrain import Published, Sweep

sweep = Sweep(
    "detect",
    {
        "lr": tune.uniform(1e-6, 1e-3),
        "weight_decay": tune.loguniform(1e-7, 3e-3),
        "batch_size": tune.choice([16, 32, 64]),
        "batch_norm_momentum": tune.uniform(0.05, 0.15),
        "dropout": tune.choice([0.0, tune.uniform(0.1, 0.45)]),
        "fully_connected": tune.choice([[64], [64, 128], [128, 128], []]),
    },
    trials=100,
    epochs=90,
    hyperparameters={
        "model": "reference",
        "optimizer": "adam",
        "schedule": "step",
        "step_size": 40,
        "gamma": 0.3,
        "clip_norm": None,
        "patience": 12,
    },
    reference=Published(
        name="detect 3",
        count=100,
        mean=0.034872,
        std=0.038299,
        min=0.003199,
        q25=0.006701,
        q50=0.018672,
        q75=0.047386,
        max=0.156067,
    ),
)

if __name__ == "__main__":
    sweep.main(__file__)

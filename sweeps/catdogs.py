"""The original course's protocol for cats and dogs, in two stages: a coarse search, and its best in full.

20 Sobol points over learning rate, batch size and regularisation are trained for 3 epochs each; the best goes on from
its checkpoint to epoch 50, with a patience of 10. The course's own searches are sweeps/catdogs_*.py; this one covers
the ranges in which most of their best values lie, on logarithmic scales.

    balltrain sweep catdogs --source PATH                                  # classifier5, or with --set model=resnet
    balltrain sweep catdogs --source PATH --continue-best 3 --epochs 80     # the best three, further
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "catdogs",
    {
        "lr": tune.loguniform(1e-4, 1e-2),
        "batch_size": tune.choice([16, 32, 64, 128]),
        "regularization": tune.loguniform(1e-4, 1e-1),
    },
    trials=20,
    epochs=3,
    hyperparameters={"model": "classifier5", "patience": 2},
    searcher="sobol",
    scheduler="none",
    continue_best=1,
    continue_epochs=50,
    continue_patience=10,
)

if __name__ == "__main__":
    sweep.main(__file__)

"""The original course's protocol for cats and dogs, in two stages: a coarse search, and its best in full.

20 Sobol points over learning rate, batch size and regularisation are trained for 3 epochs each; the best goes on from
its checkpoint to epoch 50, with a patience of 10, which the first stage is too short for.

balltrain sweep catdogs --source PATH                                  # or with --set model=resnet
balltrain sweep catdogs --source PATH --continue-best 3 --epochs 80     # the best three, further
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "catdogs",
    {
        "lr": tune.loguniform(1e-4, 1e-1),
        "batch_size": tune.choice([16, 32, 64, 128]),
        "l2_norm": tune.loguniform(1e-6, 1e-2),
    },
    trials=20,
    epochs=3,
    hyperparameters={
        "model": "classifier5",
        "optimizer": "sgd",
        "schedule": "constant",
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "augmentation": "medium-low",
        "patience": 10,
    },
    searcher="sobol",
    scheduler="none",
    continue_best=1,
    continue_epochs=50,
)

if __name__ == "__main__":
    sweep.main(__file__)

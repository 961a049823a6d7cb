"""The original's search of `classifier5` with `medium`: 20 Sobol points of 3 epochs, the best to epoch 50.

Published best: lr 0.000565, batch size 18: point 0.

    balltrain sweep catdogs_classifier5_medium --source trainset.zip
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "catdogs",
    {
        "lr": tune.uniform(0.002, 5e-5),  # from the upper bound down, as theirs
        "batch_size": tune.randint(17, 129),  # the ceiling of 16 to 128
    },
    trials=20,
    epochs=3,
    hyperparameters={"model": "classifier5", "augmentation": "medium", "patience": 2, "regularization": 0.0},
    searcher="sobol",
    sobol_numbers="bratley-fox",
    sobol_start=3030,
    scheduler="none",
    continue_best=1,
    continue_epochs=50,
    continue_patience=10,
)

if __name__ == "__main__":
    sweep.main(__file__)

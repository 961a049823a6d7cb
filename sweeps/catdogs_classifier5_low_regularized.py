"""The original's search of `classifier5` with `low` and penalty: 20 Sobol points of 3 epochs, the best to epoch 50.

Published best: lr 0.002368, batch size 20, regularization 0.005226. These are point 1 of the sequence from 3030 in
two dimensions, without the batch size; from 5030, where the search is said to begin, none of the 20 is near.

    balltrain sweep catdogs_classifier5_low_regularized --source trainset.zip
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "catdogs",
    {
        "lr": tune.uniform(1e-5, 0.01),
        "batch_size": tune.randint(17, 65),  # the ceiling of 16 to 64
        "regularization": tune.uniform(1e-4, 0.01),
    },
    trials=20,
    epochs=3,
    hyperparameters={"model": "classifier5", "augmentation": "low", "patience": 2},
    searcher="sobol",
    sobol_numbers="bratley-fox",
    sobol_start=5030,
    scheduler="none",
    continue_best=1,
    continue_epochs=50,
    continue_patience=10,
)

if __name__ == "__main__":
    sweep.main(__file__)

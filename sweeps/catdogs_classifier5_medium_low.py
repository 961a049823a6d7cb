"""The original's search of `classifier5` with `medium-low`: 20 Sobol points of 3 epochs, the best to epoch 50.

Published best: lr 0.001297, regularization 0.003782. These are point 10 of the sequence from 3030 over lr 1e-3 to
0.01 and regularization 1e-3 to 0.03; from 2030, where the search is said to begin, none of the 20 is near.

    balltrain sweep catdogs_classifier5_medium_low --source trainset.zip
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "catdogs",
    {
        "lr": tune.uniform(1e-4, 0.01),
        "regularization": tune.uniform(1e-4, 0.03),
    },
    trials=20,
    epochs=3,
    hyperparameters={"model": "classifier5", "augmentation": "medium-low", "patience": 2, "batch_size": 20},
    searcher="sobol",
    sobol_numbers="bratley-fox",
    sobol_start=2030,
    scheduler="none",
    continue_best=1,
    continue_epochs=50,
    continue_patience=10,
)

if __name__ == "__main__":
    sweep.main(__file__)

"""The original's search of `vgg` with `medium-low`: 20 Sobol points of 3 epochs, the best to epoch 50.

Published best: lr 0.008962506103515625, batch size 78, regularization 0.00128163: point 12. At epoch 37 it had a
validation accuracy of 86.59 % (loss 0.344, training 91.8 %); 48 epochs took 57 minutes.

    balltrain sweep catdogs_vgg_medium_low --source trainset.zip
"""

from ray import tune

from balltrain import Sweep

sweep = Sweep(
    "catdogs",
    {
        "lr": tune.uniform(1e-4, 0.01),
        "batch_size": tune.randint(65, 129),  # the ceiling of 64 to 128
        "regularization": tune.uniform(1e-4, 0.005),
    },
    trials=20,
    epochs=3,
    hyperparameters={"model": "vgg", "augmentation": "medium-low", "patience": 2},
    searcher="sobol",
    sobol_numbers="bratley-fox",
    sobol_start=10030,
    scheduler="none",
    continue_best=1,
    continue_epochs=50,
    continue_patience=10,
)

if __name__ == "__main__":
    sweep.main(__file__)

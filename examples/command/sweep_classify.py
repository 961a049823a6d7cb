"""A sweep of classify.py, whose figures are found in the file that it writes into the trial's folder.

balltrain sweep examples/command/sweep_classify.py
"""

from ray import tune

import balltrain

sweep = balltrain.Sweep(
    balltrain.Command(
        "python classify.py --lr {lr} --batch-size {batch_size} --epochs {epochs} --seed {seed} --out {trial_dir}"
    ),
    {"lr": tune.loguniform(1e-3, 10), "batch_size": tune.choice([16, 32, 64])},
    objective="val_acc",
    mode="max",
    trials=12,
    epochs=9,
)

"""XGBoost by a callback of its own, a tree an epoch, swept: balltrain sweep examples/xgboost.py"""

import numpy as np
import xgboost
from ray import tune

import balltrain


class Report(xgboost.callback.TrainingCallback):
    """Saves after every tree, and reports the figures of the evaluation."""

    def __init__(self, trial: balltrain.Trial):
        self.trial = trial

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: dict) -> bool:
        self.trial.save(model=np.frombuffer(model.save_raw("ubj"), np.uint8))
        self.trial.report(**{f"{name}_rmse": values["rmse"][-1] for name, values in evals_log.items()})
        return self.trial.ended  # a trial that is stopped early does not come back from `report`


def waves(seed: int, size: int = 2000) -> xgboost.DMatrix:
    """Eight numbers a row, and a function of three of them with noise."""
    random = np.random.default_rng(seed)
    x = random.uniform(-3, 3, (size, 8))
    return xgboost.DMatrix(x, np.sin(2 * x[:, 0]) * x[:, 1] + x[:, 2] ** 2 / 3 + 0.1 * random.standard_normal(size))


def train(trial: balltrain.Trial) -> None:
    booster = None
    if trial.saved:  # of a trial that goes on: the trees that there are
        booster = xgboost.Booster()
        booster.load_model(bytearray(trial.saved["model"]))
    data, val = waves(0), waves(1)
    xgboost.train(
        {"nthread": 1, **{name: trial.config[name] for name in ("eta", "max_depth", "lambda")}},
        data,
        num_boost_round=trial.config["epochs"] - trial.epoch,
        evals=[(data, "train"), (val, "val")],
        xgb_model=booster,
        callbacks=[Report(trial)],
        verbose_eval=False,
    )


space = {"eta": tune.loguniform(0.02, 1), "max_depth": tune.randint(2, 9), "lambda": tune.loguniform(0.1, 10)}
sweep = balltrain.Sweep(train, space, objective="val_rmse", epochs=40, trials=20)

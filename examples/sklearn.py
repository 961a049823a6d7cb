"""scikit-learn's partial_fit, swept; no torch in the loop: balltrain sweep examples/sklearn.py"""

import numpy as np
from ray import tune
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import balltrain


def train(trial: balltrain.Trial) -> None:
    x, y = load_digits(return_X_y=True)  # 1 797 pictures of 8x8 pixels, which come with scikit-learn
    x = x / 16
    is_val = np.arange(len(x)) % 4 == 0
    model = SGDClassifier(alpha=trial.config["alpha"], learning_rate="constant", eta0=trial.config["lr"])
    if trial.saved:  # of a trial that goes on: what the last report kept
        for name, value in trial.saved.items():
            setattr(model, name, value)
    for epoch in trial.epochs():
        order = np.random.default_rng([trial.seed, epoch]).permutation(np.flatnonzero(~is_val))
        model.set_params(random_state=epoch)
        model.partial_fit(x[order], y[order], classes=np.arange(10))
        # arrays and numbers are kept, objects are not
        trial.save(classes_=model.classes_, coef_=model.coef_, intercept_=model.intercept_, t_=model.t_)
        trial.report(accuracy=model.score(x[is_val], y[is_val]))


sweep = balltrain.Sweep(
    train,
    {"lr": tune.loguniform(1e-4, 1), "alpha": tune.loguniform(1e-6, 1e-2)},
    objective="accuracy",
    mode="max",
    epochs=10,
    trials=20,
)

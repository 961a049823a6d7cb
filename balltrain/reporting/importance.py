"""How much each hyperparameter explains of the objective: functional ANOVA, by Optuna, with its uncertainty.

Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from balltrain.records import columns as c
from balltrain.records.results import Results
from balltrain.reporting.scales import categories, is_choice, is_log, unit_values

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import pandas as pd

MIN_TRIALS = 10
MAX_TRIALS = 200  # a forest of more takes seconds, and says the same
NUM_RESAMPLES, NUM_TREES, MAX_DEPTH = 20, 6, 6
NUM_SHUFFLES = 19  # exceeding all of them has a probability of 1 in 20 where there is no effect
MISSING = -0.25  # a hyperparameter that a trial does not have lies below all that do: [0, 1]


@dataclass(frozen=True)
class Importance:
    """The part of the objective's variance that one hyperparameter explains alone.

    `low` to `high` holds 90 % of the estimates from resampled trials. `by_chance` is the most that the hyperparameter
    explained of 19 shuffles of the objectives: what lies below it cannot be told from no effect (p > 0.05).
    """

    column: str
    share: float
    low: float
    high: float
    by_chance: float

    @property
    def name(self) -> str:
        return self.column.removeprefix(c.CONFIG_PREFIX)

    @property
    def is_clear(self) -> bool:
        return self.share > self.by_chance


@lru_cache(maxsize=8)  # text, figures and tables of a report ask for the same
def importances(results: Results) -> list[Importance]:
    """How much each hyperparameter explains, the most important first.

    None with fewer than 10 trials or two hyperparameters that vary. The objective counts by its
    logarithm where it is a loss.
    """
    import numpy as np

    ranked = results.compared
    columns = [column for column in results.varied if ranked[column].nunique(dropna=False) > 1]
    if len(ranked) < MIN_TRIALS or len(columns) < 2:
        return []
    rows = ranked.iloc[np.unique(np.linspace(0, len(ranked) - 1, MAX_TRIALS).astype(int))]
    values = rows[c.OBJECTIVE].to_numpy(float)
    if results.mode == "min" and is_log(rows[c.OBJECTIVE]):
        values = np.log10(values)
    coordinates, options = _coordinates(results, rows, columns)
    trials = _optuna_trials(coordinates, values, options)
    random = np.random.default_rng(0)
    resamples = [random.integers(0, len(rows), len(rows)) for _ in range(NUM_RESAMPLES)]
    shuffles = [random.permutation(values) for _ in range(NUM_SHUFFLES)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = _study(trials)
        whole = _shares(study, num_trees=4 * NUM_TREES)
        resampled = [_shares(_study([trials[row] for row in sample])) for sample in resamples]
        shuffled = [_shares(study, shuffle) for shuffle in shuffles]
    low, high = np.quantile(resampled, [0.05, 0.95], axis=0)
    by_chance = np.max(shuffled, axis=0)
    found = [
        Importance(column, share, min(share, below), max(share, above), chance)
        for column, share, below, above, chance in zip(
            columns, whole.tolist(), low.tolist(), high.tolist(), by_chance.tolist(), strict=True
        )
    ]
    return sorted(found, key=lambda importance: -importance.share)


def _coordinates(results: Results, rows: pd.DataFrame, columns: list[str]) -> tuple[np.ndarray, list[int | None]]:
    """(n, columns), each hyperparameter in its own scale, and of a choice the number of its options."""
    import numpy as np

    found: list[np.ndarray] = []
    options: list[int | None] = []
    for column in columns:
        if is_choice(results, column):
            places, names = categories(rows[column])
            found.append(places)
            options.append(len(names))
        else:
            found.append(unit_values(results, rows[column]).fillna(MISSING).to_numpy(float))
            options.append(None)
    return np.column_stack(found), options


def _optuna_trials(
    coordinates: np.ndarray, values: np.ndarray, options: list[int | None]
) -> list[optuna.trial.FrozenTrial]:
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.trial import create_trial

    distributions: dict[str, BaseDistribution] = {
        f"{number:03d}": FloatDistribution(MISSING, 1.0) if count is None else CategoricalDistribution(range(count))
        for number, count in enumerate(options)
    }
    kinds = [float if count is None else int for count in options]
    return [
        create_trial(
            params={name: kind(place) for name, kind, place in zip(distributions, kinds, row, strict=True)},
            distributions=distributions,
            value=float(value),
        )
        for row, value in zip(coordinates, values, strict=True)
    ]


def _study(trials: list[optuna.trial.FrozenTrial]) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    study.add_trials(trials)
    return study


def _shares(study: optuna.Study, values: np.ndarray | None = None, num_trees: int = NUM_TREES) -> np.ndarray:
    """(columns,): the part each explains; of `values` by trial, where they are given."""
    import numpy as np
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    found = get_param_importances(
        study,
        evaluator=FanovaImportanceEvaluator(n_trees=num_trees, max_depth=MAX_DEPTH, seed=0),
        target=None if values is None else lambda trial: float(values[trial.number]),
        normalize=False,
    )
    return np.array([float(found[name]) for name in sorted(found)])

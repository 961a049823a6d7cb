"""What a sweep says, in words: what matters, where the good values lie, what to do next."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.results import Results
from balltrain.reporting.importance import MIN_TRIALS, importances
from balltrain.reporting.occupancy import idle_share, lanes
from balltrain.reporting.scales import bounds, categories, is_choice, unit_values
from balltrain.reporting.text import short

if TYPE_CHECKING:
    import pandas as pd

NUM_BEST = 10  # trials that count as the best, but never more than a fifth of all
NUM_TOLD = 3  # hyperparameters told of, the most important ones
EDGE = 0.05  # of the space, on its own scale
CHANCE = 0.05  # that an option is as frequent among the best for no reason
APART = 0.01  # that a number among the best is as unlike the others' for no reason; tried for each hyperparameter
GAP = 0.1  # of an objective in training, that validation falls short of it by
SAME_WITHIN = 0.02  # of the best objective: closer ones are not told apart by one training


def findings(results: Results) -> list[str]:
    """Sentences, the most useful first. Nothing that the tables do not show."""
    return [
        *without_effect(results),
        *_importances(results),
        *_budget(results),
        *_close_call(results),
        *_overfitting(results),
        *_idleness(results),
    ]


def without_effect(results: Results) -> list[str]:
    """Of trials whose configurations differ, while optimiser, model and first loss were the same."""
    trials = results.searched
    if c.DIGEST not in trials or not results.varied:
        return []
    effective = [c.DIGEST, c.FIRST_LOSS] if c.FIRST_LOSS in trials else [c.DIGEST]
    known = trials.dropna(subset=effective)
    names: Counter[str] = Counter()
    num_trials = 0
    for _, group in known.groupby(effective, sort=False):
        differing = [column for column in results.varied if group[column].nunique(dropna=False) > 1]
        if differing:
            num_trials += len(group)
            names.update(column.removeprefix(c.CONFIG_PREFIX) for column in differing)
    if not names:
        return []
    listed = ", ".join(name for name, _ in names.most_common())
    return [
        f"Warning: {num_trials} trials have other configurations than each other, but the same optimiser, model and "
        f"loss of the first batch. What differs is {listed}: it acts later (as a schedule does), or not at all."
    ]


def _importances(results: Results) -> list[str]:
    found = importances(results)
    told = [
        f"{entry.name} explains {entry.share:.0%} of the differences in {results.objective_name} "
        f"(90 % interval {entry.low:.0%} to {entry.high:.0%}){_where(results, entry.column)}"
        for entry in found[:NUM_TOLD]
        if entry.is_clear
    ]
    apart = [entry for entry in found if not entry.is_clear and _is_apart(results, entry.column)]
    told += [f"{entry.name}{_where(results, entry.column).replace(';', ':', 1)}" for entry in apart]
    unclear = [entry.name for entry in found if not entry.is_clear and entry not in apart]
    if found and len(unclear) == len(found):
        told.append("No hyperparameter's effect can be told from chance: more trials would show more.")
    elif unclear:
        told.append(f"No effect can be told from chance for {', '.join(unclear)}.")
    if not found and len(results.varied) == 1 and len(results.ranked) >= MIN_TRIALS:
        told.append(
            f"Only {results.varied[0].removeprefix(c.CONFIG_PREFIX)} varies{_where(results, results.varied[0])}"
        )
    return told


def _best(results: Results) -> pd.DataFrame:
    return results.ranked.head(max(3, min(NUM_BEST, len(results.ranked) // 5)))


def _is_apart(results: Results, column: str) -> bool:
    """Whether a number among the hyperparameters of the best trials is unlike that of the others: by their ranks."""
    from scipy.stats import mannwhitneyu

    if is_choice(results, column):
        return False
    values, best = results.ranked[column].astype(float), _best(results)[column].dropna().astype(float)
    others = values.drop(best.index).dropna()
    return len(best) > 2 and len(others) > 2 and mannwhitneyu(best, others).pvalue < APART


def _where(results: Results, column: str) -> str:
    """Where the best trials lie on a hyperparameter, and what that asks for."""
    best = _best(results)
    if is_choice(results, column):
        return _favourite(results, column, len(best))
    values = best[column].dropna().astype(float)
    if len(values) < len(best) / 2:
        return f"; {len(best) - len(values)} of the best {len(best)} do without it."
    units = unit_values(results, values)
    if values.nunique() == 1:
        return f"; the best {len(values)} all have {short(values.iloc[0], 2)}."
    where = f"; the best {len(values)} lie between {short(values.min(), 2)} and {short(values.max(), 2)}"
    limits = bounds(results, column)
    if limits and units.median() > 0.8 and units.max() > 1 - EDGE:
        return f"{where}, at the space's upper edge, {short(limits[1], 2)}: widen it."
    if limits and units.median() < 0.2 and units.min() < EDGE:
        return f"{where}, at the space's lower edge, {short(limits[0], 2)}: widen it."
    if units.max() - units.min() < 0.4:
        return f"{where}: the next sweep can keep to that."
    return f"{where}, over much of the space."


def _favourite(results: Results, column: str, num_best: int) -> str:
    from scipy.stats import binom

    places, options = categories(results.ranked[column])
    (option, count), *_ = Counter(places[:num_best].tolist()).most_common(1)
    share = float((places == option).mean())
    if binom.sf(count - 1, num_best, share) > CHANCE:
        return "; none of its options stands out among the best."
    return f"; {count} of the best {num_best} have {options[option]}, of all trials {share:.0%}."


def _budget(results: Results) -> list[str]:
    full = results.sweep.get("epochs")
    if results.went_on.any():  # which is what would be said here
        return []
    best = results.ranked[results.ranked[c.STATUS] == Status.COMPLETED].head(NUM_BEST)
    in_full = best[best[c.EPOCHS] == full]
    if not full or full < 3 or len(in_full) < 3:
        return []
    late = int((in_full[c.BEST_EPOCH] >= 0.95 * full).sum())
    if late >= 0.7 * len(in_full):
        return [
            f"{late} of the best {len(in_full)} full-length trials were still improving at their last epoch, {full}: "
            "train longer."
        ]
    early = float(in_full[c.BEST_EPOCH].median())
    if early < 0.5 * full:
        return [f"The best trials were at their best after {early:g} of {full} epochs: fewer epochs would do."]
    return []


def _close_call(results: Results) -> list[str]:
    if results.confirmed[0] or len(results.ranked) < 3:
        return []
    values = results.ranked[c.OBJECTIVE].astype(float)
    near = int(((values - values.iloc[0]).abs() <= SAME_WITHIN * abs(values.iloc[0])).sum())
    if near < 2:
        return []
    return [
        f"The first {near} trials lie within {SAME_WITHIN:.0%} of each other: which of them is first may be luck of "
        "the seed (`balltrain sweep --confirm` trains the best again with new seeds)."
    ]


def _overfitting(results: Results) -> list[str]:
    if results.best is None:
        return []
    rows = results.epochs[results.epochs[c.TRIAL_ID] == results.best[c.TRIAL_ID]].set_index(c.EPOCH)
    if results.best[c.BEST_EPOCH] not in rows.index:
        return []
    row = rows.loc[results.best[c.BEST_EPOCH]]
    gaps = []
    if row[c.TRAIN_LOSS] > 0 and row[c.VAL_LOSS] >= 2 * row[c.TRAIN_LOSS]:
        gaps.append(f"validation loss is {row[c.VAL_LOSS] / row[c.TRAIN_LOSS]:.1f} times its training loss")
    if (beside := _metric_in_training(results)) is not None:
        trained, validated = row[beside], row[results.objective_column]
        short_by = trained - validated if results.mode == "max" else validated - trained
        if short_by >= GAP * abs(trained):
            gaps.append(
                f"{results.objective_name} is {short(trained)} in training and {short(validated)} in validation, "
                f"a gap of {short(short_by, 2)}"
            )
    if not gaps:
        return []
    return [f"The best trial's {', and its '.join(gaps)}: more data, augmentation or regularisation may help."]


def _metric_in_training(results: Results) -> str | None:
    """The column that has the objective of the training batches, where it is no loss."""
    beside = results.training_column(results.objective_column)
    return None if beside == c.TRAIN_LOSS else beside


def _idleness(results: Results) -> list[str]:
    places = lanes(results)
    if len(places) < 4 or (idle := idle_share(places)) < 0.2:
        return []
    return [f"The places for trials stood empty for {idle:.0%} of the time: see the timeline."]

"""What a sweep says of its course, in words: whether and why it has ended, what failed, what went on after it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from balltrain.records import columns as c
from balltrain.records.columns import Status
from balltrain.records.results import Results
from balltrain.reporting.failures import failures
from balltrain.reporting.scales import categories, is_choice
from balltrain.reporting.text import short

if TYPE_CHECKING:
    import pandas as pd

BY_CHANCE = 0.01  # that trials that failed are so alike for no reason; shared by the hyperparameters that vary
MIN_FAILED = 3  # fewer have something in common anyway
MAX_ERROR = 120  # characters of an error in a sentence


def course(results: Results) -> list[str]:
    """Sentences, what changes the meaning of all others first."""
    return [*_end(results), *_failed(results), *_after_search(results), *_not_trained(results)]


def _end(results: Results) -> list[str]:
    """Why a sweep ended before its trials were used up, or that it has not ended."""
    counts = results.counts
    planned = (results.sweep.get("trials") or 0) * (results.sweep.get("folds") or 1)
    to_come = max(0, planned - len(results.searched) - int(results.same_as.notna().sum()))
    waiting, running = counts[Status.INTERRUPTED], counts[Status.RUNNING] + counts[Status.PAUSED]
    if limit := results.sweep.get("limit"):
        told = f"The search ended because {limit}"
        told += f": {_trials(to_come)} of {planned} were never begun." if to_come else "."
        told += f" {_trials(waiting)} can go on, by --resume with a larger budget." if waiting else ""
        return [told]
    if running:
        told = f"The sweep had not ended when this was drawn: {_trials(counts[Status.RUNNING])} ran"
        told += f", {counts[Status.PAUSED]} paused" if counts[Status.PAUSED] else ""
        return [told + (f", {to_come} had not begun." if to_come else ".")]
    if waiting:
        told = f"The sweep was interrupted: {_trials(waiting)} can go on"
        return [told + (f", {to_come} never began" if to_come else "") + ". Its command with --resume goes on."]
    return []


def _trials(number: int) -> str:
    return f"{number} trial{'s' * (number != 1)}"


def _failed(results: Results) -> list[str]:
    """How many trials failed, of what, and what they have in common that the others have not."""
    found, total = failures(results), len(results.trials)
    if not found:
        return []
    num_failed = len(results.failed)
    error, trial_ids = found[0]
    error = error if len(error) <= MAX_ERROR else error[: MAX_ERROR - 1] + "…"
    most = "" if len(found) == 1 else f"{len(trial_ids)} of them "
    told = [f"{num_failed} of {total} trials failed, {most}with «{error}»."]
    told += [alike for column in results.varied if (alike := _alike(results, column, len(results.varied)))]
    return told


def _alike(results: Results, column: str, num_columns: int) -> str:
    """What the failed trials have of a hyperparameter, where it is not what the others have; empty where it is."""
    from scipy.stats import fisher_exact, mannwhitneyu

    has_failed = results.trials[c.STATUS] == Status.FAILED
    values, name = results.trials[column], column.removeprefix(c.CONFIG_PREFIX)
    failed, others = values[has_failed].dropna(), values[~has_failed].dropna()
    if len(failed) < MIN_FAILED or len(others) < MIN_FAILED:
        return ""
    level = BY_CHANCE / num_columns
    if is_choice(results, column):
        places, options = categories(values)
        option, count = Counter(places[has_failed].tolist()).most_common(1)[0]
        beside = int((places[~has_failed] == option).sum())
        table = [[count, int(has_failed.sum()) - count], [beside, int((~has_failed).sum()) - beside]]
        if fisher_exact(table, alternative="greater").pvalue >= level:
            return ""
        failed_with = f"{count} of the {int(has_failed.sum())} that failed"
        return (
            f"{name} is {options[option]} in {failed_with}, and in {beside} of the {int((~has_failed).sum())} others."
        )
    if mannwhitneyu(failed.astype(float), others.astype(float)).pvalue >= level:
        return ""
    return f"{name} is {_range(failed)} in the trials that failed, and {_range(others)} in the others."


def _range(values: pd.Series) -> str:
    return f"{short(values.min(), 2)} to {short(values.max(), 2)}"


def _after_search(results: Results) -> list[str]:
    told = []
    if num_went_on := int(results.went_on.sum()):
        last = results.sweep["continue_epochs"]
        told.append(
            f"The search's best {num_went_on} went on after it, up to epoch {last}. What is said of hyperparameters "
            "counts the search's epochs alone."
        )
    return told


def _not_trained(results: Results) -> list[str]:
    num_same = int(results.same_as.notna().sum())
    if not num_same:
        return []
    trials = "1 trial has" if num_same == 1 else f"{num_same} trials have"
    return [f"{trials} the configuration of an earlier one, whose training counts for both."]

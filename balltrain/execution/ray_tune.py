"""The controller as Ray Tune sees it: a searcher that proposes attempts and a scheduler that decides on rows.

Tune's trial is one attempt at one of ours. The only module, besides `trial.py` and `runner.py`, that knows Tune.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from balltrain.execution.trial import END, ROW
from balltrain.records.columns import Decision
from balltrain.search import policy
from balltrain.search.controller import Controller
from balltrain.search.policy import Cause


class _NotSaved:
    """Tune pickles searcher and scheduler to restore them later; the journal serves for that here."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def save(self, checkpoint_path: str) -> None:
        pass


class ControllerSearcher(_NotSaved, Searcher):
    """Hands the controller's attempts to Tune. The controller hears of their ends from the scheduler."""

    def __init__(self, controller: Controller):
        super().__init__()
        self.controller = controller

    def suggest(self, trial_id: str) -> Any:
        try:
            attempt = self.controller.next_attempt()
        except Exception as error:
            self.controller.error = error
            attempt = None
        if attempt is not None:
            return {"attempt": attempt}
        return Searcher.FINISHED if self.controller.done else None

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a sweep is resumed from its journal")

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default", **_: Any) -> None:
        pass


class ControllerScheduler(_NotSaved, FIFOScheduler):
    """Passes rows and ends to the controller, and its decisions back."""

    def __init__(self, controller: Controller):
        super().__init__()
        self.controller = controller

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        number = trial.config["attempt"].number
        try:
            if ROW in result and not result.get("done"):
                goes_on = self.controller.report(number, json.loads(result[ROW])) == Decision.CONTINUE
                return FIFOScheduler.CONTINUE if goes_on else FIFOScheduler.STOP
            if END in result and not result.get("done"):
                end = json.loads(result[END])
                if end:
                    self.controller.fail(number, Cause(end["cause"]), end["error"])
                else:
                    self.controller.complete(number)
        except Exception as error:
            # an exception here would count as the trial's; the sweep itself cannot go on
            self._give_up(number, error)
        return FIFOScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The attempt's process died, or could not be started."""
        number = trial.config["attempt"].number
        try:
            self.controller.fail(number, *_death(trial))
        except Exception as failure:
            self._give_up(number, failure)

    def _give_up(self, number: int, error: Exception) -> None:
        self.controller.error = self.controller.error or error
        self.controller.live.discard(number)


def _death(trial: Any) -> tuple[Cause, str]:
    """Cause, and one line, of the death of a trial's process: from the text that Tune leaves of Ray's error."""
    try:
        text = Path(trial.error_file).read_text()  # Trial.get_error looks where it is copied to only later
    except (OSError, TypeError):
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reasons = [line for line in lines if "died" in line or "has been killed" in line]
    line = reasons[-1] if reasons else "the trial's process ended"
    return policy.cause_of_death(text), line[:500]

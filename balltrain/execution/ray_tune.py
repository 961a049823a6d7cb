"""The controller as Ray Tune sees it: a searcher that proposes attempts and a scheduler that decides on rows.

Tune's trial is one attempt at one of ours. The only module, besides `trial.py`, that knows Tune.
"""

from __future__ import annotations

import json
import logging
import shutil
import socket
import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import ray
from pydantic_core import from_json
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.util import placement_group_table

from balltrain.background import every
from balltrain.errors import SweepStopped
from balltrain.execution import ray_internals
from balltrain.execution.interrupts import Interrupts
from balltrain.execution.nodes import names_of_nodes, what_is_missing
from balltrain.execution.placement import Placement
from balltrain.execution.ray_session import RaySession
from balltrain.execution.requested import follow
from balltrain.execution.trial import END, ROW, TrialContext, run_attempt
from balltrain.execution.watchdog import NO_WATCH, Watch, Watchdog, Whereabouts
from balltrain.records.columns import Decision
from balltrain.records.requests import Answer, Requests, StopRequest
from balltrain.search import policy
from balltrain.search.attempts import Attempt
from balltrain.search.controller import Controller
from balltrain.search.policy import Cause

logger = logging.getLogger(__name__)

POLL_S = 0.1
WATCH_EVERY_S = 1.0
# that leaving may take, where Ray still answers and where it does not
LEAVE_S, LEAVE_DEAD_S = 8.0, 1.0


def run_on_ray(
    controller: Controller,
    context: TrialContext,
    placement: Placement,
    folder: Path,
    session: RaySession,
    interrupts: Interrupts,
    requests: Requests,
    watch: Watch = NO_WATCH,
) -> None:
    """Run the controller's attempts until it is done, or is to end before. What ended it is in `controller.error`.

    What is asked meanwhile in the sweep's storage is followed; `watch` is told what the sweep waits for, where
    nothing is reported for long. Raises KeyboardInterrupt at a second Ctrl-C.
    """
    if controller.done:
        return
    run = _TuneRun(controller, context, placement, folder)

    def answer(request: StopRequest) -> Answer:
        with run.lock:
            return follow(request, controller, interrupts, run.to_kill.add)

    run.start()
    watchdog = Watchdog(controller, socket.gethostname(), run.whereabouts, watch)
    # Ray is asked: that may fail in many ways, or take as long as a Ray that is gone
    watching = every(WATCH_EVERY_S, watchdog.look, ignoring=(Exception,), patience_s=0.0)
    with requests.heard(answer), watching:
        _wait(run, session, interrupts)
    if interrupts.at_once:
        raise KeyboardInterrupt


def _wait(run: _TuneRun, session: RaySession, interrupts: Interrupts) -> None:
    """Until it has ended, or is left."""
    controller = run.controller
    while not run.ended.is_set():
        try:
            run.ended.wait(POLL_S)  # a KeyboardInterrupt in Thread.join makes Python 3.11 take a thread for ended
        except KeyboardInterrupt:  # raised by somebody else's handler
            interrupts.hear()
        if interrupts.asked:
            controller.interrupted = True
            interrupts.say()
        if session.gone or interrupts.at_once or interrupts.overdue or controller.is_overdue:
            run.leave(session)
            break


class _Left(Exception):
    """Ends Tune's loop, after it has given back what its trials hold."""


class _LeftAsItIs(BaseException):
    """Ends Tune's loop, and nothing else: Ray takes back what trials hold when it ends."""


class _TuneRun(threading.Thread):
    """Tune's loop, in a thread of its own.

    So the thread that runs the sweep hears signals at any time, whatever event loop it may be in, and can leave a
    Ray that is gone, for which Tune would wait a minute.
    """

    def __init__(self, controller: Controller, context: TrialContext, placement: Placement, folder: Path):
        super().__init__(name="tune", daemon=True)
        self.controller, self.context, self.placement = controller, context, placement
        self.scratch = folder / ".ray"
        self.lock = threading.RLock()  # held by Tune's thread while it tells the controller
        self.left: type[BaseException] | None = None
        self.ended = threading.Event()
        self.to_kill: set[int] = set()  # numbers of trials whose process is to end
        self.trials: list[Any] = []  # Tune's, of all attempts
        self.turned = time.monotonic()  # when its loop was last seen

    def run(self) -> None:
        try:
            self._tuner().fit()
        except _LeftAsItIs:
            pass
        except Exception as error:
            with self.lock:
                if self.left is None and self.controller.error is None:
                    self.controller.error = error
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
            if self.left is not None:
                ray_internals.start_automatically(self._started_automatically)
            self.ended.set()

    def leave(self, session: RaySession) -> None:
        """End it within its epochs, which a resume trains again. From here on it tells the controller nothing."""
        with self.lock:
            self.left = _Left if session.is_guest and session.gone is None else _LeftAsItIs
            # a call of this thread that comes after `ray.shutdown` would start another
            self._started_automatically = ray_internals.start_automatically(False)
            controller = self.controller
            if session.gone is not None and not controller.interrupted and controller.error is None:
                controller.error = SweepStopped(f"{session.gone}; the sweep has stopped and can be resumed")
            for number in sorted(controller.live):
                controller.fail(number, Cause.NODE_LOST, "the sweep was ended within an epoch")
        if self.ended.wait(LEAVE_DEAD_S if session.gone else LEAVE_S):
            ray_internals.start_automatically(self._started_automatically)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def whereabouts(self) -> Whereabouts:
        """What Ray knows of the trials that run; asks it. Called by another thread."""
        turned = time.monotonic() - self.turned
        live = {trial.config["attempt"].number: trial for trial in list(self.trials)}
        live = {number: trial for number, trial in live.items() if number in self.controller.live}
        waiting = [number for number, trial in live.items() if trial.status == Trial.PENDING]
        # what has its resources and is not there yet is being started
        groups = placement_group_table().values() if waiting else ()
        lacks = any(group["state"] in ("PENDING", "RESCHEDULING") for group in groups)
        names, nodes = names_of_nodes(), {}
        for number, trial in live.items():
            if (actor := trial.temporary_state.ray_actor) is not None:
                nodes[number] = names.get(ray_internals.node_of(actor) or "", "a node that is gone")
        return Whereabouts(
            pending=waiting if lacks else (),
            starting=() if lacks else waiting,
            nodes=nodes,
            resources=what_is_missing(self.placement) if lacks else "",
            loop_s=turned,
        )

    def _tuner(self) -> tune.Tuner:
        attempt = partial(run_attempt, context=self.context)
        return tune.Tuner(
            tune.with_resources(attempt, self.placement.trial_resources),
            tune_config=tune.TuneConfig(
                search_alg=ControllerSearcher(self),
                scheduler=ControllerScheduler(self),
                num_samples=-1,
                reuse_actors=self.placement.workers == 1,  # what starts workers cannot be stopped and used again
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(self.scratch.resolve()),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
                callbacks=[_Ending(self)],
                progress_reporter=tune.CLIReporter(),  # silent; that of notebooks would clear the cell's output
            ),
        )


class _NotSaved:
    """Tune pickles searcher and scheduler to restore them later; the journal serves for that here."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def save(self, checkpoint_path: str) -> None:
        pass


class _Ending(_NotSaved, tune.Callback):
    """Ends processes of trials that are stopped at once, and Tune's loop once it is to be left."""

    def __init__(self, run: _TuneRun):
        self.run = run

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.run.trials, self.run.turned = trials, time.monotonic()
        left = self.run.left
        if left is not None:
            _kill(trials if left is _Left else [])
            raise left
        if self.run.to_kill:
            with self.run.lock:
                _kill(t for t in trials if t.config["attempt"].number in self.run.to_kill and not t.is_finished())
                self.run.to_kill.clear()


def _kill(trials: Iterable[Any]) -> None:
    """Of Tune's trials the processes: Tune itself would wait for their epochs."""
    for trial in trials:
        actor = trial.temporary_state.ray_actor
        if actor is not None:
            ray.kill(actor)


class ControllerSearcher(_NotSaved, Searcher):
    """Hands the controller's attempts to Tune. The controller hears of their ends from the scheduler."""

    def __init__(self, run: _TuneRun):
        super().__init__()
        self.run, self.controller = run, run.controller

    def suggest(self, trial_id: str) -> Any:
        with self.run.lock:
            if self.run.left is not None:
                return None
            try:
                attempt = self.controller.next_attempt()
            except Exception as error:
                self.controller.error = error
                attempt = None
            if attempt is not None:
                return {"attempt": attempt}
            return Searcher.FINISHED if self.controller.done else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a sweep is resumed from its journal")

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default", **_: Any) -> None:
        pass


class ControllerScheduler(_NotSaved, FIFOScheduler):
    """Passes rows and ends to the controller, and its decisions back."""

    def __init__(self, run: _TuneRun):
        super().__init__()  # type: ignore[no-untyped-call]  # Tune's own
        self.run, self.controller = run, run.controller

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        attempt = trial.config["attempt"]
        with self.run.lock:
            try:
                if self.run.left is None and not result.get("done"):
                    return self._tell(attempt, result)
            except Exception as error:
                # an exception here would count as the trial's; the sweep itself cannot go on
                self._give_up(attempt.number, error)
        return FIFOScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The attempt's process died, or could not be started."""
        attempt = trial.config["attempt"]
        with self.run.lock:
            try:
                if self.run.left is None:
                    self.controller.fail(attempt.number, *_death(trial), attempt.attempt)
            except Exception as failure:
                self._give_up(attempt.number, failure)

    def _tell(self, attempt: Attempt, result: dict[str, Any]) -> str:
        number, which = attempt.number, attempt.attempt
        if ROW in result:
            row = from_json(result[ROW], cache_strings="all")
            goes_on = self.controller.report(number, row, which) == Decision.CONTINUE
            return FIFOScheduler.CONTINUE if goes_on else FIFOScheduler.STOP
        if END in result:
            end = json.loads(result[END])
            if end:
                logger.debug(end["traceback"])  # shown by --debug
                self.controller.fail(number, Cause(end["cause"]), end["error"], which)
            else:
                self.controller.complete(number, which)
        return FIFOScheduler.STOP

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

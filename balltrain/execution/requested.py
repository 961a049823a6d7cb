"""What `balltrain stop`, typed elsewhere, does to a sweep that runs here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from balltrain.execution.interrupts import Interrupts
from balltrain.records.requests import Answer, StopRequest
from balltrain.records.state import SweepState
from balltrain.search.controller import Controller


def follow(
    request: StopRequest,
    controller: Controller,
    interrupts: Interrupts,
    kill: Callable[[int], None],
) -> Answer:
    """Do what is asked, and say it on stderr too. No other thread uses the controller meanwhile.

    `kill` ends the process of a trial that trains.
    """
    if request.trial is None:
        return stop_all(request, interrupts)
    if (refusal := _refusal(controller.state, request.trial)) is not None:
        return Answer(False, refusal)
    trial = controller.state.trials[request.trial]
    trains = trial.number in controller.live
    controller.stop(trial.number, f"balltrain stop, {request.who}", now=request.now)
    if not trains:
        says = f"trial {trial.trial_id}, which does not train now, is stopped"
    elif request.now:
        kill(trial.number)
        says = f"trial {trial.trial_id} is stopped at once"
    else:
        says = f"trial {trial.trial_id} is stopped after the epoch that runs"
    _say(request, says)
    return Answer(True, says)


def stop_all(request: StopRequest, interrupts: Interrupts) -> Answer:
    """As Ctrl-C does, or a second one."""
    if not request.now and interrupts.asked:
        return Answer(True, "it was ending already, after the epochs that run")
    says = "it ends at once" if request.now else "it ends after the epochs that run"
    _say(request, says)
    interrupts.ask(at_once=request.now)
    return Answer(True, f"{says}, and can be resumed")


def _refusal(state: SweepState, number: int) -> str | None:
    """Why a trial cannot be stopped; None where it can."""
    trial = state.trials.get(number)
    if trial is None:
        there = f"it has 0 to {max(state.trials)}" if state.trials else "it has none yet"
        return f"there is no trial {number}: {there}"
    if trial.has_ended:
        return f"trial {trial.trial_id} has ended already: it is {trial.status}"
    if trial.same_as is not None:
        first = state.trials[trial.same_as].trial_id
        return f"trial {trial.trial_id} has the configuration of trial {first}, which trains for both: stop that one"
    return None


def _say(request: StopRequest, says: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that has closed
        print(f"balltrain stop, {request.who}: {says}", file=sys.stderr, flush=True)

from __future__ import annotations

import threading
import time
from functools import partial
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from balltrain.records.columns import Status
from balltrain.reporting.figures import STATUS_COLOR
from balltrain.reporting.live import View, live_view, sparkline
from balltrain.reporting.snapshot import snapshot_of
from balltrain.reporting.terminal.style import STATUS_STYLE


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(file=StringIO(), force_terminal=True, width=width, height=height, color_system=None)


def written(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def rendered(view: View, simulation: Any, width: int = 80, height: int = 24) -> str:
    console = terminal(width, height)
    console.print(view.render(snapshot_of(simulation.controller), width, height))
    return written(console)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def advance(simulation: Any, steps: int) -> None:
    for _ in range(steps):
        simulation.step()


def test_panel_tells_progress_best_and_running_trials(simulate):
    simulation = simulate(failing=lambda number: "boom" if number == 2 else None)
    view = View(snapshot_of(simulation.controller))
    advance(simulation, 60)
    text = rendered(view, simulation)
    state = simulation.state
    ended = len(state.with_status("completed", "stopped", "failed"))
    assert f"{ended}/24 trials" in text
    assert "1 failed" in text
    assert f"trial {state.best.trial_id}, epoch {state.best.best['epoch']}" in text
    for number in simulation.controller.live:
        assert state.trials[number].trial_id in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 16), (200, 50)])
@pytest.mark.parametrize("interrupted", [False, True])
def test_panel_fits_the_terminal_with_many_running_trials(simulate, width: int, height: int, interrupted: bool):
    simulation = simulate(trials=300, concurrency=64)
    view = View(snapshot_of(simulation.controller))
    advance(simulation, 200)
    simulation.controller.interrupted = interrupted
    lines = rendered(view, simulation, width, height).splitlines()
    assert len(lines) < height
    assert max(len(line) for line in lines) <= width - 2  # room for the ^C that a terminal echoes
    assert "more" in "".join(lines)  # of the 64 that run


def test_rates_are_a_dash_until_they_are_known_then_right(simulate):
    clock = Clock()
    simulation = simulate(trials=24, concurrency=4)
    view = View(snapshot_of(simulation.controller), clock)
    text = rendered(view, simulation)
    assert "per second —" in text
    assert "left —" in text
    while len(simulation.state.ended_in_order) < 12:
        simulation.step()
        clock.now += 0.5
    text = rendered(view, simulation)
    epochs = sum(trial.epochs for trial in simulation.state.trials.values())
    assert f"epochs {epochs}" in text
    assert f"per second {epochs / clock.now:.3g}" in text
    assert f"left about {clock.now:.0f} s" in text  # half of the trials have ended


def test_epochs_of_the_run_before_a_resume_are_no_speed(simulate):
    clock = Clock()
    simulation = simulate()
    advance(simulation, 60)
    view = View(snapshot_of(simulation.controller), clock)
    clock.now = 10
    text = rendered(view, simulation)
    assert "per second —" in text
    assert "left —" in text


def test_speed_is_that_of_the_last_half_minute(simulate):
    clock = Clock()
    simulation = simulate(trials=40)
    view = View(snapshot_of(simulation.controller), clock)
    for second in range(100):
        clock.now = second
        if second < 50:
            advance(simulation, 1)
        text = rendered(view, simulation)
    assert "per second —" in text


def test_ctrl_c_says_what_happens_now(simulate):
    simulation = simulate()
    view = View(snapshot_of(simulation.controller))
    advance(simulation, 20)
    assert "Ctrl-C" not in rendered(view, simulation)
    simulation.controller.interrupted = True
    text = rendered(view, simulation)
    assert "4 trials end after this epoch; Ctrl-C again ends at once" in text


def test_nothing_is_printed_where_standard_error_is_no_terminal(simulate, capsys):
    console = Console(file=StringIO(), force_terminal=False)
    threads = threading.active_count()
    simulation = simulate()
    with live_view(lambda: snapshot_of(simulation.controller), console):
        assert threading.active_count() == threads
        advance(simulation, 5)
    with live_view(lambda: snapshot_of(simulation.controller)):  # pytest's standard error is none either
        advance(simulation, 5)
    assert written(console) == ""
    assert capsys.readouterr() == ("", "")


def test_view_follows_a_sweep_in_another_thread_and_cleans_up(simulate, capsys):
    console = terminal()
    simulation = simulate(trials=400, concurrency=8)
    threads = threading.active_count()
    with live_view(lambda: snapshot_of(simulation.controller), console):
        while simulation.step():
            time.sleep(0.0005)
        time.sleep(0.6)
        print("on standard output")
    assert threading.active_count() == threads
    text = written(console)
    assert "400/400 trials" in text
    assert "\x1b[2K" in text.rsplit("400/400", 1)[1]  # the panel is erased
    assert "\x1b[?25h" in text  # and the cursor is back
    assert capsys.readouterr().out == "on standard output\n"


def test_an_error_in_the_sweep_ends_the_view(simulate):
    console = terminal()
    threads = threading.active_count()
    look = partial(snapshot_of, simulate().controller)
    with pytest.raises(RuntimeError, match="sweep broke"), live_view(look, console):
        raise RuntimeError("sweep broke")
    assert threading.active_count() == threads


def test_a_state_that_changes_while_it_is_read_does_not_end_the_view(simulate):
    console = terminal()
    simulation = simulate()
    calls = []

    def look() -> Any:
        calls.append(time.monotonic())
        if len(calls) == 2:
            raise RuntimeError("dictionary changed size during iteration")
        return snapshot_of(simulation.controller)

    with live_view(look, console):
        advance(simulation, 5)
        time.sleep(0.9)
    assert len(calls) >= 3
    assert "bowl-1" in written(console)


def test_every_status_has_a_colour_in_terminal_and_report():
    assert set(STATUS_STYLE) == set(STATUS_COLOR) == set(Status)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], ""),
        ([None], ""),
        ([1.0], "▁"),
        ([1.0, 10.0, 100.0], "▁▅█"),
        ([0.0, 0.5, None, 1.0], "▁▅ █"),
        ([2.0, 2.0], "▁▁"),
    ],
)
def test_sparkline_has_a_character_a_value(values: list, text: str):
    assert sparkline(values) == text

from __future__ import annotations

import threading
import time
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from balltrain.execution.placement import Placement
from balltrain.reporting.live import View, live_view, sparkline


def placement(concurrency: int = 4) -> Placement:
    return Placement(workers=1, cpus_per_worker=1, gpus_per_worker=0, concurrency=concurrency, num_gpus=0)


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(file=StringIO(), force_terminal=True, width=width, height=height, color_system=None)


def written(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def rendered(view: View, width: int = 80, height: int = 24) -> str:
    console = terminal(width, height)
    console.print(view.render(width, height))
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
    view = View(simulation.controller, placement())
    advance(simulation, 60)
    text = rendered(view)
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
    view = View(simulation.controller, placement(64))
    advance(simulation, 200)
    simulation.controller.interrupted = interrupted
    lines = rendered(view, width, height).splitlines()
    assert len(lines) < height
    assert max(len(line) for line in lines) <= width - 2  # room for the ^C that a terminal echoes
    assert "more" in "".join(lines)  # of the 64 that run


def test_rates_are_a_dash_until_they_are_known_then_right(simulate):
    clock = Clock()
    simulation = simulate(trials=24, concurrency=4)
    view = View(simulation.controller, placement(), clock)
    text = rendered(view)
    assert "per second —" in text
    assert "left —" in text
    while len(simulation.state.ended_in_order) < 12:
        simulation.step()
        clock.now += 0.5
    text = rendered(view)
    epochs = sum(trial.epochs for trial in simulation.state.trials.values())
    assert f"epochs {epochs}" in text
    assert f"per second {epochs / clock.now:.3g}" in text
    assert f"left about {clock.now:.0f} s" in text  # half of the trials have ended


def test_epochs_of_the_run_before_a_resume_are_no_speed(simulate):
    clock = Clock()
    simulation = simulate()
    advance(simulation, 60)
    view = View(simulation.controller, placement(), clock)
    clock.now = 10
    text = rendered(view)
    assert "per second —" in text
    assert "left —" in text


def test_speed_is_that_of_the_last_half_minute(simulate):
    clock = Clock()
    simulation = simulate(trials=40)
    view = View(simulation.controller, placement(), clock)
    for second in range(100):
        clock.now = second
        if second < 50:
            advance(simulation, 1)
        text = rendered(view)
    assert "per second —" in text


def test_ctrl_c_says_what_happens_now(simulate):
    simulation = simulate()
    view = View(simulation.controller, placement())
    advance(simulation, 20)
    assert "Ctrl-C" not in rendered(view)
    simulation.controller.interrupted = True
    text = rendered(view)
    assert "4 trials end after this epoch; Ctrl-C again ends at once" in text


def test_nothing_is_printed_where_standard_error_is_no_terminal(simulate, capsys):
    console = Console(file=StringIO(), force_terminal=False)
    threads = threading.active_count()
    simulation = simulate()
    with live_view(simulation.controller, placement(), console):
        assert threading.active_count() == threads
        advance(simulation, 5)
    with live_view(simulation.controller, placement()):  # pytest's standard error is none either
        advance(simulation, 5)
    assert written(console) == ""
    assert capsys.readouterr() == ("", "")


def test_view_follows_a_sweep_in_another_thread_and_cleans_up(simulate, capsys):
    console = terminal()
    simulation = simulate(trials=400, concurrency=8)
    threads = threading.active_count()
    with live_view(simulation.controller, placement(8), console):
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
    with pytest.raises(RuntimeError, match="sweep broke"), live_view(simulate().controller, placement(), console):
        raise RuntimeError("sweep broke")
    assert threading.active_count() == threads


def test_a_state_that_changes_while_it_is_read_does_not_end_the_view(simulate, monkeypatch):
    console = terminal()
    simulation = simulate()
    render, calls = View.render, []

    def at_times_changed(self: View, *size: int) -> Any:
        calls.append(size)
        if len(calls) == 1:
            raise RuntimeError("dictionary changed size during iteration")
        return render(self, *size)

    monkeypatch.setattr(View, "render", at_times_changed)
    with live_view(simulation.controller, placement(), console):
        advance(simulation, 5)
        time.sleep(0.7)
    assert len(calls) >= 2
    assert "bowl-1" in written(console)


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

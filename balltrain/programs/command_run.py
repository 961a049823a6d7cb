"""One attempt at a trial of a command: starts it, reads its figures, ends it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError, UserCodeError
from balltrain.programs.epochs import Numbering
from balltrain.programs.figure_sources import NumberedRow, Sources
from balltrain.programs.figures import Figures, last_written
from balltrain.programs.placeholders import filled_in
from balltrain.programs.processes import KILL_AFTER_S, TRIAL_DIR, Killed, Running, kill_marked
from balltrain.programs.script import RANK, REPORT_FILE

POLL_S = 0.05
OWN_END_S = 60.0  # that a command has to end by itself after its last epoch
MAX_LINE_BYTES = 1 << 16
NUM_LAST_LINES = 5  # of the output, in an error
# of the sweep's own process, which a command would take for its own
NOT_PASSED_ON = (RANK, "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "RAY_ADDRESS")
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
NEVER_AGAIN = {
    2: "its usage is wrong",  # as argparse has it
    126: "it cannot be executed",
    127: "it was not found",
}
# of Python's traceback the last line: `ValueError: …`, `torch.OutOfMemoryError: …`
_PYTHON_ERROR = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?([A-Z]\w*(?:Error|Exception|Interrupt|Exit))(?::|$)")


@dataclass(frozen=True)
class CommandTrial:
    """What a command is run with."""

    command: str
    figures: str | None  # where they come from; None: found
    folder: Path  # that it runs in
    trial_dir: Path  # for its own files, and ours, whose names begin with `.balltrain`
    objective: str
    config: Mapping[str, Any]
    trial_id: str
    seed: int
    epochs: int
    resumed: bool  # an attempt before has begun it
    cpus: float = 1.0
    gpus: float = 0.0
    fold: tuple[int, int] | None = None  # number, from 0, and how many there are
    kill_after_s: float = field(default=KILL_AFTER_S)

    @property
    def config_file(self) -> Path:
        return self.trial_dir / ".balltrain-config.json"

    @property
    def report_file(self) -> Path:
        return self.trial_dir / ".balltrain-report.jsonl"

    @property
    def numbering_file(self) -> Path:
        return self.trial_dir / ".balltrain-epochs.json"


def run_command(
    trial: CommandTrial,
    report: Callable[[int, Figures], None],
    write_output: Callable[[bytes], None] = lambda output: None,
) -> None:
    """Run it to its end; each row of figures goes to `report` with its number, from 1, each once.

    What `report` raises ends the command, with all its processes. Raises BalltrainError where it fails, or has no
    figures.
    """
    trial.trial_dir.mkdir(parents=True, exist_ok=True)
    kill_marked(str(trial.trial_dir))  # what another process of this machine was killed over
    trial.config_file.write_text(json.dumps(dict(trial.config), indent=1) + "\n")
    trial.report_file.write_bytes(b"")
    last_lines: deque[str] = deque(maxlen=NUM_LAST_LINES)
    sources = _sources(trial)
    with contextlib.closing(sources), _started(trial) as running:
        num_rows = 0
        try:
            for rows in _rows(running, sources, last_lines, write_output):
                num_rows += len(rows)
                _keep(sources.numbering, trial)
                for number, figures in rows:
                    if number >= trial.epochs:
                        _let_end(running, last_lines, write_output)
                    report(number, figures)
                    if number >= trial.epochs:
                        return
        except Killed:
            raise BalltrainError("the command's supervisor was killed") from None
        finally:
            for output in running.stopped():
                write_output(output)
    if running.exit_code:
        raise _failure(running.exit_code, list(last_lines))
    if num_rows == 0 and sources.numbering.source is None:
        said = f"; its last lines: {_joined(last_lines)}" if last_lines else "; it printed nothing"
        raise BalltrainError(f"the command ended well, but {sources.missing()}{said}")


def command_line(trial: CommandTrial) -> str:
    """The command with its placeholders filled in."""
    number, count = trial.fold or (None, None)
    own = {
        "config_file": str(trial.config_file),
        "epochs": trial.epochs,
        "seed": trial.seed,
        "trial": trial.trial_id,
        "trial_dir": str(trial.trial_dir),
        "fold": number,
        "folds": count,
    }
    return filled_in(trial.command, {**own, **trial.config, "epochs": trial.epochs})


def environment(trial: CommandTrial) -> dict[str, str]:
    """That of the sweep, with what the trial holds and where it stands."""
    threads = str(max(1, round(trial.cpus)))
    found = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    found |= dict.fromkeys(THREADS, threads)
    found |= {
        TRIAL_DIR: str(trial.trial_dir),
        "BALLTRAIN_TRIAL": trial.trial_id,
        "BALLTRAIN_SEED": str(trial.seed),
        "BALLTRAIN_EPOCHS": str(trial.epochs),
        "BALLTRAIN_CONFIG_FILE": str(trial.config_file),
        REPORT_FILE: str(trial.report_file),
        "PYTHONUNBUFFERED": "1",  # lines come when they are printed, not 8 KB later
    }
    if trial.gpus == 0:
        found["CUDA_VISIBLE_DEVICES"] = ""  # Ray has set it for trials that hold one
    if trial.resumed:
        found["BALLTRAIN_RESUME"] = "true"
    if trial.fold is not None:
        found |= {"BALLTRAIN_FOLD": str(trial.fold[0]), "BALLTRAIN_FOLDS": str(trial.fold[1])}
    return found


def _started(trial: CommandTrial) -> Running:
    try:
        return Running(command_line(trial), trial.folder, environment(trial), trial.kill_after_s)
    except FileNotFoundError:
        raise BalltrainError(f"there is no folder {trial.folder} to run the command in") from None


def _rows(
    running: Running, sources: Sources, last_lines: deque[str], write_output: Callable[[bytes], None]
) -> Iterator[list[NumberedRow]]:
    """Rows as they become complete, until the command has ended."""
    rest = b""
    while running.exit_code is None:
        output = running.read(POLL_S)
        if output:
            write_output(output)
        *whole, rest = (rest[-MAX_LINE_BYTES:] + output).split(b"\n")  # a progress bar has no end of a line
        if running.exit_code is not None and rest:
            whole.append(rest)
        now = time.monotonic()
        for line in (last_written(raw.decode(errors="replace")) for raw in whole):
            if line.strip():
                last_lines.append(line.strip())
                sources.hear(line, now)
        if rows := sources.due(now, ended=running.exit_code is not None):
            yield rows


def _let_end(running: Running, last_lines: deque[str], write_output: Callable[[bytes], None]) -> None:
    """After its last epoch a command has time to save what it wants to. Raises BalltrainError where that fails."""
    deadline = time.monotonic() + OWN_END_S
    while running.exit_code is None and time.monotonic() < deadline:
        output = running.read(POLL_S)
        write_output(output)
        last_lines.extend(line.strip() for line in output.decode(errors="replace").splitlines() if line.strip())
    if running.exit_code:
        raise _failure(running.exit_code, list(last_lines))


def _failure(exit_code: int, last_lines: list[str]) -> BalltrainError:
    """The error of a command that failed: its last lines say why, and whether it would fail again."""
    python = next(filter(None, map(_PYTHON_ERROR.match, reversed(last_lines))), None)
    said = python.string if python else _joined(last_lines)
    if exit_code in NEVER_AGAIN:
        why = NEVER_AGAIN[exit_code]
        return BalltrainError(f"the command failed with exit code {exit_code}, {why}: {said}")
    signal = f", by signal {exit_code - 128}" if exit_code > 128 else ""
    error = UserCodeError(f"the command failed with exit code {exit_code}{signal}: {said or 'it printed nothing'}")
    error.kinds = (python[1],) if python else ()
    return error


def _joined(lines: list[str] | deque[str]) -> str:
    return " | ".join(line[:160] for line in lines)


def _sources(trial: CommandTrial) -> Sources:
    told = trial.figures
    if told is not None and "(?P<" not in told:
        told = filled_in(told, {"trial_dir": str(trial.trial_dir), "trial": trial.trial_id})
    before = Numbering()
    if trial.resumed:
        with contextlib.suppress(OSError, ValueError, TypeError):  # none yet
            before = Numbering(**json.loads(trial.numbering_file.read_text()))
    return Sources(
        trial.objective,
        before,
        told=told,
        report_file=trial.report_file,
        trial_dir=trial.trial_dir,
        folder=trial.folder,
    )


def _keep(numbering: Numbering, trial: CommandTrial) -> None:
    """Before its rows are reported, so that an attempt after a kill numbers them alike."""
    new = trial.numbering_file.with_suffix(".new")
    new.write_text(json.dumps(dataclasses.asdict(numbering)))
    new.replace(trial.numbering_file)

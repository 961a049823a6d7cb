"""One attempt at a trial of a command: starts it, reads its figures, ends it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from balltrain import durable
from balltrain.errors import BalltrainError, StorageError, UserCodeError
from balltrain.programs.epochs import QUIET_S, Numbering, Rows
from balltrain.programs.figure_files import FigureFile
from balltrain.programs.figure_sources import Sources, is_pattern
from balltrain.programs.figures import Figures, last_written
from balltrain.programs.placeholders import filled_in, placeholders
from balltrain.programs.processes import KILL_AFTER_S, TRIAL_DIR, Killed, Running, kill_marked
from balltrain.programs.script import RANK, REPORT_FILE

Row = tuple[Figures, float]  # with its seconds

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
    state_file: Path  # what is known of its rows
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


@dataclass
class _State:
    """What attempts know of those before: the rows, so that none is lost by a kill before it was journalled."""

    numbering: Numbering
    rows: list[Row]

    @classmethod
    def of(cls, trial: CommandTrial) -> _State:
        try:
            content = json.loads(trial.state_file.read_text())
            return cls(
                Numbering(**content["numbering"]), [(figures, seconds) for figures, seconds in content["rows"]]
            )
        except (OSError, ValueError, TypeError, KeyError):  # none yet
            return cls(Numbering(), [])

    def keep(self, trial: CommandTrial) -> None:
        content = {"numbering": dataclasses.asdict(self.numbering), "rows": self.rows}
        try:
            durable.replace(trial.state_file, json.dumps(content).encode())
        except OSError as error:
            raise StorageError(f"cannot write {trial.state_file}: {error.strerror or error}") from error


def run_command(
    trial: CommandTrial,
    report: Callable[[int, Figures, float], None],
    write_output: Callable[[bytes], None] = lambda output: None,
) -> None:
    """Run it to its end; each row goes to `report` once: its number, from 1, its figures, and its seconds.

    Rows that the attempts before have left come first. What `report` raises ends the command, with all its processes.
    Raises BalltrainError where it fails, or has no figures.
    """
    _begin(trial)
    state = _State.of(trial)
    _take_reports(trial, state)
    for number, row in enumerate(state.rows, 1):
        report(number, *row)
    sources = _sources(trial, state.numbering)
    with contextlib.closing(sources), _started(trial) as running:
        heard = _Heard(trial, state, sources, write_output)
        listener = _Listener(running, heard)
        listener.start()
        try:
            for number, row in listener.rows():
                if number >= trial.epochs:
                    listener.join(OWN_END_S)  # it has its time to save what it wants to
                    if running.exit_code:
                        break
                report(number, *row)
                if number >= trial.epochs:
                    return
        finally:
            listener.stop()
    if running.exit_code:
        raise _failure(running.exit_code, list(heard.last_lines))
    if not state.rows:
        last = heard.last_lines
        said = f"; its last lines: {_joined(last)}" if last else "; it printed nothing"
        raise BalltrainError(f"the command ended with exit code 0, but {sources.missing()}{said}")


def _begin(trial: CommandTrial) -> None:
    try:
        trial.trial_dir.mkdir(parents=True, exist_ok=True)
        kill_marked(str(trial.trial_dir))  # what is left of an attempt whose processes were killed one by one
        trial.config_file.write_text(json.dumps(dict(trial.config), indent=1) + "\n")
        if not trial.resumed:
            trial.state_file.unlink(missing_ok=True)
            trial.report_file.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {trial.trial_dir}: {error.strerror or error}") from error


def _take_reports(trial: CommandTrial, state: _State) -> None:
    """Rows that the attempt before has reported by balltrain.report, and a kill came before they were read."""
    if state.numbering.source == "report":
        rows = Rows(trial.objective, state.numbering)
        for figures in FigureFile(lambda: trial.report_file).read(ended=True):
            rows.add(figures, 0.0)
        state.rows += [(row, 0.0) for number, row in rows.due(QUIET_S) if number > len(state.rows)]
        state.keep(trial)
    trial.report_file.write_bytes(b"")


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
    absent = dict.fromkeys(placeholders(trial.command))  # of an option of a choice that was not chosen
    return filled_in(trial.command, {**absent, **trial.config, **own})


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


class _Heard:
    """What a command prints and writes, as rows."""

    def __init__(self, trial: CommandTrial, state: _State, sources: Sources, write_output: Callable[[bytes], None]):
        self.trial, self.state, self.sources, self.write_output = trial, state, sources, write_output
        self.last_lines: deque[str] = deque(maxlen=NUM_LAST_LINES)
        self._rest = b""  # of a line whose end has not come
        self._began = time.monotonic()  # the epoch

    def new(self, output: bytes, *, ended: bool = False, quiet: bool = False) -> list[tuple[int, Row]]:
        """Rows that are complete by now, kept before they are returned.

        `ended` says that nothing more comes, `quiet` that nothing more comes of an epoch that has its objective.
        """
        if output:
            self.write_output(output)
        # a progress bar has no end of a line
        *whole, self._rest = (self._rest[-MAX_LINE_BYTES:] + output).split(b"\n")
        if ended and self._rest:
            whole.append(self._rest)
        now = time.monotonic()
        for line in (last_written(raw.decode(errors="replace")) for raw in whole):
            if line.strip():
                self.last_lines.append(line.strip())
                self.sources.hear(line, now)
        rows = self.sources.due(now + QUIET_S if quiet else now, ended=ended)
        seconds = (now - self._began) / max(1, len(rows))  # several came at once
        if rows:
            self._began = now
        num_before = len(self.state.rows)
        for number, figures in rows:
            if number > len(self.state.rows):  # those of a command that starts anew are known
                unknown = number - 1 - len(self.state.rows)  # epochs that a kill came upon before they were reported
                self.state.rows += [*[({}, 0.0)] * unknown, (figures, seconds)]
        if len(self.state.rows) > num_before:
            self.state.numbering = self.sources.numbering
            self.state.keep(self.trial)
        return list(enumerate(self.state.rows[num_before:], num_before + 1))


class _Listener(threading.Thread):
    """Hears a command in a thread of its own: what it says is kept at once, however long a report takes.

    Epochs that it still ends when it is stopped are known to the attempt after this one, which need not train them.
    """

    def __init__(self, running: Running, heard: _Heard):
        super().__init__(name="command", daemon=True)
        self.running, self.heard = running, heard
        self._found: SimpleQueue[tuple[int, Row] | BaseException | None] = SimpleQueue()
        self._stopping = False

    def run(self) -> None:
        running, heard = self.running, self.heard
        try:
            while running.exit_code is None:
                output = running.read(POLL_S)
                ended = running.exit_code is not None
                for row in heard.new(output, ended=ended and not self._stopping, quiet=ended):
                    self._found.put(row)
        except Killed:
            self._found.put(UserCodeError("the command and its supervisor were killed"))
        except BaseException as error:
            self._found.put(error)
        finally:
            self._found.put(None)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """As they come, until the command has ended. Raises BalltrainError where it cannot be heard."""
        while (found := self._found.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found

    def stop(self) -> None:
        """End the command, and hear its last words."""
        self._stopping = True
        self.running.ask_to_end()
        self.join(self.heard.trial.kill_after_s + 5.0)


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


def _sources(trial: CommandTrial, before: Numbering) -> Sources:
    told = trial.figures
    if told is not None and not is_pattern(told):
        told = filled_in(told, {"trial_dir": str(trial.trial_dir), "trial": trial.trial_id})
    return Sources(
        trial.objective,
        before,
        told=told,
        report_file=trial.report_file,
        trial_dir=trial.trial_dir,
        folder=trial.folder,
    )

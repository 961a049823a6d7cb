"""What the live page takes: from a row to its pixel, the first view, memory and cores of browser and server.

    python benchmarks/serving.py [--trials 1000] [--epochs 90] [--seconds 120]

A sweep of so many trials lies in a storage. Four trials then report ten rows a second each, through the controller
and the fsynced journal of a real sweep, while Chromium, headless and without a GPU, shows it. A row's time is that in
its line of the journal; its pixel's is the frame after the drawing that has it. The baseline of the browser's memory
is an empty page in the same browser.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from chromium import chromium

from balltrain.durable import AppendedFile
from balltrain.records.journal import VERSION, encoded
from balltrain.records.state import SweepState
from balltrain.records.tables import write_tables
from balltrain.search.controller import Controller
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest

RUNNING, ROWS_A_SECOND = 4, 10
TABLES_EVERY_S = 20.0
# marks when each row of a trial that runs is first part of a frame
WATCH = """
window.seen = {}; window.draws = 0;
const box = document.querySelector('[data-section=learning_curves] .figure'), plot = box.querySelector('.plot');
const see = (trial, epoch, now) => { window.seen[`${trial}:${epoch}`] ??= now; };
new MutationObserver(() => requestAnimationFrame(() => {
  const now = Date.now();
  window.draws += 1;
  for (const trace of plot.data) trace.x.forEach((x, i) => {
    const trial = trace.text?.[i] ?? trace.meta?.trial;
    if (x !== null && trial) see(trial, x, now);
  });
  for (const line of box.querySelectorAll('.over polyline')) {
    const { trial, last } = line.dataset;
    for (let epoch = Number(last); epoch && !(`${trial}:${epoch}` in window.seen); epoch--) see(trial, epoch, now);
  }
})).observe(box, { subtree: true, childList: true, attributes: true });
"""
CURVES = "document.querySelector('[data-section=learning_curves] .main-svg')"
FIRST_VIEW = f"document.querySelector('#trials tr[data-id]') && {CURVES}"


class Sweep:
    """Simulated trials whose rows go through the controller, as fast as they are asked for."""

    def __init__(self, storage: Path, trials: int, epochs: int):
        sweep, ref = find_sweep("detect")
        options = {"trials": 10 * trials, "epochs": epochs, "searcher": "random", "scheduler": "none"}
        self.plan = make_plan(override(sweep, **options), ref, name="bench", request=DataRequest())
        self.folder = storage / "bench"
        self.folder.mkdir(parents=True)
        self.file, self.synced, self.now = open(self.folder / "journal.jsonl", "ab"), False, time.time()  # noqa: SIM115
        placement = {"concurrency": RUNNING, "workers": 1, "cpus_per_worker": 1.0, "gpus_per_worker": 0.0}
        facts = {**self.plan.to_json(), "data_fingerprint": "f", "placement": placement}
        self.now -= trials * epochs / 100  # when it began
        header = {"type": "sweep", "version": VERSION, "sweep": facts, "time": self.now, "began": self.now}
        self.state = SweepState()
        self.append(header)
        self.state.apply(header)
        (self.folder / "sweep.json").write_text(json.dumps(facts, default=str))
        self.controller = Controller(self.plan, self.state, self, RUNNING, clock=lambda: self.now)
        self.running: list[tuple[int, int]] = []
        while len(self.state.trials) < trials or len(self.running) < RUNNING:
            self.report()
            self.now += 0.01

    def append(self, line: dict) -> None:
        if self.synced:
            self.journal.append(encoded(line))
        else:
            self.file.write(encoded(line))

    def go_live(self) -> None:
        """From here on the times are those of the clock, and each line is fsynced."""
        self.file.close()
        path = self.folder / "journal.jsonl"
        self.journal, self.synced = AppendedFile(path, path.stat().st_size, b""), True
        self.tables()

    def tables(self) -> None:
        write_tables(self.state, self.plan.task, self.folder)

    def report(self) -> None:
        """A row of each of the trials that run."""
        while len(self.running) < RUNNING and (attempt := self.controller.next_attempt()):
            self.running.append((attempt.number, 1))
        going_on = []
        for number, epoch in self.running:
            value = 0.05 + number % 97 / 500 + 0.5 / epoch
            row = {"epoch": epoch, "seconds": 0.1, "lr": 1e-3, "train_loss": value * 0.8, "val_loss": value}
            row |= {"metrics": dict.fromkeys(self.plan.task.metric_names, value), "objective": value}
            row |= {"num_params": 10_000, "node": f"node-{number % 2}"}
            if self.synced:
                self.now = time.time()
            if self.controller.report(number, row) == "continue":
                going_on.append((number, epoch + 1))
        self.running = going_on


def run_for(sweep: Sweep, seconds: float, rows: dict[str, float]) -> None:
    """Ten times a second a row of each; `rows` gets the time of each line."""
    began = written = time.time()
    step = 0
    while time.time() - began < seconds:
        known = [f"{number:05d}:{epoch}" for number, epoch in sweep.running]
        sweep.report()
        rows.update(dict.fromkeys(known, sweep.now))
        if time.time() - written > TABLES_EVERY_S:
            sweep.tables()
            written = time.time()
        step += 1
        time.sleep(max(0.0, began + step / ROWS_A_SECOND - time.time()))


def pss_mb(pid: int) -> float:
    """Of a process and those that it started, shared pages in parts."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


def tab_process(pid: int) -> psutil.Process:
    """That of the browser's which has the page: the largest of its kind."""
    found = [p for p in psutil.Process(pid).children(recursive=True) if "--type=renderer" in p.cmdline()]
    return max(found, key=lambda process: process.memory_info().rss)


def tab_mb(pid: int) -> float:
    return tab_process(pid).memory_full_info().uss / 2**20


def core_seconds(process: psutil.Process) -> tuple[float, float]:
    """Of the server itself, and of what it started and has ended, or still runs."""
    times = process.cpu_times()
    running = 0.0
    for child in process.children(recursive=True):
        try:
            running += sum(child.cpu_times()[:2])
        except psutil.Error:
            continue
    return times.user + times.system, times.children_user + times.children_system + running


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=120)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sweep = Sweep(Path(folder), arguments.trials, arguments.epochs)
        sweep.go_live()
        command = [sys.executable, "-m", "balltrain.cli", "serve", "--storage", folder, "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            measure(sweep, server, arguments.seconds)
        finally:
            server.terminate()
            server.wait()


def measure(sweep: Sweep, server: subprocess.Popen, seconds: float) -> None:
    url, process = server.stdout.readline().strip(), psutil.Process(server.pid)
    with chromium(1400) as (tab, pid):
        empty_mb = tab_mb(pid)
        time.sleep(4)  # a journal that is there when the server starts is read then
        tab.open(url)
        tab.wait("document.querySelector('.virtual tr[data-id]')", 60)
        for name in ("first view", "again"):
            tab.open("about:blank")
            began = time.monotonic()
            tab.open(f"{url}#/sweep/bench")
            tab.wait(FIRST_VIEW, 60)
            print(f"{name}: table and curves after {time.monotonic() - began:.2f} s")
        rows: dict[str, float] = {}
        tab.ask(WATCH + "0")
        tab.ask("document.querySelector('[data-section=learning_curves]').scrollIntoView()")
        renderer = tab_process(pid)
        drawn_s = sum(renderer.cpu_times()[:2])
        before, started = core_seconds(process), time.monotonic()
        writer = threading.Thread(target=run_for, args=(sweep, seconds, rows))
        writer.start()
        memory, server_mb = [], []
        while writer.is_alive():
            time.sleep(min(10.0, seconds / 6))
            memory.append(tab_mb(pid))
            server_mb.append(process.memory_info().rss / 2**20)
        time.sleep(2)
        wall, after = time.monotonic() - started, core_seconds(process)
        drawn_s = sum(renderer.cpu_times()[:2]) - drawn_s
        seen, draws = tab.ask("window.seen"), tab.ask("window.draws")
        whole_mb = pss_mb(pid)
        heap = tab.call("Runtime.getHeapUsage")["usedSize"] / 2**20
        assert tab.console == [], tab.console
    delays = sorted(seen[key] / 1000 - at for key, at in rows.items() if key in seen)
    print(f"rows: {len(rows)} written, {len(delays)} drawn")
    print(
        f"row to pixel: median {statistics.median(delays):.2f} s, 95 % {delays[int(0.95 * len(delays))]:.2f} s, "
        f"longest {delays[-1]:.2f} s"
    )
    print(f"browser: the page's process {memory[0]:.0f} MB at first, at most {max(memory):.0f} MB in {seconds:.0f} s")
    print(f"    an empty page's {empty_mb:.0f} MB, its heap {heap:.0f} MB, all processes {whole_mb:.0f} MB")
    each_s = drawn_s / max(1, draws)
    print(f"    {draws} frames with new rows, {each_s:.3f} s of a core each, {drawn_s / wall:.0%} in all")
    own, drawing = ((b - a) / wall for a, b in zip(before, after, strict=True))
    print(f"server: at most {max(server_mb):.0f} MB, {own:.1%} of a core; what draws for it {drawing:.1%}")


if __name__ == "__main__":
    main()

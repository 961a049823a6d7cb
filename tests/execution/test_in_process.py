"""A sweep inside somebody's process: its Ray, its threads, its event loop, its handlers of signals are left alone."""

import asyncio
import contextlib
import ctypes
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray
from toy import TOY_FILE

from balltrain.errors import BalltrainError
from balltrain.execution.preflight import forecast_sweep
from balltrain.execution.ray_session import RAY_ENVIRONMENT
from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.records.columns import Status
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest


@pytest.fixture
def napping(tmp_path):
    """Run a sweep of two trials whose epochs take `nap` seconds; returns its result."""
    nap = f'import time; time.sleep(float(open({str(tmp_path / "nap")!r}).read()))\n        return {{"y"'
    (tmp_path / "toy.py").write_text(Path(TOY_FILE).read_text().replace('return {"y"', nap))

    def run(nap=0.0, resume=False, resources=None, **options):
        (tmp_path / "nap").write_text(str(nap))
        found, ref = find_sweep(str(tmp_path / "toy.py"))
        options = {"trials": 2, "epochs": 3, "scheduler": "none", **options}
        plan = make_plan(override(found, **options), ref, name="s", request=DataRequest())
        resources = resources or Resources(num_gpus=0)
        return run_sweep(plan, tmp_path / "s", resources, data_dir=tmp_path / "data", resume=resume)

    return run


@contextlib.contextmanager
def once_reported(journal, count, action):
    """Calls `action` in a thread once the journal has so many reports."""

    def work():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if journal.exists() and journal.read_text().count('"report"') >= count:
                return action()
            time.sleep(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()


def statuses(result):
    return [trial.status for trial in result.state.trials.values()]


def wait_until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def all_free():
    return ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]


def test_a_sweep_runs_on_the_ray_of_its_process_and_leaves_it_as_it_was(local_ray, napping, tmp_path):
    @ray.remote(num_cpus=0)
    class Users:
        def value(self):
            return 7

    users, address = Users.remote(), ray.get_runtime_context().gcs_address
    environment, handlers = dict(os.environ), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    result = napping()
    assert statuses(result) == [Status.COMPLETED] * 2
    assert result.state.sweep["placement"]["concurrency"] == 3  # its CPUs, not the machine's
    assert ray.get_runtime_context().gcs_address == address
    assert ray.get(users.value.remote()) == 7
    wait_until(all_free, "trials hold resources after their sweep")
    assert dict(os.environ) == environment
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers

    # what is asked before a sweep, and one that fails
    found, ref = find_sweep(str(tmp_path / "toy.py"))
    plan = make_plan(override(found, trials=9), ref, name="t", request=DataRequest())
    where = {"data_dir": tmp_path / "data"}
    forecast = forecast_sweep(plan, tmp_path / "t", Resources(num_gpus=0), **where, wandb_mode="off")
    assert forecast["at_a_time"] == 3
    (tmp_path / "toy.py").write_text((tmp_path / "toy.py").read_text().replace("return (model", "1 / 0, (model"))
    found, ref = find_sweep(str(tmp_path / "toy.py"))
    plan = make_plan(override(found, trials=9), ref, name="t", request=DataRequest())
    with pytest.raises(BalltrainError, match="trials in a row failed"):
        run_sweep(plan, tmp_path / "t", Resources(num_gpus=0), **where, resume=False)
    with pytest.raises(BalltrainError, match=r"this process is on the Ray at .* already: leave out --address"):
        napping(resume=True, resources=Resources(num_gpus=0, address="127.0.0.1:1"))
    assert ray.get(users.value.remote()) == 7


@pytest.mark.slow  # tests/api/test_notebook.py interrupts one in a notebook
def test_ctrl_c_returns_what_there_is_and_the_ray_goes_on(local_ray, napping, tmp_path):
    def ctrl_c():
        os.kill(os.getpid(), signal.SIGINT)

    with once_reported(tmp_path / "s" / "journal.jsonl", 1, ctrl_c):
        result = napping(nap=1.0, epochs=20)
    assert result.interrupted
    assert statuses(result) == [Status.INTERRUPTED] * 2
    assert (result.folder / "best").is_dir()
    reports = (result.folder / "journal.jsonl").read_text().count('"report"')

    # the second: a KeyboardInterrupt, not the end of the process, nor of its Ray
    def twice():
        ctrl_c()
        time.sleep(0.5)
        ctrl_c()

    start = time.monotonic()
    with once_reported(tmp_path / "s" / "journal.jsonl", reports + 1, twice), pytest.raises(KeyboardInterrupt):
        napping(nap=1.0, epochs=20, resume=True)
    assert time.monotonic() - start < 60
    assert ray.is_initialized()
    wait_until(all_free, "trials of a sweep that was ended hold resources")
    assert (result.folder / "trials.parquet").exists()

    result = napping(epochs=20, resume=True)
    assert not result.interrupted
    assert statuses(result) == [Status.COMPLETED] * 2
    assert all([row["epoch"] for row in trial.rows] == list(range(1, 21)) for trial in result.state.trials.values())


@pytest.mark.chaos
def test_two_sweeps_in_one_process_each_with_a_ray_of_its_own(napping, tmp_path):
    """In a thread that is not the main one, then in an event loop that runs, as in a notebook."""
    environment, handlers = dict(os.environ), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with ThreadPoolExecutor() as executor:
        first = executor.submit(napping, trials=1).result()
    assert statuses(first) == [Status.COMPLETED]
    assert not ray.is_initialized()
    assert not set(RAY_ENVIRONMENT) & set(os.environ)

    async def cell():
        return napping(resume=True)

    assert statuses(asyncio.run(cell())) == [Status.COMPLETED] * 2
    assert not ray.is_initialized()
    assert dict(os.environ) == environment
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.chaos
def test_a_keyboard_interrupt_of_somebody_elses_handler_is_the_first_ctrl_c(local_ray, napping, tmp_path):
    main = threading.get_ident()

    def interrupt():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(main), ctypes.py_object(KeyboardInterrupt))

    with once_reported(tmp_path / "s" / "journal.jsonl", 1, interrupt):
        result = napping(nap=0.5, epochs=20)
    assert result.interrupted
    assert set(statuses(result)) <= {Status.INTERRUPTED}


def test_several_workers_need_the_state_api(local_ray, napping):
    """This Ray has no dashboard: a trial that is stopped would keep the next one waiting for ever."""
    with pytest.raises(BalltrainError, match=r"State API.*ray\.init\(include_dashboard=True\)"):
        napping(resources=Resources(num_gpus=0, workers_per_trial=2))
    assert ray.is_initialized()


KERNEL_CELL = """
import ray, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from toy import TOY_FILE
from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.search.plan import make_plan
from balltrain.search.sweep import override
from balltrain.search.sweep_files import find_sweep
from balltrain.tasks.base import DataRequest

def run(trials, epochs, resume=False):
    found, ref = find_sweep({file!r})
    plan = make_plan(override(found, trials=trials, epochs=epochs, scheduler="none"), ref, name="s",
                     request=DataRequest())
    return run_sweep(plan, Path({folder!r}) / "s", Resources(num_gpus=0), data_dir=Path({folder!r}) / "data",
                     resume=resume)
"""


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_interrupting_a_notebook_twice_leaves_its_kernel(napping, tmp_path):
    """A real kernel, interrupted as Jupyter does it: by SIGINT to its process group."""
    jupyter_client = pytest.importorskip("jupyter_client.manager")
    napping(trials=1, epochs=1)  # makes the file
    import shutil

    shutil.rmtree(tmp_path / "s")
    manager, client = jupyter_client.start_new_kernel(kernel_name="python3")
    try:

        def cell(code, then=lambda: None):
            """What a cell prints and returns, and the name of its error."""
            client.execute(code)
            then()
            found = {"text": "", "error": None}
            while True:
                message = client.get_iopub_msg(timeout=200)
                kind, content = message["msg_type"], message["content"]
                if kind == "stream" or kind == "execute_result":
                    found["text"] += content.get("text") or content["data"]["text/plain"]
                if kind == "error":
                    found["error"] = content["ename"]
                if kind == "status" and content["execution_state"] == "idle" and "reply" in found:
                    return found
                if kind == "execute_input":
                    found["reply"] = True

        def interrupt_after(reports):
            journal = tmp_path / "s" / "journal.jsonl"
            wait_until(
                lambda: journal.exists() and journal.read_text().count('"report"') >= reports, "no reports", 120
            )
            manager.interrupt_kernel()

        def interrupt_twice_after(reports):
            interrupt_after(reports)
            time.sleep(0.5)
            manager.interrupt_kernel()

        where = {"tests": str(Path(TOY_FILE).parent), "file": str(tmp_path / "toy.py"), "folder": str(tmp_path)}
        assert cell(KERNEL_CELL.format(**where))["error"] is None
        (tmp_path / "nap").write_text("1")
        found = cell(
            "result = run(2, 20); print(result.interrupted, ray.is_initialized())", lambda: interrupt_after(1)
        )
        assert (found["text"].split(), found["error"]) == (["True", "False"], None)
        reports = (tmp_path / "s" / "journal.jsonl").read_text().count('"report"')
        found = cell("run(2, 20, resume=True)", lambda: interrupt_twice_after(reports + 1))
        assert found["error"] == "KeyboardInterrupt"
        assert cell("print(ray.is_initialized())")["text"].split() == ["False"]
        (tmp_path / "nap").write_text("0")
        found = cell(
            "result = run(2, 20, resume=True); print([t.status.value for t in result.state.trials.values()])"
        )
        assert (found["text"].strip(), found["error"]) == ("['completed', 'completed']", None)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)

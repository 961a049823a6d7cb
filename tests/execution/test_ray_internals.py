"""What is used of Ray that is not public is in one module, and is there in the Ray that is installed."""

import ast
import importlib
import signal
import socket
from pathlib import Path

import pytest
import ray

from balltrain.execution import ray_internals
from balltrain.execution.ray_session import RAY_ENVIRONMENT
from balltrain.execution.trial import WORKERS_ENVIRONMENT

PACKAGE = Path(ray_internals.__file__).parents[1]
SEAM = Path(ray_internals.__file__)


def is_private(module: str) -> bool:
    """Whether a dotted name is of a part of Ray that is not public."""
    parts = module.split(".")
    return parts[0] == "ray" and (any(part.startswith("_") for part in parts) or parts[1:3] == ["core", "generated"])


def private_names(path: Path) -> set[str]:
    """Of Ray, in a module: imported, in texts such as those of `sys.modules`, or attributes of something imported."""
    tree = ast.parse(path.read_text())
    found, imported = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray":
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if is_private(name)}
            imported |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = {alias.name for alias in node.names if alias.name.split(".")[0] == "ray"}
            found |= {name for name in names if is_private(name)}
            imported |= {"ray"} if names else set()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {word for word in node.value.replace(":", " ").split() if is_private(word.strip("`'\",;()"))}
    if imported:
        own = {"self", "cls"}
        found |= {
            ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and not (isinstance(node.value, ast.Name) and node.value.id in own)
        }
    return found


def test_no_other_module_uses_private_names_of_ray():
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in PACKAGE.rglob("*.py")
        if path != SEAM and (names := private_names(path))
    }
    assert not found, f"{found}: put them into balltrain/execution/ray_internals.py, with the reason"


def test_the_search_for_private_names_finds_them(tmp_path):
    module = tmp_path / "module.py"
    module.write_text(
        "import ray\n"
        "def f():\n"
        "    from ray._private import worker\n"
        "    from ray.core.generated.common_pb2 import Address\n"
        "    import sys; sys.modules['ray._raylet']\n"
        "    return ray.tune.Tuner._local\n"
    )
    assert private_names(module) == {
        "ray._private.worker",
        "ray.core.generated.common_pb2.Address",
        "ray._raylet",
        "ray.tune.Tuner._local",
    }


def test_each_private_name_is_listed_with_its_reason():
    used = {name for name in private_names(SEAM) if name.startswith("ray.")}
    listed = {name.replace(":", ".") for name in ray_internals.PRIVATE}
    modules = {name.partition(":")[0] for name in ray_internals.PRIVATE}
    assert {name for name in used if name not in modules} <= listed
    assert all(len(reason) > 15 for reason in ray_internals.PRIVATE.values())


@pytest.mark.parametrize("name", ray_internals.PRIVATE)
def test_this_ray_has_it(name):
    module, _, attribute = name.partition(":")
    try:
        getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        pytest.fail(
            f"Ray {ray.__version__} has no {attribute} in {module}, which balltrain/execution/ray_internals.py needs "
            f"({ray_internals.PRIVATE[name]}): {error}"
        )


@pytest.mark.parametrize("name", [*RAY_ENVIRONMENT, *WORKERS_ENVIRONMENT])
def test_this_ray_reads_the_variable(name):
    """One that was renamed would be without effect, and without a word."""
    folder = Path(ray.__file__).parent
    for file in (*folder.rglob("*.py"), folder / "_raylet.so"):
        text = name.removeprefix("RAY_") if file.suffix == ".so" else name
        if text.encode() in file.read_bytes():
            return
    pytest.fail(f"Ray {ray.__version__} does not know the environment variable {name}, which balltrain sets")


def test_the_environment_is_read_again(monkeypatch, request):
    from ray._raylet import Config

    request.addfinalizer(ray_internals.read_environment_again)
    with monkeypatch.context() as environment:
        environment.setenv("RAY_health_check_period_ms", "4321")
        ray_internals.read_environment_again()
        assert Config.health_check_period_ms() == 4321


def test_the_token_of_an_earlier_ray_is_forgotten(monkeypatch, request):
    """A process that keeps it has the actors ended that it starts on a Ray without one."""
    from ray._raylet import AuthenticationTokenLoader

    request.addfinalizer(ray_internals.read_environment_again)
    with monkeypatch.context() as environment:
        environment.setenv("RAY_AUTH_MODE", "token")
        environment.setenv("RAY_AUTH_TOKEN", "a" * 40)
        ray_internals.read_environment_again()
        assert AuthenticationTokenLoader.instance().get_token_for_http_header()
        environment.setenv("RAY_AUTH_MODE", "disabled")
        ray_internals.read_environment_again()
        assert not AuthenticationTokenLoader.instance().get_token_for_http_header()


def test_sigterm_stays_with_who_has_it(request):
    before = signal.getsignal(signal.SIGTERM)
    with ray_internals.sigterm_left_alone():
        request.getfixturevalue("local_ray")
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_no_ray_does_not_answer_as_one():
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        answer = ray_internals.ask(f"{host}:{port}", None, timeout_s=0.5)
    assert answer not in (ray_internals.ANSWERS, ray_internals.REFUSES)


def test_a_ray_of_ones_own_that_dies_is_noticed(local_ray):
    from ray._private import worker

    assert ray_internals.dead_process() is None
    assert ray_internals.ask(ray.get_runtime_context().gcs_address, own_token()) == ray_internals.ANSWERS
    assert ray_internals.find_local_ray() is None or ":" in ray_internals.find_local_ray()
    process = worker._global_node.all_processes["raylet"][0].process
    process.kill()
    process.wait()
    assert ray_internals.dead_process() == "raylet"


def own_token():
    from balltrain.execution.joining import _token

    return _token()


def test_errors_that_ray_sends_are_not_printed(capfd):
    from ray._private import worker

    data = {"is_err": True, "lines": ["Raylet is terminated"], "pid": "raylet", "ip": None, "job": None}
    with ray_internals.errors_not_printed():
        worker.print_to_stdstream(data, ignore_prefix=False)
    assert capfd.readouterr().err == ""
    worker.print_to_stdstream(data, ignore_prefix=False)
    assert "Raylet is terminated" in capfd.readouterr().err


def test_nothing_starts_a_ray_by_itself():
    before = ray_internals.start_automatically(False)
    try:
        with pytest.raises(Exception, match=r"ray\.init"):
            ray.put(1)
        assert not ray.is_initialized()
    finally:
        assert ray_internals.start_automatically(before) is False


def test_what_train_wraps_is_unwrapped():
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError

    error = ValueError("eight is too few")
    assert ray_internals.unwrapped(error) is error
    assert ray_internals.unwrapped(UserExceptionWithTraceback(error, "trace")) is error
    died = ray.exceptions.RayActorError()
    assert ray_internals.unwrapped(WorkerHealthCheckFailedError("died", died)) is died


def test_variables_are_passed_on_to_workers(monkeypatch):
    from ray.train.v2._internal.constants import get_env_vars_to_propagate

    monkeypatch.setenv("BALLTRAIN_TEST", "1")
    ray_internals.pass_on_to_workers("BALLTRAIN_TEST")
    assert get_env_vars_to_propagate()["BALLTRAIN_TEST"] == "1"

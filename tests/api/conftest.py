import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Ran:
    """What a cell has left: its streams, its displays by their kind, its value's text, its error."""

    streams: dict[str, str] = field(default_factory=lambda: {"stdout": "", "stderr": ""})
    displays: list[dict] = field(default_factory=list)
    updates: list[dict] = field(default_factory=list)
    value: dict | None = None
    error: str | None = None

    @property
    def out(self) -> str:
        return self.streams["stdout"]


class Kernel:
    """A real Jupyter kernel."""

    def __init__(self, folder: Path):
        from jupyter_client import KernelManager
        from jupyter_client.kernelspec import KernelSpec

        self.manager = KernelManager(kernel_name="balltrain-test")
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self.manager._kernel_spec = KernelSpec(argv=command, display_name="balltrain", language="python")
        self.manager.start_kernel(cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def run(self, code: str, timeout: float = 240, interrupt_when=None) -> Ran:
        """Run a cell; interrupted once `interrupt_when` is true of what it has shown so far."""
        request, ran = self.client.execute(code), Ran()
        until = time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=until - time.monotonic())
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != request:
                continue
            if kind == "stream":
                ran.streams[content["name"]] += content["text"]
            elif kind == "display_data":
                ran.displays.append(content)
            elif kind == "update_display_data":
                ran.updates.append(content)
            elif kind == "execute_result":
                ran.value = content["data"]
            elif kind == "error":
                ran.error = f"{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                return ran
            if interrupt_when is not None and interrupt_when(ran):
                self.manager.interrupt_kernel()
                interrupt_when = None

    def json(self, code: str):
        """What a cell prints, as JSON."""
        ran = self.run(code)
        assert ran.error is None, ran.error
        return json.loads(ran.out)

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    """A kernel in an empty folder, which keeps its data and runs there; for all tests."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        started = Kernel(folder)
        started.folder = folder
        try:
            yield started
        finally:
            started.stop()

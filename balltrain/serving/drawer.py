"""The server's side of the processes that draw (`drawing.py`): started when asked, ended when nothing is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import Any

from balltrain.errors import BalltrainError

IDLE_S = 30.0
MAX_ANSWER_BYTES = 64 << 20


class Drawer:
    """One such process: it answers one request after the other."""

    def __init__(self, idle_s: float = IDLE_S):
        self._idle_s = idle_s
        self._process: asyncio.subprocess.Process | None = None
        self._started: list[asyncio.subprocess.Process] = []  # and not known to have ended
        self._turn = asyncio.Lock()
        self._ending: asyncio.TimerHandle | None = None

    async def ask(self, what: str, **request: Any) -> Any:
        """What was found. Raises BalltrainError where it cannot be."""
        async with self._turn:
            if self._ending is not None:
                self._ending.cancel()
            try:
                answer = await self._answer({"what": what, **request})
            except (OSError, ValueError, asyncio.CancelledError):
                self.close()  # what it would still answer is not to be taken for the next one's
                raise
            self._ending = asyncio.get_running_loop().call_later(self._idle_s, self.close)
        if "error" in answer:
            raise BalltrainError(answer["error"])
        return answer["found"]

    def close(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._process = None

    async def stop(self) -> None:
        """As `close`, and wait until all that it has started has ended."""
        self.close()
        for process in self._started:
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(OSError):
                await process.stdin.wait_closed()
            await process.wait()
        await asyncio.sleep(0)  # their pipes are closed by the loop

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "balltrain.serving.drawing"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MAX_ANSWER_BYTES,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            self._started = [process for process in self._started if process.returncode is None]
            self._started.append(self._process)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            self.close()
            raise BalltrainError("the process that draws has ended: look at what `balltrain serve` has printed")
        found: dict[str, Any] = json.loads(line)
        return found

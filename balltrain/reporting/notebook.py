"""What a Jupyter notebook shows while something runs: a place of the cell's output that is written over."""

from __future__ import annotations

import contextlib
import contextvars
import io
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from balltrain.background import every

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_S = 0.5
WIDTH, HEIGHT = 100, 40  # characters and lines of a panel
PAGE = "<pre style=\"white-space:pre;line-height:normal;font-family:Menlo,'DejaVu Sans Mono',monospace\">{code}</pre>"


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel. Imports nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Output:
    """A place in the output of the cell that runs, made when it is first shown."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown: dict[str, str] | None = None

    def show(self, renderable: RenderableType) -> None:
        """Show it in place of what was there; an empty text leaves nothing."""
        from IPython import display

        data = as_html(renderable) if renderable else {"text/html": "", "text/plain": ""}
        if data == self._shown or (self._handle is None and not renderable):
            return
        self._shown = data
        if self._handle is None:
            display_: Any = display.display  # has no types
            self._handle = display_(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


@contextlib.contextmanager
def notebook_view(render: Callable[[int, int], RenderableType]) -> Iterator[None]:
    """Shows what `render(width, height)` makes, until the block ends, and then as it was at the end."""
    output = Output()

    def draw() -> None:
        output.show(render(WIDTH, HEIGHT))

    # a thread has a context of its own, and what it shows would belong to no cell
    drawing = partial(contextvars.copy_context().run, draw)
    try:
        # "dictionary changed size during iteration": the next drawing will do
        with every(REFRESH_S, drawing, ignoring=(RuntimeError,)):
            yield
    finally:
        with contextlib.suppress(RuntimeError):
            draw()


def as_html(renderable: RenderableType) -> dict[str, str]:
    """What rich would print, as a notebook takes it: HTML, and plain text for who has none."""
    from rich.console import Console

    # rich finds the notebook by itself, and would show everything at once
    console = Console(
        file=io.StringIO(),
        record=True,
        width=WIDTH,
        force_jupyter=False,
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(renderable)
    html = console.export_html(inline_styles=True, code_format=PAGE, clear=False)
    return {"text/html": html, "text/plain": console.export_text().rstrip("\n")}

"""A section of the report as a tree that a browser builds with `createElement`: no HTML is ever handed to it.

A node is a text, or `[tag, attributes, children]`. A figure is `["plot", {}, [plotly's JSON]]`. What is not on the
list of tags is left out, its text is kept.
"""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

Node = Any  # str | list[Any]

TAGS = frozenset(
    (
        *("section", "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "pre", "code", "table", "tr", "th", "td", "div"),
        *("strong", "em", "b", "span", "img", "figure", "figcaption", "details", "summary", "header", "nav"),
        *("thead", "tbody"),
    )
)
VOID = frozenset(("img", "br", "hr", "meta", "link", "input", "wbr"))
DROPPED = frozenset(("script", "style", "svg", "template", "button"))  # with what is in them


def tree_of(html: str) -> list[Node]:
    """The nodes of a report's section, without ids, styles and whatever runs."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.nodes


def title_of(nodes: list[Node]) -> str:
    """The text of the first heading."""
    for node in nodes:
        if isinstance(node, list):
            if node[0] in ("h1", "h2"):
                return "".join(child for child in node[2] if isinstance(child, str))
            if node[0] != "plot" and (found := title_of(node[2])):
                return found
    return ""


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.nodes: list[Node] = []
        self._open: list[tuple[str, list[Any]]] = []  # tags, each with its node, or that of its nearest known parent
        self._dropping: list[str] = []
        self._figure: list[str] | None = None  # the JSON of one, as it comes

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._dropping:
            self._dropping += [tag] if tag not in VOID else []
        elif tag == "script" and given.get("type") == "application/json":
            self._figure = []
        elif tag in DROPPED:
            self._dropping.append(tag)
        elif tag in TAGS:
            node: list[Any] = [tag, _kept(tag, given), []]
            self._children.append(node)
            if tag not in VOID:
                self._open.append((tag, node))
        elif tag not in VOID:
            self._open.append((tag, self._open[-1][1] if self._open else ["", {}, self.nodes]))

    def handle_endtag(self, tag: str) -> None:
        if self._figure is not None:
            box = self._open[-1][1]
            box[:] = ["plot", {}, [json.loads("".join(self._figure))]]
            self._figure = None
        elif self._dropping:
            if tag in self._dropping:
                while self._dropping.pop() != tag:
                    pass
        elif any(opened == tag for opened, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._figure is not None:
            self._figure.append(data)
        elif not self._dropping:
            self._children.append(data)

    @property
    def _children(self) -> list[Node]:
        found: list[Node] = self._open[-1][1][2] if self._open else self.nodes
        return found


def _kept(tag: str, given: dict[str, str | None]) -> dict[str, str]:
    kept = {name: value for name, value in given.items() if name in ("class", "alt", "open") and value is not None}
    source = given.get("src") or ""
    if tag == "img" and source.startswith("data:image/") and not source.startswith("data:image/svg"):
        kept["src"] = source
    return kept

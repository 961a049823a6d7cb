"""Options of the command line: knobs, which are arguments of the Python API too, and what several commands share."""

from __future__ import annotations

import copy
import functools
import inspect
import json
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from rich.markup import escape
from typer.models import OptionInfo

from balltrain.errors import UsageError
from balltrain.knobs import KnobField, Panel, knobs_of

BETWEEN_PAIRS = re.compile(r",\s*(?=[A-Za-z_]\w*=)")  # a value may hold commas: widths=[32,64]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Seed = Annotated[int, typer.Option(help="Seed of the data and its splits.", min=0)]
Restarts = Annotated[
    int | None,
    typer.Option(
        help="Number of initialisations to try for a few batches. The best one is trained.",
        show_default="that of --set, else 1",
        metavar="R",
        rich_help_panel=Panel.MODEL,
    ),
]


@dataclass(frozen=True)
class Alias:
    """An option of its own for a key of `--data`."""

    key: str
    type: type
    help: str
    default: str  # in words
    metavar: str | None = None

    @property
    def flag(self) -> str:
        return f"--{self.key.replace('_', '-')}"


ALIASES = (
    Alias(
        "categories",
        str,
        "Categories that coco learns; short for --data categories=person,car.",
        "all of the source",
        "NAME,…",
    ),
    Alias("image_size", int, "Pixels of the longer side of coco's images; short for --data image_size=N.", "320"),
    Alias("skip_bad", bool, "Leave out pictures that cannot be read: for catdogs and coco.", "they are an error"),
)


@dataclass(frozen=True)
class KnobOption:
    """A knob as an option. Where `unset` says whose value holds, None stands for that; else for the default."""

    owner: type
    entry: KnobField
    unset: str | None = None
    says: Mapping[str, str] = field(
        default_factory=dict
    )  # what a default of None is, where it is not the knob's words

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def flag(self) -> str:
        return f"--{self.entry.knob.flag or self.name.replace('_', '-')}"

    @property
    def default(self) -> Any:
        return None if self.unset or self.entry.knob.repeated else self.entry.field.default

    def parameter(self) -> inspect.Parameter:
        """As typer reads it off a function's signature."""
        kind = self._type() | None if self.default is None else self._type()
        annotation = _annotated(kind, self.info())
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=self.default, annotation=annotation
        )

    def info(self, completes: Callable[..., list[str]] | None = None) -> OptionInfo:
        knob, is_flag = self.entry.knob, self._type() is bool
        both = is_flag and (self.unset is not None or self.default is not False)
        found: OptionInfo = typer.Option(
            f"{self.flag}/--no-{self.flag[2:]}" if both else self.flag,
            help=escape(knob.help),
            show_default=self._default_in_words(),
            rich_help_panel=knob.panel.value,
            metavar=knob.metavar,
            min=knob.minimum,
            envvar=knob.envvar,
            autocompletion=completes,
        )
        return found

    def read(self, typed: Any) -> Any:
        """The value for the API; None where nothing was typed."""
        if not self.entry.knob.repeated:
            return typed
        if not typed:
            return None
        if "Mapping" not in str(self.entry.field.type):
            return typed
        if self.entry.field.default == ():  # each text is one mapping
            return [parse_pairs(BETWEEN_PAIRS.split(text), self.flag) for text in typed]
        return parse_pairs(typed, self.flag)

    def _type(self) -> Any:
        return list[str] if self.entry.knob.repeated else plain_type(_hint(self.owner, self.name))

    def _default_in_words(self) -> str | bool:
        value, knob = self.entry.field.default, self.entry.knob
        if knob.repeated or (value is False and not self.unset):
            return False
        if value is None:
            words = self.says.get(self.name) or knob.default
        else:
            words = ("no", "yes")[value] if isinstance(value, bool) else str(value)
        if self.unset:
            return f"{self.unset}, else {words or 'none'}"
        return words or False


def knobs(owner: type, *names: str, unset: str | None = None, **says: str) -> list[KnobOption]:
    """The knobs of a dataclass as options: those named, or all. `says` puts defaults of None into other words."""
    found = {e.name: KnobOption(owner, e, unset, says) for e in knobs_of(owner) if e.knob.is_option}
    known = [name for part in owner.__mro__ for name in vars(part).get("__annotations__", {}) if name in found]
    return [found[name] for name in names or dict.fromkeys(known)]


def knob_info(owner: type, name: str, completes: Callable[..., list[str]] | None = None) -> OptionInfo:
    """One knob in no panel, for a parameter that is written out: `Annotated[str, knob_info(Run, "storage")]`."""
    info = knobs(owner, name)[0].info(completes)
    info.rich_help_panel = None
    return info


def with_options(
    *groups: Sequence[KnobOption], panel: Panel | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command with `**options` the options of these knobs, of which it gets those that are not None.

    Options are in the order of their panels; those of the function itself that have none are in `panel`.
    """
    chosen = [option for group in groups for option in group]
    aliases = ALIASES if any(option.name == "data" for option in chosen) else ()

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        taken = [option.parameter() for option in chosen] + [_alias_parameter(alias) for alias in aliases]
        placed = [p for p in own if _panel(p) is not None]
        others = [_in_panel(p, panel) for p in own if _panel(p) is None]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*placed, *taken, *others]]
        parameters.sort(key=_place)

        @functools.wraps(function)
        def command(**typed: Any) -> None:
            given = {option.name: option.read(typed.pop(option.name)) for option in chosen}
            if aliases:
                given["data"] = _with_aliases(given["data"] or {}, {a: typed.pop(a.key) for a in aliases})
            function(**typed, **{name: value for name, value in given.items() if value is not None})

        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # as typer reads it
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def with_restarts(options: Mapping[str, Any], restarts: int | None) -> dict[str, Any]:
    """The options, with the hyperparameter that has an option of its own."""
    if restarts is None:
        return dict(options)
    return {**options, "hyperparameters": {"restarts": restarts, **options.get("hyperparameters", {})}}


def parse_pairs(texts: Sequence[str], flag: str) -> dict[str, Any]:
    """KEY=VALUE texts; a value is JSON where it can be, else text. Raises UsageError for one that is no pair."""
    found: dict[str, Any] = {}
    for pair in texts:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"{flag} {pair!r} is not KEY=VALUE")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = {"None": None, "True": True, "False": False}.get(text, text)
    return found


def plain_type(hint: Any) -> Any:
    """What typer makes of a field's type, None aside: a path is a text, which may be a URI."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    if str in kinds:
        return str
    if len(kinds) == 1:
        return kinds[0]
    raise TypeError(f"no option is made of {hint}: give the knob one type, or str")


def _hint(owner: type, name: str) -> Any:
    """The type of one field: others may name what is imported for types alone."""
    for cls in owner.__mro__:
        hint = vars(cls).get("__annotations__", {}).get(name)
        if hint is not None:
            return eval(hint, vars(sys.modules[cls.__module__])) if isinstance(hint, str) else hint
    raise TypeError(f"{owner.__name__} has no field {name}")


def _alias_parameter(alias: Alias) -> inspect.Parameter:
    info = typer.Option(
        alias.flag,
        help=alias.help,
        show_default=alias.default,
        metavar=alias.metavar,
        rich_help_panel=Panel.DATA.value,
    )
    annotation = _annotated(alias.type | None, info)
    return inspect.Parameter(alias.key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _with_aliases(data: Mapping[str, Any], typed: Mapping[Alias, Any]) -> dict[str, Any] | None:
    """The options of the data. Raises UsageError for one that is given in both ways."""
    given = {alias: value for alias, value in typed.items() if value is not None}
    for alias in given:
        if alias.key in data:
            raise UsageError(f"{alias.key} is given twice, by {alias.flag} and by --data: leave one out")
    return {**data, **{alias.key: value for alias, value in given.items()}} or None


def _annotated(kind: Any, info: OptionInfo) -> Any:
    return Annotated[kind, info]


def _info(parameter: inspect.Parameter) -> OptionInfo | None:
    infos = [each for each in getattr(parameter.annotation, "__metadata__", ()) if isinstance(each, OptionInfo)]
    return infos[0] if infos else None


def _panel(parameter: inspect.Parameter) -> str | None:
    info = _info(parameter)
    return None if info is None else info.rich_help_panel


def _in_panel(parameter: inspect.Parameter, panel: Panel | None) -> inspect.Parameter:
    info = copy.copy(_info(parameter))
    if info is None or panel is None:
        return parameter
    info.rich_help_panel = panel.value
    return parameter.replace(annotation=_annotated(get_args(parameter.annotation)[0], info))


def _place(parameter: inspect.Parameter) -> int:
    """Arguments come first, then options in no panel, then the panels in their order."""
    if _info(parameter) is None:
        return -2
    panel = _panel(parameter)
    return -1 if panel is None else list(Panel).index(Panel(panel))

"""What a user has told W&B once and for all: by the environment, and by `wandb offline`, `disabled` and `init`."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from balltrain.errors import UsageError

PROJECT = "balltrain"  # unless W&B is told another
# WANDB_MODE to ours; `shared` is several processes that send one run
MODES = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "off",
}
NOT_DISABLED = ("", "0", "false", "no", "off")


def told_mode() -> tuple[str, str] | None:
    """Online, offline or off, and in which words it was said; None where W&B was told nothing.

    Raises UsageError for a WANDB_MODE that there is not.
    """
    disabled = os.environ.get("WANDB_DISABLED", "").strip()
    if disabled.lower() not in NOT_DISABLED:
        return "off", f"WANDB_DISABLED={disabled}"
    mode = os.environ.get("WANDB_MODE", "").strip()
    if mode and mode.lower() not in MODES:
        raise UsageError(f"WANDB_MODE is {mode!r}: set it to online, offline or disabled, or unset it")
    if mode:
        return MODES[mode.lower()], f"WANDB_MODE={mode}"
    settings = _settings()
    for word in (settings.get("mode", ""), "disabled" * (settings.get("disabled", "false") == "true")):
        if word in MODES:
            return MODES[word], f"`wandb {word}`"
    return None


def project() -> str:
    """WANDB_PROJECT, that of `wandb init`, or else ours."""
    return os.environ.get("WANDB_PROJECT") or _settings().get("project") or PROJECT


def entity() -> str | None:
    """The team or user that runs belong to; None for W&B's own default."""
    return os.environ.get("WANDB_ENTITY") or _settings().get("entity")


def _settings() -> dict[str, str]:
    """Of W&B's own files, that of the folder before that of the user."""
    config = os.environ.get("WANDB_CONFIG_DIR") or os.path.expanduser("~/.config/wandb")
    parser = configparser.ConfigParser(interpolation=None)
    found: dict[str, str] = {}
    for folder in (Path(config), Path(os.environ.get("WANDB_DIR") or ".") / "wandb"):
        try:
            parser.read(folder / "settings")
            found |= dict(parser.items("default"))
        except (OSError, ValueError, configparser.Error):
            continue
    return found

"""How layers compute: the precision, and by which of cuDNN's algorithms."""

from __future__ import annotations

import contextlib

import torch


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """What the hyperparameter `precision` asks for, where the device computes in it; float32 elsewhere."""
    if device.type == "cuda" and precision != "float32" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    if device.type == "cpu" and precision == "bfloat16" and _cpu_has_bfloat16():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def choose_algorithms(benchmark: bool, device: torch.device) -> None:
    """What the hyperparameter `cudnn_benchmark` asks for, from now on, in place of the training's before."""
    torch.backends.cudnn.benchmark = benchmark and device.type == "cuda"


def _cpu_has_bfloat16() -> bool:
    """Whether in instructions: emulated, it would be slower than float32. torch has no public word for it yet."""
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))

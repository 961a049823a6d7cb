"""Early stopping with several objectives: asynchronous successive halving by non-dominated sorting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from balltrain.records.front import layers_of, spread_order


class FrontStopping:
    """MO-ASHA (Schmucker et al., arXiv 2106.12639), stopping variant, with the epoch as resource.

    The rungs are those of `stopping.Stopping`. A trial that reaches one goes on if it is among the best
    1 / reduction_factor of those that have reached it: layer by layer of the non-dominated, and within the layer that
    they do not share, spread over it by an epsilon-net. The first at a rung goes on. By the name `none` there are no
    rungs.
    """

    def __init__(self, name: str, epochs: int, grace: int, reduction_factor: float):
        self._factor = reduction_factor
        count = int(math.log((epochs + 1) / grace) / math.log(reduction_factor) + 1) if name == "asha" else 0
        # the highest first; values by trial, where the less is the better
        self._rungs: list[tuple[float, dict[str, Sequence[float]]]] = [
            (grace * reduction_factor**k, {}) for k in reversed(range(count))
        ]

    def goes_on(self, trial_id: str, epoch: int, objective: Any) -> bool:
        """Record values of all objectives at an epoch, and decide. The same row twice changes nothing."""
        for milestone, recorded in self._rungs:
            if epoch < milestone or trial_id in recorded:
                continue
            recorded[trial_id] = tuple(objective)
            return self._is_among_the_best(np.array(list(recorded.values()), dtype=float))
        return True

    def rungs(self) -> dict[int, dict[str, float]]:
        """Epoch of each rung to the first objective, signed, of the trials recorded there."""
        return {int(epoch): {t: float(v[0]) for t, v in values.items()} for epoch, values in self._rungs}

    def _is_among_the_best(self, values: Any) -> bool:
        """Whether the last of the values is."""
        most = max(1.0, len(values) / self._factor)
        layers = layers_of(values)
        own = np.flatnonzero(layers == layers[-1])
        before = int((layers < layers[-1]).sum())
        if before + len(own) <= most:
            return True
        if before >= most:
            return False
        return before + spread_order(values[own], values).index(len(own) - 1) < most

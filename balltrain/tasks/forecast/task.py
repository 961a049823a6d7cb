"""The `forecast` task: where three balls are at t = 19, seen from t = 0 … 18."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balltrain.balls.world import NUM_STEPS
from balltrain.tasks.base import Arrays, Batch, DataRequest, Task
from balltrain.tasks.forecast import data
from balltrain.tasks.forecast.metrics import (
    ROLLOUT_START,
    baselines,
    collides_at_the_end,
    mean_squared_error,
    pixel_error,
    scaled,
    to_pixels,
)
from balltrain.tasks.forecast.model import ForecastHyperparameters, build_forecaster, mirrored


class Forecast(Task[ForecastHyperparameters]):
    """Ball forecasting: boxes of three balls at t = 19 from those at t = 0 … 18.

    Objective on the validation split: MSE over three boxes, pixels / BOX_SCALE, as the original course work has it.
    """

    name = "forecast"
    metric_names = ("mse", "pixel_error")
    predicts_from = "seq_bb_*.npy"
    default_size = 7000

    def prepare(self, request: DataRequest, arrays: Arrays) -> dict[str, Any]:
        return data.prepare(request, arrays, self.default_size)

    def build_model(self, hp: ForecastHyperparameters, facts: dict[str, Any]) -> nn.Module:
        return build_forecaster(hp)

    def augment(self, batch: Batch, hp: ForecastHyperparameters) -> Batch:
        if hp.model == "interaction" and hp.symmetry == "augment":
            return {**batch, "boxes": mirrored(batch["boxes"])}
        return batch

    def loss(self, model: nn.Module, batch: Batch, hp: ForecastHyperparameters) -> Tensor:
        """MSE; of the interaction model over the last `windows` steps of each sequence, each seen from before."""
        if hp.model == "reference":
            boxes, colors = batch["boxes"], batch["colors"]
        else:
            boxes, colors = _windows(batch, hp)
        return F.mse_loss(model(boxes[:, :-1], colors), scaled(boxes[:, -1]))

    def predict(self, model: nn.Module, batch: Batch, hp: ForecastHyperparameters) -> dict[str, Tensor]:
        """`boxes` (batch, 3, 4) at t = 19, pixels."""
        return {"boxes": to_pixels(model(batch["boxes"][:, : NUM_STEPS - 1], batch["colors"]))}

    def training_outputs(self, returned: Tensor, batch: Batch, hp: ForecastHyperparameters) -> dict[str, Tensor]:
        """Of the interaction model's windows the last one, whose forecast is that of t = 19."""
        return {"boxes": to_pixels(returned.view(len(batch["boxes"]), -1, *returned.shape[1:])[:, -1])}

    def predict_thorough(self, model: nn.Module, batch: Batch, hp: ForecastHyperparameters) -> dict[str, Tensor]:
        """And `rollout` (batch, 10, 3, 4), boxes of t = 10 … 19, each from t = 0 … 9 and those predicted before."""
        boxes = batch["boxes"][:, :ROLLOUT_START].float()
        for _ in range(ROLLOUT_START, NUM_STEPS):
            following = to_pixels(model(boxes, batch["colors"])).float()
            boxes = torch.cat([boxes, following[:, None]], dim=1)
        return {**self.predict(model, batch, hp), "rollout": boxes[:, ROLLOUT_START:]}

    def metrics(
        self, outputs: dict[str, Tensor], targets: dict[str, Tensor], hp: ForecastHyperparameters, *, thorough: bool
    ) -> dict[str, float]:
        """Thorough: `rollout_mse` is the mean over t = 10 … 19; the mse is split by `collides_at_the_end`, where
        there are such sequences; and what the simplest forecasts reach.
        """
        boxes = targets["boxes"]
        predicted, truth = outputs["boxes"], boxes[:, -1]
        mse = mean_squared_error(predicted, truth)
        figures = {"loss": mse, "mse": mse, "pixel_error": pixel_error(predicted, truth)}
        if thorough:
            figures["rollout_mse"] = mean_squared_error(outputs["rollout"], boxes[:, ROLLOUT_START:])
            hit = collides_at_the_end(boxes)
            for name, rows in (("collision", hit), ("no_collision", ~hit)):
                if rows.any():
                    figures[f"{name}_mse"] = mean_squared_error(predicted[rows], truth[rows])
            figures["collision_share"] = float(hit.float().mean())
            figures |= baselines(boxes)
        return figures

    def draw_items(self, batch: Batch, facts: dict[str, Any]) -> list[tuple[np.ndarray, str]]:
        from balltrain.tasks.forecast.draw import draw_sequence

        return [
            (draw_sequence(b.numpy(), c.numpy()), "") for b, c in zip(batch["boxes"], batch["colors"], strict=True)
        ]

    def export(self, request: DataRequest, folder: Path, data_arrays: Mapping[str, np.ndarray]) -> list[str]:
        return data.export(folder, data_arrays)

    def draw_predictions(
        self, model: nn.Module, hp: Any, device: torch.device, paths: list[Path], out: Path
    ) -> list[dict[str, Any]]:
        from balltrain.tasks.forecast.draw import draw_forecasts

        sequences = data.read_sequence_files(paths)
        seen = torch.from_numpy(np.stack([boxes[: NUM_STEPS - 1] for boxes, _ in sequences])).to(device)
        colors = torch.from_numpy(np.stack([colors for _, colors in sequences])).to(device)
        with torch.inference_mode():
            outputs = self.predict_thorough(model, {"boxes": seen, "colors": colors}, hp)
        predicted, rollouts = (outputs[name].cpu().numpy() for name in ("boxes", "rollout"))
        return draw_forecasts(paths, sequences, predicted, rollouts, out)


def _windows(batch: Batch, hp: ForecastHyperparameters) -> tuple[Tensor, Tensor]:
    """The last `windows` stretches of history + 1 steps of each sequence: boxes (batch * windows, history + 1, 3,
    4) and their balls' colours (batch * windows, 3).
    """
    length = hp.history + 1
    boxes = batch["boxes"][:, -(length + hp.windows - 1) :].unfold(1, length, 1)  # (batch, windows, 3, 4, length)
    boxes = boxes.movedim(-1, 2).flatten(0, 1)
    return boxes, batch["colors"].repeat_interleave(hp.windows, dim=0)


task = Forecast()

"""Two forecasters of three balls.

Both map boxes (batch, steps, 3, 4), pixels, and colours (batch, 3) to the boxes at the step after the last:
(batch, 3, 4), pixels / BOX_SCALE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from balltrain.balls.world import COLLISION_RADIUS_PX, NUM_BALLS, NUM_COLORS, NUM_STEPS
from balltrain.tasks.base import Hyperparameters
from balltrain.tasks.forecast.metrics import ROLLOUT_START, centers, scaled
from balltrain.tasks.hyperparameters import Schedule

# The best of the original project's searches (BallDetectionAndForecasting, P.-E. Sotir 2019, docs/rapport.md).
REFERENCE_RECIPE: Mapping[str, Any] = {
    "optimizer": "adam",
    "lr": 9.891933484569264e-05,
    "weight_decay": 2.0217734556558288e-4,
    "batch_size": 16,
    "epochs": 400,
    "patience": 30,
    "schedule": "step",
    "step_size": 30,
    "gamma": 0.3,
    "precision": "float32",
    # its code enters training mode before the first epoch alone, and leaves it with each evaluation
    "dropout_epochs": 1,
}

# The middle between the walls, where a ball turns round, and half their distance, px. Measured on the boxes of
# mini_balls_seq: centres lie in 5.5 … 94 and 5 … 93.5.
MIDDLE, REACH_PX = (49.75, 49.25), 44.25
TYPICAL_SIZE_PX = 11.0  # x2 - x1 of most boxes
# Rough sizes of what the network sees, px: it learns best from numbers around one.
SPEED_PX, DISTANCE_PX, GAP_PX = 4.0, 10.0, 5.0
# How many of the last steps are looked at: sizes, ways between balls, and the direction that sets a frame.
SIZES_SEEN, STEPS_APART, STEPS_IN_DIRECTION = 3, 4, 3
# The six ordered pairs of balls: each receives from the two others.
RECEIVERS, SENDERS = [0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]


class ForecastHyperparameters(Hyperparameters):
    """Defaults are the best known ones of the interaction model; `model="reference"` has its own recipe."""

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"reference": REFERENCE_RECIPE}

    model: Literal["interaction", "reference"] = "interaction"
    batch_size: int = Field(64, ge=1)
    epochs: int = Field(60, ge=1)
    lr: float = Field(1e-2, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    schedule: Schedule = "onecycle"

    history: int = Field(10, ge=4, le=ROLLOUT_START, description="interaction: steps that it sees")
    width: int = Field(96, ge=1, description="interaction: of every hidden layer")
    windows: int = Field(10, ge=1, description="interaction: of each sequence to train on, t = 19 and before")
    symmetry: Literal["frame", "augment", "none"] = Field(
        "frame", description="interaction: turn the square to each ball's direction, or at random in training"
    )
    residual: bool = Field(True, description="interaction: predict the deviation from a straight line")
    colors: bool = Field(False, description="interaction: tell the network each ball's colour")

    widths: tuple[int, ...] = Field((512, 256, 128, 128), description="reference: of the hidden layers")
    activation: Literal["tanh", "relu", "leaky_relu"] = Field("tanh", description="reference")
    dropout: float = Field(0.44996724122672166, ge=0, lt=1, description="reference: probability of dropping a value")
    dropout_epochs: int | None = Field(
        None, ge=1, description="reference: epochs in which dropout acts; all, if null"
    )

    def in_training_mode(self, epoch: int) -> bool:
        return self.dropout_epochs is None or epoch <= self.dropout_epochs

    @classmethod
    def renewed(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """A whole configuration of an earlier version goes on as it began: with dropout in every epoch."""
        if "dropout_epochs" in values or not {"restarts", "warmup", "symmetry"} <= set(values):
            return values
        return {**values, "dropout_epochs": None}

    @model_validator(mode="after")
    def _fits_the_sequence(self) -> ForecastHyperparameters:
        if self.history + self.windows > NUM_STEPS:
            raise ValueError(
                f"history {self.history} + windows {self.windows} is more than a sequence's {NUM_STEPS} steps"
            )
        if any(width < 1 for width in self.widths):
            raise ValueError("a width in widths should be greater than or equal to 1")
        return self


def build_forecaster(hp: ForecastHyperparameters) -> nn.Module:
    return ReferenceForecaster(hp) if hp.model == "reference" else InteractionForecaster(hp)


class ReferenceForecaster(nn.Module):
    """The original: all boxes of t = 0 … 18 and the nine colour bits, flattened, and fully connected layers.

    Where fewer steps were seen (in a rollout) the first is repeated before them.
    """

    num_steps = NUM_STEPS - 1

    def __init__(self, hp: ForecastHyperparameters):
        super().__init__()
        width = self.num_steps * NUM_BALLS * 4 + NUM_COLORS
        layers: list[nn.Module] = []
        for hidden in hp.widths:
            layers += [nn.Linear(width, hidden), _activation(hp.activation)]
            if hp.dropout > 0:
                layers.append(nn.Dropout(hp.dropout))
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, NUM_BALLS * 4))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight, gain=nn.init.calculate_gain("tanh"))  # whatever the activation

    def forward(self, boxes: Tensor, colors: Tensor) -> Tensor:
        missing = self.num_steps - boxes.shape[1]
        if missing > 0:
            boxes = torch.cat([boxes[:, :1].expand(-1, missing, -1, -1), boxes], dim=1)
        bits = F.one_hot(colors.long(), NUM_COLORS).sum(dim=1)  # (batch, 9)
        inputs = torch.cat([scaled(boxes[:, -self.num_steps :]).flatten(1), bits], dim=1)
        boxes = self.layers(inputs).unflatten(1, (NUM_BALLS, 4))
        return boxes.float()


class InteractionForecaster(nn.Module):
    """One network a ball and one a pair of balls, whose answers are summed: an interaction network (Battaglia et
    al., arXiv 1612.00222). Permuting the balls permutes the forecast.

    It sees the last `history` steps, as velocities, distances and the place between the walls, and predicts how
    far each ball ends up from where a straight line leads. With `symmetry="frame"` each ball's world is first
    mirrored such that the ball flies right and down, and more right than down: the square's eight symmetries are
    then exact and need not be learned.
    """

    def __init__(self, hp: ForecastHyperparameters):
        super().__init__()
        self.history, self.residual, self.colors = hp.history, hp.residual, hp.colors
        self.in_frame = hp.symmetry == "frame"
        width = hp.width
        num_inputs = 2 * (hp.history - 1) + 2 * SIZES_SEEN + 4 + (NUM_COLORS if hp.colors else 0)
        self.ball = nn.Sequential(nn.Linear(num_inputs, width), nn.SiLU())
        # the first layer of the network of a pair; what each ball adds to it is computed once a ball
        self.receiver = nn.Linear(width, width)
        self.sender = nn.Linear(width, width, bias=False)
        self.pair = nn.Linear(2 * STEPS_APART + 5, width, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.update = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.deviation = nn.Linear(width, 4)
        nn.init.zeros_(self.deviation.weight)  # an untrained network forecasts a straight line
        nn.init.zeros_(self.deviation.bias)

    def forward(self, boxes: Tensor, colors: Tensor) -> Tensor:
        # never in bfloat16: it knows a place in the square to a quarter of a pixel only
        with torch.autocast(boxes.device.type, enabled=False):
            boxes = boxes[:, -self.history :].float().transpose(1, 2)  # (batch, 3, history, 4)
            places = centers(boxes) - torch.tensor(MIDDLE, device=boxes.device)
            sizes = boxes[..., 2:] - boxes[..., :2]
            return scaled(self._forecast(places, sizes, colors))

    def _forecast(self, places: Tensor, sizes: Tensor, colors: Tensor) -> Tensor:
        """From places and sizes (batch, 3, history, 2), from the middle and in pixels, to boxes in pixels."""
        steps = places.diff(dim=2)  # (batch, 3, history - 1, 2)
        next_places = places[:, :, -1] + steps[:, :, -1]  # (batch, 3, 2): a straight line
        frame = _Frame.of(steps[:, :, -STEPS_IN_DIRECTION:].sum(dim=2), self.in_frame)
        ball = self._seen_of_balls(places, sizes, steps, next_places, frame, colors)
        pair = self._seen_of_pairs(places, next_places, frame)
        state = self.ball(ball)  # (batch, 3, width)
        hidden = self.receiver(state)[:, RECEIVERS] + self.sender(state)[:, SENDERS] + self.pair(pair)
        messages = self.message(hidden).unflatten(1, (NUM_BALLS, NUM_BALLS - 1)).sum(dim=2)
        deviation = self.deviation(self.update(torch.cat([state, messages], dim=-1)))  # (batch, 3, 4)
        start = next_places if self.residual else torch.zeros_like(next_places)
        unit = 1.0 if self.residual else REACH_PX
        middle = start + unit * frame.back(deviation[..., :2]) + torch.tensor(MIDDLE, device=start.device)
        half = (TYPICAL_SIZE_PX + frame.swapped(deviation[..., 2:])) / 2
        return torch.cat([middle - half, middle + half], dim=-1)

    def _seen_of_balls(
        self, places: Tensor, sizes: Tensor, steps: Tensor, next_places: Tensor, frame: _Frame, colors: Tensor
    ) -> Tensor:
        """(batch, 3, inputs): each ball's velocities, last and next place, sizes, in its own frame."""
        last_sizes = sizes[:, :, -SIZES_SEEN:] - TYPICAL_SIZE_PX
        seen = [
            frame.to(steps, dims=1).flatten(2) / SPEED_PX,
            frame.to(places[:, :, -1]) / REACH_PX,
            frame.to(next_places) / REACH_PX,
            frame.swapped(last_sizes, dims=1).flatten(2),
        ]
        if self.colors:
            seen.append(F.one_hot(colors.long(), NUM_COLORS).float())
        return torch.cat(seen, dim=-1)

    def _seen_of_pairs(self, places: Tensor, next_places: Tensor, frame: _Frame) -> Tensor:
        """(batch, 6, inputs): the way from the receiver to the sender in the last steps, in the receiver's frame;
        how near they are and come; and where the sender is going.
        """
        receiver = frame.at(RECEIVERS)
        ways = (places[:, SENDERS] - places[:, RECEIVERS])[:, :, -STEPS_APART:]  # (batch, 6, STEPS_APART, 2)
        last = ways[:, :, -1]
        approach = last - ways[:, :, -2]
        distance = last.norm(dim=-1, keepdim=True)
        next_distance = (last + approach).norm(dim=-1, keepdim=True)
        parting = (last * approach).sum(dim=-1, keepdim=True) / (distance + 1)
        touching = 2 * COLLISION_RADIUS_PX
        seen = [
            receiver.to(ways, dims=1).flatten(2) / DISTANCE_PX,
            (distance - touching) / GAP_PX,
            (next_distance - touching) / GAP_PX,
            parting / GAP_PX,
            receiver.to(next_places[:, SENDERS]) / REACH_PX,
        ]
        return torch.cat(seen, dim=-1)


class _Frame(NamedTuple):
    """One of the square's eight symmetries for each ball: mirror the axes by `sign`, then exchange them by `swap`."""

    sign: Tensor  # (batch, balls, 2): 1 or -1
    swap: Tensor  # (batch, balls, 1) bool

    @classmethod
    def of(cls, directions: Tensor, turn: bool) -> _Frame:
        """The frame in which `directions` (batch, balls, 2) point right and down, more right than down."""
        if not turn:
            return cls(torch.ones_like(directions), torch.zeros_like(directions[..., :1], dtype=torch.bool))
        size = directions.abs()
        return cls(torch.where(directions < 0, -1.0, 1.0), size[..., 1:] > size[..., :1])

    def at(self, balls: list[int]) -> _Frame:
        return _Frame(self.sign[:, balls], self.swap[:, balls])

    def to(self, vectors: Tensor, dims: int = 0) -> Tensor:
        """Vectors (batch, balls, …, 2), with `dims` dimensions in the dots, as seen in the frame."""
        sign = self.sign.reshape(*self.sign.shape[:2], *(1,) * dims, 2)
        return self.swapped(vectors * sign, dims)

    def swapped(self, lengths: Tensor, dims: int = 0) -> Tensor:
        """The same of lengths, which have no sign."""
        swap = self.swap.reshape(*self.swap.shape[:2], *(1,) * dims, 1)
        return torch.where(swap, lengths.flip(-1), lengths)

    def back(self, vectors: Tensor) -> Tensor:
        """Vectors (batch, balls, 2) of the frame as seen in the image."""
        return self.swapped(vectors) * self.sign


def mirrored(boxes: Tensor) -> Tensor:
    """Each sequence of boxes (batch, steps, balls, 4), pixels, in one of the square's eight symmetries at random."""
    batch, device = len(boxes), boxes.device
    sign = torch.randint(0, 2, (batch, 1, 1, 2), device=device) * 2.0 - 1.0
    swap = torch.randint(0, 2, (batch, 1, 1, 1), device=device) > 0
    middle = torch.tensor(MIDDLE, device=device)
    places, half = (centers(boxes) - middle) * sign, (boxes[..., 2:] - boxes[..., :2]) / 2
    places, half = (torch.where(swap, value.flip(-1), value) for value in (places, half))
    return torch.cat([places + middle - half, places + middle + half], dim=-1)


def _activation(name: str) -> nn.Module:
    activations: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}
    return activations[name]()

"""Two detectors of three coloured balls in a 100x100 image.

Both map images (batch, 100, 100, 3) uint8 to `Detections`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from balltrain.balls.world import BOX_SCALE, IMAGE_SIZE, NUM_BALLS, NUM_COLORS
from balltrain.tasks.base import Hyperparameters

TYPICAL_SIZE_PX = 11.0  # x2 - x1 of most boxes


class ConvLayer(BaseModel):
    """Convolution, activation, batch norm, dropout."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    channels: int = Field(ge=1)
    kernel: int = Field(ge=1)
    stride: int = Field(1, ge=1)
    padding: int = Field(0, ge=0)


class PoolLayer(BaseModel):
    """Average pooling over `pool` x `pool` pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    pool: int = Field(ge=2)


# the convolutions of the original project's last sweep (BallDetectionAndForecasting, docs/rapport.md)
ORIGINAL_LAYERS: tuple[ConvLayer | PoolLayer, ...] = (
    ConvLayer(channels=4, kernel=3),
    ConvLayer(channels=4, kernel=3),
    ConvLayer(channels=4, kernel=3),
    PoolLayer(pool=2),
    ConvLayer(channels=16, kernel=5),
    ConvLayer(channels=16, kernel=5),
    PoolLayer(pool=2),
    ConvLayer(channels=32, kernel=5, padding=2),
    ConvLayer(channels=32, kernel=7, padding=3),
    PoolLayer(pool=2),
    ConvLayer(channels=64, kernel=5, padding=2),
)


class DetectHyperparameters(Hyperparameters):
    """Defaults are the best known ones of the heatmap model; `sweeps/detect.py` sets the original's."""

    model: Literal["heatmap", "reference"] = "heatmap"
    bce_scale: float = Field(0.1, gt=0, description="weight of the colours' BCE in the training loss")

    channels: int = Field(32, ge=4, description="heatmap: width of the trunk")
    blocks: int = Field(3, ge=0, description="heatmap: residual blocks at a quarter of the resolution")

    layers: tuple[Annotated[ConvLayer | PoolLayer, Field()], ...] = Field(
        ORIGINAL_LAYERS, min_length=1, description="reference: the convolution stack"
    )
    fully_connected: tuple[int, ...] = Field((), description="reference: widths of the hidden layers of the head")
    activation: Literal["relu", "leaky_relu"] = Field("relu", description="reference")
    batch_norm: bool = Field(True, description="reference")
    batch_norm_momentum: float = Field(0.1, gt=0, le=1, description="reference")
    dropout: float = Field(0.0, ge=0, lt=1, description="reference: probability of dropping a value")
    boxes: Literal["by_color", "present"] = Field(
        "by_color", description="reference: nine boxes, or the three of the present balls in colour order"
    )

    @model_validator(mode="after")
    def _layers_fit_the_image(self) -> DetectHyperparameters:
        size = IMAGE_SIZE
        for number, layer in enumerate(self.layers, 1):
            if isinstance(layer, PoolLayer):
                size //= layer.pool
            else:
                size = (size + 2 * layer.padding - layer.kernel) // layer.stride + 1
            if size < 1:
                raise ValueError(f"layer {number} of layers leaves no pixel of {IMAGE_SIZE}x{IMAGE_SIZE}")
        if any(width < 1 for width in self.fully_connected):
            raise ValueError("a width in fully_connected should be greater than or equal to 1")
        return self


class Detections(NamedTuple):
    """What a detector says of a batch."""

    logits: Tensor  # (batch, 9): presence of each colour
    boxes: Tensor  # (batch, 9, 4) or, with `boxes="present"`, (batch, 3, 4): xyxy, pixels / BOX_SCALE


def build_detector(hp: DetectHyperparameters) -> nn.Module:
    return ReferenceDetector(hp) if hp.model == "reference" else HeatmapDetector(hp)


def boxes_by_color(detections: Detections) -> Tensor:
    """(batch, 9, 4) boxes / BOX_SCALE, zero where the colour is taken to be absent.

    Exactly three balls are in every image, so the three likeliest colours are taken; three boxes without a
    colour belong to these in colour order.
    """
    logits, boxes = detections
    present = torch.topk(logits, NUM_BALLS, dim=1).indices.sort(dim=1).values  # (batch, 3)
    index = present[:, :, None].expand(-1, -1, 4)
    if boxes.shape[1] != NUM_BALLS:
        boxes = torch.gather(boxes, 1, index)
    return boxes.new_zeros(len(boxes), NUM_COLORS, 4).scatter(1, index, boxes)


class ReferenceDetector(nn.Module):
    """The original: a convolution stack, flattened, and fully connected layers that regress every coordinate."""

    def __init__(self, hp: DetectHyperparameters):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for layer in hp.layers:
            if isinstance(layer, PoolLayer):
                layers.append(nn.AvgPool2d(layer.pool))
                continue
            conv = nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding)
            channels = layer.channels
            layers += [conv, *self._after(hp, nn.BatchNorm2d, nn.Dropout2d, channels)]
        self.features = nn.Sequential(*layers)
        with torch.no_grad():
            width = self.features.eval()(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)).numel()
        self.features.train()
        head: list[nn.Module] = []
        for hidden in hp.fully_connected:
            head += [nn.Linear(width, hidden), *self._after(hp, nn.BatchNorm1d, nn.Dropout, hidden)]
            width = hidden
        self.num_boxes = NUM_COLORS if hp.boxes == "by_color" else NUM_BALLS
        self.head = nn.Sequential(*head, nn.Linear(width, NUM_COLORS + 4 * self.num_boxes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    @staticmethod
    def _after(hp: DetectHyperparameters, norm: Any, dropout: Any, width: int) -> list[nn.Module]:
        """The original's order: activation, then batch norm, then dropout."""
        modules: list[nn.Module] = [nn.ReLU() if hp.activation == "relu" else nn.LeakyReLU()]
        if hp.batch_norm:
            modules.append(norm(width, momentum=hp.batch_norm_momentum))
        if hp.dropout > 0:
            modules.append(dropout(hp.dropout))
        return modules

    def forward(self, images: Tensor) -> Detections:
        features = self.features(to_input(images))
        # contiguous first: flattening a channels-last tensor would differ between layouts, not in value
        outputs = self.head(features.contiguous().flatten(1))
        boxes = outputs[:, NUM_COLORS:].reshape(len(images), self.num_boxes, 4)
        return Detections(outputs[:, :NUM_COLORS], boxes)


class HeatmapDetector(nn.Module):
    """A map of evidence for each colour; a ball's centre is the mean of its map, its size an offset from 11 px.

    The mean over a softmax map (integral regression, Sun et al., arXiv 1711.08229) places a centre between the
    pixels of a map at a quarter of the resolution, and no layer has to learn what each position means.
    """

    stride = 4

    def __init__(self, hp: DetectHyperparameters):
        super().__init__()
        c = hp.channels
        self.trunk = nn.Sequential(
            _conv(3, c // 2, 5, stride=2),
            _conv(c // 2, c, 3, stride=2),
            *[_Residual(c) for _ in range(hp.blocks)],
        )
        self.evidence = nn.Conv2d(c, NUM_COLORS, 3, padding=1)
        self.sizes = nn.Conv2d(c, 4 * NUM_COLORS, 1)  # offsets of the four edges, where the evidence lies
        self.presence = nn.Linear(2 * NUM_COLORS, NUM_COLORS)
        nn.init.zeros_(self.sizes.weight)
        nn.init.zeros_(self.sizes.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.presence.bias)
        with torch.no_grad():
            self.presence.weight.zero_()
            self.presence.weight[:, :NUM_COLORS].fill_diagonal_(1.0)
        cells = (torch.arange(IMAGE_SIZE // self.stride) + 0.5) * self.stride - 0.5  # centre of a cell, px
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("box_scale", torch.tensor(BOX_SCALE, dtype=torch.float32), persistent=False)
        half = TYPICAL_SIZE_PX / 2
        self.register_buffer("typical", torch.tensor([-half, -half, half, half]), persistent=False)

    def forward(self, images: Tensor) -> Detections:
        features = self.trunk(to_input(images))  # (batch, channels, 25, 25)
        evidence = self.evidence(features).float()  # (batch, 9, 25, 25)
        flat = evidence.flatten(2)
        weights = flat.softmax(dim=2)  # (batch, 9, 625): where the ball of a colour is
        maps = weights.unflatten(2, evidence.shape[2:])
        x = (maps.sum(dim=2) * self.cells).sum(dim=2)  # (batch, 9), px
        y = (maps.sum(dim=3) * self.cells).sum(dim=2)
        sizes = self.sizes(features).float().flatten(2).unflatten(1, (NUM_COLORS, 4))
        offsets = torch.einsum("bcs,bcks->bck", weights, sizes)  # (batch, 9, 4), px
        centers = torch.stack([x, y, x, y], dim=2)
        boxes = (centers + self.typical + offsets) / self.box_scale
        summary = torch.cat([flat.amax(dim=2), (weights * flat).sum(dim=2)], dim=1)
        return Detections(self.presence(summary), boxes)


class _Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels, 3),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def to_input(images: Tensor) -> Tensor:
    """(batch, 100, 100, 3) uint8 to (batch, 3, 100, 100) float in -1 … 1, channels last in memory: no copy."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0

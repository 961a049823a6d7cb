"""Two detectors of three coloured balls in a 100x100 image.

Both map images (batch, 100, 100, 3) uint8 to `Detections`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from balltrain.balls.world import BOX_SCALE, COLOR_RGB, IMAGE_SIZE, NUM_BALLS, NUM_COLORS
from balltrain.tasks.base import Hyperparameters
from balltrain.tasks.detect.augment import Augmentation
from balltrain.tasks.detect.batch_norm import FewChannelsBatchNorm2d
from balltrain.tasks.hyperparameters import Schedule

TYPICAL_SIZE_PX = 11.0  # x2 - x1 of most boxes
PATCH_PX = 20  # a ball of 13 px fits with 3 px of error in its coarse centre
PATCH_CHANNELS = 16
COARSE_SHARE = 0.2  # of the balls in training, which are placed by their coarse centre


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

# the best of the original project's last search, as it was then trained in full (docs/rapport.md)
REFERENCE_RECIPE: Mapping[str, Any] = {
    "optimizer": "adam",
    "lr": 6.537177808319479e-4,
    "weight_decay": 6.841231983628692e-06,
    "batch_size": 16,
    "batch_norm_momentum": 0.07359778246238029,
    "epochs": 400,
    "patience": 30,
    "schedule": "step",
    "step_size": 40,
    "gamma": 0.3,
    "clip_norm": None,
    "precision": "float32",
    "cudnn_benchmark": True,
}


class DetectHyperparameters(Hyperparameters):
    """Defaults are the best known ones of the heatmap model; `model="reference"` has its own recipe.

    The reference learns `colors` alone, which was the original's first task, `boxes` alone, of which the colours are
    deduced, or both.
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"reference": REFERENCE_RECIPE}

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(4e-3, gt=0)
    schedule: Schedule = "onecycle"
    # the first steps miss balls by 30 px: unclipped, their gradients fill Adam's second moments for thousands
    # of steps, and the last fractions of a pixel are never learned
    clip_norm: float | None = Field(1e-3, gt=0, description="gradients are scaled down to this norm")

    model: Literal["heatmap", "reference"] = "heatmap"
    bce_scale: float = Field(0.1, gt=0, description="weight of the colours' BCE in the training loss")

    order_scale: float = Field(
        0.0, ge=0, description="weight of a loss where a box's right or lower edge lies before the opposite one"
    )
    augmentation: Augmentation = Field("none", description="of the training split: moves images and their boxes")

    channels: int = Field(32, ge=4, description="heatmap: width of the trunk")
    blocks: int = Field(1, ge=0, description="heatmap: residual blocks at a quarter of the resolution")

    layers: tuple[Annotated[ConvLayer | PoolLayer, Field()], ...] = Field(
        ORIGINAL_LAYERS, min_length=1, description="reference: the convolution stack"
    )
    depth: int | None = Field(
        None, ge=1, description="reference: convolutions of a block, which make a stack in place of layers"
    )
    width: int = Field(8, ge=1, description="reference, with depth: channels of the first block, twice as many each")
    kernel: int = Field(3, ge=1, description="reference, with depth: of every convolution, odd")
    poolings: int = Field(3, ge=0, description="reference, with depth: each by 2, with a block before and after")
    fully_connected: tuple[int, ...] = Field((), description="reference: widths of the hidden layers of the head")
    activation: Literal["relu", "leaky_relu"] = Field("relu", description="reference")
    batch_norm: bool = Field(True, description="reference")
    batch_norm_momentum: float = Field(0.1, gt=0, le=1, description="reference")
    dropout: float = Field(0.0, ge=0, lt=1, description="reference: probability of dropping a value")
    learn: Literal["both", "colors", "boxes"] = Field(
        "both", description="reference: colours and boxes, or one of them alone"
    )
    boxes: Literal["by_color", "present"] = Field(
        "by_color", description="reference: nine boxes, or the three of the present balls in colour order"
    )

    @property
    def convolutions(self) -> Sequence[ConvLayer | PoolLayer]:
        """The stack of the reference: `layers`, or the blocks of `depth` convolutions that `width` begins with."""
        if self.depth is None:
            return self.layers
        stack: list[ConvLayer | PoolLayer] = []
        for block in range(self.poolings + 1):
            channels = self.width * 2**block
            stack += [PoolLayer(pool=2)] if block else []
            stack += [ConvLayer(channels=channels, kernel=self.kernel, padding=self.kernel // 2)] * self.depth
        return stack

    @model_validator(mode="after")
    def _layers_fit_the_image(self) -> DetectHyperparameters:
        size = IMAGE_SIZE
        if self.depth is not None and self.layers != ORIGINAL_LAYERS:
            raise ValueError(f"layers and depth {self.depth} are two stacks of convolutions: leave one out")
        if self.kernel % 2 == 0:
            raise ValueError(f"the kernel is {self.kernel}, but must be odd: it is padded to keep the size")
        for number, layer in enumerate(self.convolutions, 1):
            if isinstance(layer, PoolLayer):
                size //= layer.pool
            else:
                size = (size + 2 * layer.padding - layer.kernel) // layer.stride + 1
            if size < 1:
                raise ValueError(f"layer {number} of layers leaves no pixel of {IMAGE_SIZE}x{IMAGE_SIZE}")
        if any(width < 1 for width in self.fully_connected):
            raise ValueError("a width in fully_connected should be greater than or equal to 1")
        return self

    @model_validator(mode="after")
    def _learns_what_its_model_can(self) -> DetectHyperparameters:
        if self.learn != "both" and self.model != "reference":
            raise ValueError(
                f"learn {self.learn} needs the model reference, not {self.model}: add --set model=reference"
            )
        if self.learn == "boxes" and self.boxes == "present":
            raise ValueError("learn boxes deduces the colours from nine boxes: leave out boxes present")
        return self


class Detections(NamedTuple):
    """What a detector says of a batch."""

    logits: Tensor  # (batch, 9): presence of each colour
    boxes: Tensor  # (batch, 9, 4) or, with `boxes="present"`, (batch, 3, 4): xyxy, pixels / BOX_SCALE


def build_detector(hp: DetectHyperparameters) -> nn.Module:
    return ReferenceDetector(hp) if hp.model == "reference" else HeatmapDetector(hp)


def boxes_by_color(detections: Detections) -> Tensor:
    """(batch, 9, 4) boxes / BOX_SCALE of (batch, 3, 4), zero where the colour is taken to be absent.

    Exactly three balls are in every image: the boxes belong to the three likeliest colours, in colour order.
    """
    logits, boxes = detections
    present = torch.topk(logits, NUM_BALLS, dim=1).indices.sort(dim=1).values  # (batch, 3)
    index = present[:, :, None].expand(-1, -1, 4)
    return boxes.new_zeros(len(boxes), NUM_COLORS, 4).scatter(1, index, boxes)


def colors_of_boxes(boxes: Tensor) -> Tensor:
    """(batch, 9) logits of the colours, positive for those of the three boxes (batch, 9, 4) with the largest norms.

    Boxes of absent colours are learned as zeros. Zero lies in the middle between the third and the fourth.
    """
    sizes = torch.linalg.vector_norm(boxes, dim=2)
    top = sizes.topk(NUM_BALLS + 1, dim=1).values
    logits: Tensor = sizes - top[:, -2:].mean(dim=1, keepdim=True)
    return logits


class ReferenceDetector(nn.Module):
    """The original: a convolution stack, flattened, and fully connected layers that regress every coordinate.

    Of the colours and boxes it has outputs for what it learns; boxes that it does not are zero.
    """

    def __init__(self, hp: DetectHyperparameters):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for layer in hp.convolutions:
            if isinstance(layer, PoolLayer):
                layers.append(nn.AvgPool2d(layer.pool))
                continue
            conv = nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding)
            channels = layer.channels
            layers += [conv, *self._after(hp, FewChannelsBatchNorm2d, nn.Dropout2d, channels)]
        self.features = nn.Sequential(*layers)
        with torch.no_grad():
            width = self.features.eval()(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)).numel()
        self.features.train()
        head: list[nn.Module] = []
        for hidden in hp.fully_connected:
            head += [nn.Linear(width, hidden), *self._after(hp, nn.BatchNorm1d, nn.Dropout, hidden)]
            width = hidden
        self.num_logits = 0 if hp.learn == "boxes" else NUM_COLORS
        self.num_boxes = NUM_COLORS if hp.boxes == "by_color" else NUM_BALLS
        num_outputs = self.num_logits + (0 if hp.learn == "colors" else 4 * self.num_boxes)
        self.head = nn.Sequential(*head, nn.Linear(width, num_outputs))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # it has a bias

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
        logits, boxes = outputs[:, : self.num_logits], outputs[:, self.num_logits :]
        if boxes.shape[1] == 0:
            return Detections(logits, boxes.new_zeros(len(images), NUM_COLORS, 4))
        boxes = boxes.reshape(len(images), self.num_boxes, 4)
        return Detections(logits if self.num_logits else colors_of_boxes(boxes.detach()), boxes)


class HeatmapDetector(nn.Module):
    """Looks twice: a coarse map of evidence finds each colour's ball, then a patch of the image gives its edges.

    1. A trunk at a quarter of the resolution gives nine maps of evidence. A ball's coarse centre is the mean
       over the softmax of its map (integral regression, Sun et al., arXiv 1711.08229).
    2. Exactly three balls are in every image: a colour is present as far as the peak of its map rises above
       the middle between the third and the fourth highest peak.
    3. The three likeliest colours get a patch of the full image around their coarse centres, less the ball's
       colour. A small network reads the offsets of the four edges from each.
    """

    stride = 4  # image pixels a cell of the map
    cells: Tensor
    typical: Tensor
    color_rgb: Tensor
    box_scale: Tensor

    def __init__(self, hp: DetectHyperparameters):
        super().__init__()
        self.trunk = nn.Sequential(
            _conv(3, hp.channels, 7, stride=self.stride, padding=2),
            *[_Residual(hp.channels) for _ in range(hp.blocks)],
        )
        self.evidence = nn.Conv2d(hp.channels, NUM_COLORS, 3, padding=1)
        self.shift = nn.Conv2d(hp.channels, 2, 1)  # from the centre of a cell to that of its ball, px
        self.presence_scale = nn.Parameter(torch.full((NUM_COLORS,), 2.0))
        self.presence_bias = nn.Parameter(torch.zeros(NUM_COLORS))
        self.edges = nn.Sequential(
            _conv(3, PATCH_CHANNELS, 3),
            _conv(PATCH_CHANNELS, PATCH_CHANNELS, 3, stride=2),
            nn.Flatten(),
            nn.Linear(PATCH_CHANNELS * (PATCH_PX // 2) ** 2, 64, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(inplace=True),
            nn.Linear(64, 4),
        )
        cells = (torch.arange(IMAGE_SIZE // self.stride) + 0.5) * self.stride - 0.5  # centre of a cell, px
        half = TYPICAL_SIZE_PX / 2
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("typical", torch.tensor([-half, -half, half, half]), persistent=False)
        self.register_buffer("color_rgb", torch.tensor(COLOR_RGB), persistent=False)
        self.register_buffer("box_scale", torch.tensor(BOX_SCALE, dtype=torch.float32), persistent=False)

    def forward(self, images: Tensor) -> Detections:
        centers, peaks = self._find(images)
        top = peaks.topk(NUM_BALLS + 1, dim=1).values
        logits = peaks - top[:, -2:].mean(dim=1, keepdim=True)  # (batch, 9)
        colors = logits.topk(NUM_BALLS, dim=1).indices  # (batch, 3)
        centers = centers.gather(1, colors[:, :, None].expand(-1, -1, 2))  # (batch, 3, 2)
        boxes = self._refine(images, colors, centers)
        if self.training:
            # the patch is cut at whole pixels, so no gradient passes it: some balls show their coarse box
            coarse = centers.repeat(1, 1, 2) + self.typical
            boxes = torch.where(torch.rand_like(boxes[:, :, :1]) < COARSE_SHARE, coarse, boxes)
        index = colors[:, :, None].expand(-1, -1, 4)
        by_color = boxes.new_zeros(len(images), NUM_COLORS, 4).scatter(1, index, boxes / self.box_scale)
        return Detections(logits, by_color)

    def _find(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse centres (batch, 9, 2) x y in px, and scaled peaks of the maps (batch, 9)."""
        features = self.trunk(to_input(images))  # (batch, channels, 25, 25)
        evidence = self.evidence(features).float()  # (batch, 9, 25, 25); coordinates want float32, always
        weights = evidence.flatten(2).softmax(dim=2)  # (batch, 9, 625): where the ball of a colour is
        maps = weights.unflatten(2, evidence.shape[2:])
        x = (maps.sum(dim=2) * self.cells).sum(dim=2)
        y = (maps.sum(dim=3) * self.cells).sum(dim=2)
        shifts = (weights[:, :, None] * self.shift(features).float().flatten(2)[:, None]).sum(dim=3)
        peaks = evidence.amax(dim=(2, 3)) * self.presence_scale + self.presence_bias
        return torch.stack([x, y], dim=2) + shifts, peaks

    def _refine(self, images: Tensor, colors: Tensor, centers: Tensor) -> Tensor:
        """(batch, 3, 4) xyxy in px: the edges of the balls of these colours (batch, 3) around these centres."""
        # first pixel of each patch, which lies within the image: (batch, 3, 2)
        origin = (centers.detach() - (PATCH_PX - 1) / 2).round().clamp(0, IMAGE_SIZE - PATCH_PX)
        steps = torch.arange(PATCH_PX, device=images.device)
        x, y = (origin.long()[:, :, None, :] + steps[:, None]).unbind(dim=3)  # (batch, 3, PATCH_PX) each
        image = torch.arange(len(images), device=images.device)[:, None, None, None]
        patches = images[image, y[:, :, :, None], x[:, :, None, :]]  # (batch, 3, PATCH_PX, PATCH_PX, 3)
        # what is near zero is ball, whatever its colour
        patches = (patches.float() - self.color_rgb[colors][:, :, None, None]) / 127.5
        offsets: Tensor = self.edges(patches.flatten(0, 1).permute(0, 3, 1, 2)).float().unflatten(0, colors.shape)
        return (origin + (PATCH_PX - 1) / 2).repeat(1, 1, 2) + self.typical + offsets


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


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int | None = None) -> nn.Module:
    padding = kernel // 2 if padding is None else padding
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def to_input(images: Tensor) -> Tensor:
    """(batch, 100, 100, 3) uint8 to (batch, 3, 100, 100) float in -1 … 1, channels last in memory: no copy."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0

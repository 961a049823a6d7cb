import pytest
import torch
from safetensors.torch import save_file

from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks.base import resolve
from balltrain.tasks.coco.resnet import FrozenBatchNorm2d, ResNet
from balltrain.tasks.coco.task import task

FACTS = {"categories": [{"id": n + 1, "name": str(n)} for n in range(80)], "image_size": 64}


def model_of(facts=FACTS, **values):
    torch.manual_seed(0)
    return task.build_model(resolve(task, values), facts)


def num_params(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_depth_50_has_the_paper_s_parameters():
    """37.97 M: ResNet-50 without classifier 23.51, pyramid 8.00 (P6 of C5's 2048 channels 4.72), heads 6.46."""
    with torch.device("meta"):
        model = model_of(depth=50)
    assert num_params(model.backbone) == 23_508_032  # torchvision's resnet50 less 2 049 000 of fc
    assert num_params(model) == 37_968_692


@pytest.mark.parametrize(
    ("depth", "millions"), [(18, 11.1765), (34, 21.2847), (101, 42.5002), (152, 58.1438)]
)  # torchvision's 11.690, 21.798, 44.549 and 60.193 less fc
def test_backbones_have_torchvision_s_parameters(depth, millions):
    with torch.device("meta"):
        assert num_params(ResNet(depth, "batch")) / 1e6 == pytest.approx(millions, abs=1e-4)


def test_backbones_have_torchvision_s_names():
    with torch.device("meta"):
        names = set(ResNet(50, "batch").state_dict())
    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv3.weight",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.running_var",
        "layer3.5.bn2.bias",
        "layer4.2.conv1.weight",
    } <= names
    assert len(names) == 318  # torchvision's resnet50 has 320, with fc


def images(batch=2, height=64, width=96):
    return torch.randint(0, 256, (batch, height, width, 3), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )


def batch_of(batch=2):
    boxes = torch.tensor([[[5.0, 5, 40, 50]]]).repeat(batch, 1, 1)
    return {
        "images": images(batch),
        "boxes": boxes,
        "labels": torch.full((batch, 1), 7),
        "crowd": torch.zeros(batch, 1, dtype=torch.bool),
    }


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("depth", [18, 50])
def test_gradients_reach_every_layer(depth, norm):
    hp = resolve(task, {"depth": depth, "norm": norm, "channels": 32})
    model = task.build_model(hp, FACTS)
    task.loss(model, batch_of(), hp).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_maps_of_one_pixel_have_gradients_in_bfloat16():
    """torch's own padding leaves what was in memory in them."""
    pyramid = model_of(channels=32).pyramid
    maps = [torch.randn(2, 512 // side, side, side) for side in (4, 2, 1)]
    gradients = {}
    for enabled in (False, True):
        for _ in range(5):
            pyramid.zero_grad()
            junk = [torch.full((32, 32, 3, 3), torch.nan) for _ in range(4)]
            del junk
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                levels = pyramid(*maps)
            sum(level.float().sum() for level in levels).backward()
            gradients.setdefault(enabled, []).append([conv.weight.grad.clone() for conv in (pyramid.p6, pyramid.p7)])
    (expected, *_), found = gradients[False], gradients[True]
    for both in found:
        for gradient, right in zip(both, expected, strict=True):
            assert (gradient - right).norm() < 0.1 * right.norm()


def test_an_untrained_network_gives_the_prior():
    model = model_of(channels=32, prior=0.03).eval()
    logits, offsets = model(images())
    assert logits.shape == (2, len(model.anchors_of(images())), 80)
    assert offsets.shape == (*logits.shape[:2], 4)
    assert float(logits.detach().sigmoid().median()) == pytest.approx(0.03, rel=0.3)


def test_outputs_are_in_the_order_of_the_anchors():
    """A map that is lit at one place alone speaks through the nine anchors of that place."""
    from balltrain.tasks.coco.model import _by_anchor

    outputs = torch.zeros(1, 9 * 4, 3, 5)
    outputs[0, 8 * 4 + 2, 1, 3] = 1  # the ninth anchor's third value at row 1, column 3
    assert torch.nonzero(_by_anchor(outputs, 4)).tolist() == [[0, (1 * 5 + 3) * 9 + 8, 2]]


@pytest.fixture(scope="module")
def weights():
    """A ResNet-18's state as torchvision saves it."""
    torch.manual_seed(1)
    resnet = ResNet(18, "batch")
    for buffer in resnet.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
    return {**resnet.state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def loaded(path, **values):
    hp = resolve(task, {"channels": 32, "weights": str(path), **values})
    model = task.build_model(hp, FACTS)
    task.load_weights(model, hp)
    return model


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("norm", ["batch", "frozen"])
def test_weights_of_torchvision_load(weights, tmp_path, suffix, norm):
    path = tmp_path / f"resnet18{suffix}"
    torch.save(weights, path) if suffix == ".pth" else save_file(weights, path)
    model = loaded(path, norm=norm)
    state = model.backbone.state_dict()
    for name, tensor in weights.items():
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked"):
            assert torch.equal(state[name], tensor), name


def test_frozen_batch_norm_is_batch_norm_in_evaluation():
    normal, frozen = torch.nn.BatchNorm2d(8).eval(), FrozenBatchNorm2d(8)
    for tensor in (normal.weight.data, normal.bias.data, normal.running_mean, normal.running_var):
        tensor.uniform_(0.5, 2)
    frozen.load_state_dict({name: t for name, t in normal.state_dict().items() if name != "num_batches_tracked"})
    x = torch.randn(2, 8, 5, 5)
    assert torch.allclose(frozen(x), normal(x), atol=1e-5)
    assert list(frozen.parameters()) == []


class Code:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"no weights", "cannot be read"),
        ({"a": torch.zeros(1)}, "is no ResNet of torchvision, of 18, 34"),
        ({"state_dict": {}}, "hold no state dict"),
        (Code(), "cannot be read"),
    ],
)
def test_files_without_a_resnet_are_refused(tmp_path, capsys, content, message):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(BalltrainError, match=message):
        loaded(path)
    assert capsys.readouterr().out == ""  # nothing of the file was run


def test_weights_of_another_depth_are_refused_with_theirs(weights, tmp_path):
    torch.save(weights, tmp_path / "resnet18.pth")
    with pytest.raises(BalltrainError, match="holds a ResNet-18, but depth is 34: --set depth=18"):
        loaded(tmp_path / "resnet18.pth", depth=34)


def test_weights_of_another_width_are_refused(weights, tmp_path):
    wide = {**weights, "layer4.0.conv1.weight": torch.zeros(1024, 256, 3, 3)}
    torch.save(wide, tmp_path / "wide.pth")
    with pytest.raises(BalltrainError, match=r"is no ResNet-18 of torchvision: size mismatch for layer4.0.conv1"):
        loaded(tmp_path / "wide.pth")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"norm": "frozen"}, "norm frozen without weights would normalise nothing"),
        ({"norm": "group", "weights": "w.pth"}, "weights of a torchvision ResNet need its batch norm"),
        ({"norm": "group", "channels": 100}, "norm group needs channels in 12 equal groups: try a power of 2"),
        ({"depth": 20}, "depth = 20: "),
        ({"prior": 1.0}, "prior = 1.0: should be less than 1"),
        ({"box_loss": "l2"}, 'box_loss = "l2": '),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        resolve(task, values)

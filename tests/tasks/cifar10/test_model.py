"""The models have the parameters that are written down, read pictures of any size where they say so, and learn."""

import json
import shutil
from itertools import groupby
from pathlib import Path

import pytest
import torch
from cifar_files import FACTS, contents, write_archive
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from balltrain.cli import main
from balltrain.data.cache import load_data
from balltrain.errors import BalltrainError, UsageError
from balltrain.tasks import TaskRef
from balltrain.tasks.base import DataRequest, Download, resolve
from balltrain.tasks.cifar10.data import CLASSES
from balltrain.tasks.cifar10.task import Cifar10, task
from balltrain.training.checkpoint import load_checkpoint
from balltrain.training.loop import fit

CPU = torch.device("cpu")


def built(**values):
    torch.manual_seed(0)
    return task.build_model(resolve(task, values), FACTS).eval()


# the original's: 3x3 convolutions with biases, and a linear layer on what they make; A is 140 + 230 + 10 x (80 + 1)
COUNTS = {
    "a": 1_180,
    "b": 7_390,
    "c": 51_470,
    "d": 51_470,
    "e": 464_750,
    "f": 465_950,  # of which 2 x 2 x (20 + 40 + 80 + 160) are of the norms
    "g": 465_950,
    "gap": 461_150,
    "fast": 1_161_272,
}
LETTERS = {
    **{nn.Conv2d: "C", nn.Sigmoid: "S", nn.ReLU: "R", nn.BatchNorm2d: "N", nn.MaxPool2d: "P", nn.Dropout: "D"},
    **{nn.AdaptiveAvgPool2d: "A", nn.Flatten: "F", nn.Linear: "L"},
}
# what works, in its order, and what it gives: a letter a layer, with the shape after the last of the same shape
LAYERS = {
    "a": "CSCS 5x32x32 P 5x4x4 F 80 L 10",
    "b": "CSCS 20x32x32 P 20x4x4 F 320 L 10",
    "c": "CSCS 20x32x32 P 20x16x16 CSCS 40x16x16 P 40x8x8 F 2560 L 10",
    "d": "CRCR 20x32x32 P 20x16x16 CRCR 40x16x16 P 40x8x8 F 2560 L 10",
    "e": "CRCR 20x32x32 P 20x16x16 CRCR 40x16x16 P 40x8x8 CRCR 80x8x8 P 80x4x4 CRCR 160x4x4 P 160x2x2 F 640 L 10",
    "f": "CRNCRN 20x32x32 P 20x16x16 CRNCRN 40x16x16 P 40x8x8 CRNCRN 80x8x8 P 80x4x4 "
    "CRNCRN 160x4x4 P 160x2x2 F 640 L 10",
    "g": "CRNCRN 20x32x32 PD 20x16x16 CRNCRN 40x16x16 PD 40x8x8 CRNCRN 80x8x8 PD 80x4x4 "
    "CRNCRN 160x4x4 PD 160x2x2 F 640 L 10",
    "gap": "CRNCRN 20x32x32 PD 20x16x16 CRNCRN 40x16x16 PD 40x8x8 CRNCRN 80x8x8 PD 80x4x4 "
    "CRNCRN 160x4x4 AD 160x1x1 F 160 L 10",
}


def layers_of(model):
    """As in LAYERS, of a picture of 32x32 that goes through the model."""
    seen = []
    for layer in model.modules():
        if type(layer) in LETTERS:
            letter = LETTERS[type(layer)]
            layer.register_forward_hook(
                lambda _, got, gave, letter=letter: seen.append((letter, "x".join(map(str, gave.shape[1:]))))
            )
    model(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    groups = [(shape, "".join(letter for letter, _ in group)) for shape, group in groupby(seen, lambda one: one[1])]
    return " ".join(f"{letters} {shape}" for shape, letters in groups)


@pytest.mark.parametrize(("model", "count"), COUNTS.items())
def test_the_models_have_the_published_number_of_parameters(model, count):
    assert sum(parameter.numel() for parameter in built(model=model).parameters()) == count


@pytest.mark.parametrize(("model", "layers"), LAYERS.items())
def test_the_models_are_those_of_the_report_layer_by_layer(model, layers):
    assert layers_of(built(model=model)) == layers


@pytest.mark.parametrize("model", LAYERS)
def test_their_convolutions_have_3x3_kernels_and_biases(model):
    convolutions = [layer for layer in built(model=model).modules() if isinstance(layer, nn.Conv2d)]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert all(layer.bias is not None for layer in convolutions)


def test_dropout_grows_from_block_to_block():
    for model in ("g", "gap"):
        drops = [layer.p for layer in built(model=model).modules() if isinstance(layer, nn.Dropout)]
        assert drops == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("model", ["a", "d", "gap"])
def test_their_pictures_go_from_0_to_1(model):
    """Neither the mean nor the deviation of the data plays a part, and floats from 0 to 1 are what uint8 become."""
    network, images = built(model=model), torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    got = []
    first.register_forward_hook(lambda _, inputs, __: got.append(inputs[0]))
    logits = network(images)
    assert torch.equal(got[0], images.permute(0, 3, 1, 2) / 255)
    assert torch.equal(network(images.permute(0, 3, 1, 2) / 255), logits)


def test_blocks_can_be_given_with_all_that_the_originals_had():
    blocks = [
        {"in": 3, "mid": 4, "out": 6, "kernel_a": 5, "kernel_b": 1, "pool": 4, "activation": "sigmoid"},
        {"in": 6, "out": 8, "norm": True, "dropout": 0.5, "pool": 1},
    ]
    model = built(model="g", blocks=blocks)
    assert layers_of(model) == "CS 4x32x32 CS 6x32x32 P 6x8x8 CRNCRND 8x8x8 F 512 L 10"
    assert [m.kernel_size[0] for m in model.modules() if isinstance(m, nn.Conv2d)] == [5, 1, 3, 3]
    averaged = built(model="gap", blocks=blocks)
    assert layers_of(averaged) == "CS 4x32x32 CS 6x32x32 P 6x8x8 CRNCRN 8x8x8 AD 8x1x1 F 8 L 10"


def test_kernels_of_an_even_size_keep_the_pictures_size():
    blocks = [{"out": 4, "kernel_a": 2, "kernel_b": 4, "pool": 1}]
    assert layers_of(built(model="a", blocks=blocks)) == "CRCR 4x32x32 F 4096 L 10"


def test_a_configuration_names_the_network_in_full():
    """Checkpoints and journals hold it: they mean the same network whatever `g` may be one day."""
    config = resolve(task, {"model": "g"}).model_dump(mode="json")
    assert [block["out"] for block in config["blocks"]] == [20, 40, 80, 160]
    assert resolve(task, config) == resolve(task, {"model": "g"})
    assert resolve(task, {"model": "fast"}).blocks == ()


ORIGINAL = {
    **{"optimizer": "sgd", "momentum": 0.0, "lr": 0.001, "batch_size": 32, "schedule": "constant"},
    **{"weight_decay": 0.0, "label_smoothing": 0.0, "precision": "float32", "flip": False, "shift": 0, "cutout": 0},
}
FAST = {
    **{"optimizer": "adamw", "lr": 0.005, "batch_size": 128, "schedule": "onecycle", "weight_decay": 0.05},
    **{"label_smoothing": 0.2, "precision": "bfloat16", "flip": True, "shift": 3, "cutout": 10, "epochs": 110},
}


@pytest.mark.parametrize("model", LAYERS)
def test_the_originals_train_by_their_recipe(model):
    assert resolve(task, {"model": model}).model_dump().items() >= ORIGINAL.items()


def test_they_train_as_long_as_the_report_says():
    epochs = {model: resolve(task, {"model": model}).epochs for model in ("a", "b", "c", "gap")}
    assert epochs == {"a": 150, "b": 150, "c": 16, "gap": 240}


def test_the_fast_network_trains_by_its_own():
    assert resolve(task, {}).model_dump().items() >= FAST.items()
    assert resolve(task, {"model": "fast"}) == resolve(task, {})


def test_what_is_set_wins_over_the_recipe():
    given = {"lr": 0.1, "momentum": 0.9, "flip": True, "epochs": 3, "blocks": [{"out": 4}]}
    found = resolve(task, {"model": "gap", **given}).model_dump()
    assert {name: found[name] for name in ("lr", "momentum", "flip", "epochs")}.items() <= given.items()
    assert [block["out"] for block in found["blocks"]] == [4]
    assert found["batch_size"] == 32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blocks": [{"out": 4}]}, "set model to one of these too"),
        ({"model": "a", "blocks": []}, "blocks are empty: give a at least one, or leave them out for its own"),
        (
            {"model": "a", "blocks": [{"out": 4}] * 6},
            "block 6 pools by 2, but the maps that it gets have 1 of 32 pixels: less than one would be left",
        ),
        (
            {"model": "a", "blocks": [{"out": 4, "pool": 5}, {"out": 4, "pool": 7}]},
            "block 2 pools by 7, .* have 6 of",
        ),
        ({"model": "gap", "blocks": [{"out": 4, "pool": 33}]}, "blocks.0.pool .* should be less than or equal to 32"),
        ({"model": "a", "blocks": [{"out": 0}]}, "blocks.0.* should be greater than or equal to 1"),
        ({"model": "a", "blocks": [{"mid": 4}]}, "blocks.0.out .* Field required"),
        ({"model": "a", "blocks": [{"out": 4, "kernel_a": 0}]}, "blocks.0.kernel_a .* greater than or equal to 1"),
        ({"model": "a", "blocks": [{"out": 4, "kernel_b": 64}]}, "blocks.0.kernel_b .* less than or equal to 63"),
        ({"model": "a", "blocks": [{"out": 4, "activation": "gelu"}]}, "activation .* should be 'sigmoid' or 'relu'"),
        ({"model": "a", "blocks": [{"out": 4, "dropout": 1}]}, "blocks.0.dropout .* should be less than 1"),
        ({"model": "a", "blocks": [{"out": 4, "dropout": -0.1}]}, "dropout .* should be greater than or equal to 0"),
        ({"model": "a", "blocks": [{"out": 4, "norm": "batch"}]}, "blocks.0.norm .* should be a valid boolean"),
        ({"model": "a", "blocks": [{"out": 4, "kernel": 5}]}, "blocks.0.kernel"),
        ({"model": "a", "blocks": [{"in": 1, "out": 4}]}, "block 1 takes in = 1 channels, but gets 3"),
        ({"model": "a", "blocks": [{"out": 4}, {"in": 5, "out": 4}]}, "block 2 takes in = 5 channels, but gets 4"),
        ({"model": "a", "blocks": [{"mid": 4}, {"in": 5, "out": 4}]}, "blocks.0.out .* Field required"),
        ({"model": "a", "blocks": [{"channels": 4}]}, "channels belong to networks that this version no longer has"),
        ({"model": "a", "blocks": "20, 40"}, "should be a valid tuple"),
        ({"model": "a", "blocks": [20, 40]}, "blocks.0 .* should be a valid dictionary"),
        ({"model": "h"}, 'model = "h"'),
        ({"model": ["a"]}, "model = "),
        ({"widths": [8, 0, 8]}, "width should be greater than or equal to 1"),
        ({"shift": 32}, "shift = 32: should be less than 32"),
    ],
)
def test_models_that_cannot_be_are_refused(values, message):
    with pytest.raises(UsageError, match=message) as caught:
        resolve(task, values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["gap", "fast"])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (31, 33), (32, 20), (18, 32), (32, 32), (64, 100)])
def test_gap_and_fast_read_pictures_of_any_size(model, size):
    logits = built(model=model)(torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8))
    assert logits.shape == (2, 10)
    assert torch.isfinite(logits).all()


def test_gap_reads_pictures_that_are_large_enough_as_they_are():
    """The original's two of 32x20 and 32x18 among them."""
    network, got = built(model="gap"), []
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    first.register_forward_hook(lambda _, inputs, __: got.append(tuple(inputs[0].shape[2:])))
    for size in ((20, 32), (18, 32), (8, 9), (7, 9)):
        network(torch.zeros(1, *size, 3, dtype=torch.uint8))
    assert got == [(20, 32), (18, 32), (8, 9), (32, 41)]


def test_the_others_say_which_size_they_read():
    with pytest.raises(
        BalltrainError, match="a picture of 48x40: this model reads 32x32 alone, gap and fast any size"
    ):
        built(model="g")(torch.zeros(1, 3, 40, 48))


def test_predictions_are_the_same_for_a_mirror_image():
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    for flip, same in ((True, True), (False, False)):
        hp = resolve(task, {"flip": flip})
        there, mirrored = (task.predict(built(), {"images": i}, hp)["logits"] for i in (images, images.flip(2)))
        assert torch.allclose(there, mirrored, atol=1e-4) == same


MADE_UP = Path(__file__).parent / "fixtures" / "made-up-networks.jsonl"  # of balltrain 0.1.0, of one trial of `a`


def made_up_config(**values):
    (line,) = (line for line in map(json.loads, MADE_UP.read_text().splitlines()) if line["type"] == "trial")
    return {**line["config"], **values}


def write_checkpoint(folder, config, weights):
    """As balltrain 0.1.0 wrote it, with the weights of today's model of the hyperparameters `weights`."""
    folder.mkdir()
    content = {"format": 1, "task": "cifar10", "task_file": None, "hyperparameters": config, "seed": 0}
    data = {"request": {"source": "c.tar.gz", "size": None, "seed": 0}, "facts": FACTS, "fingerprint": "0"}
    (folder / "config.json").write_text(json.dumps({**content, "data": data}))
    tensors = {name: tensor.contiguous() for name, tensor in built(**weights).state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "config",
    [
        made_up_config(),
        made_up_config(model="gap"),
        made_up_config(model="g", blocks=[{"channels": 8, "norm": True}]),
    ],
    ids=["a", "gap", "own blocks"],
)
def test_checkpoints_of_the_made_up_networks_are_refused(tmp_path, config):
    with pytest.raises(BalltrainError) as caught:
        load_checkpoint(write_checkpoint(tmp_path / "old", config, {"model": config["model"]}))
    said = str(caught.value)
    assert (
        "config.json is of a task that is not here, or has changed: this was trained with an earlier network of the "
        f"name {config['model']}" in said
    )
    assert said.endswith("train it anew")
    assert "\n" not in said


def test_checkpoints_of_the_fast_network_are_loaded_as_before(tmp_path):
    small = {"model": "fast", "widths": [4, 4, 4]}
    loaded = load_checkpoint(write_checkpoint(tmp_path / "old", made_up_config(**small), small))
    assert loaded.hp.model == "fast"


def test_sweeps_of_the_made_up_networks_are_not_resumed(tmp_path, capsys):
    archive = write_archive(tmp_path / "c.tar.gz", contents(rows=4, test_rows=4))
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(MADE_UP, old / "journal.jsonl")
    command = ["train", "cifar10", "--source", archive, "--set", "model=a", "--epochs", "1", "--out", old, "--resume"]
    with pytest.raises(SystemExit) as exit_:
        main([*map(str, command), "--data-dir", str(tmp_path / "d"), "--wandb", "off"])
    said = capsys.readouterr().err.strip()
    assert exit_.value.code == 1
    assert said.startswith("error: cannot resume old: this was trained with an earlier network of the name a")
    assert "\n" not in said
    assert (old / "journal.jsonl").read_bytes() == MADE_UP.read_bytes()


@pytest.mark.parametrize("model", ["a", "g", "gap", "fast"])
def test_pictures_of_any_shape_are_predicted(tmp_path, cli, model):
    """The original's two of 32x20 and 32x18, and what else people have."""
    config = resolve(task, {"model": model}).model_dump(mode="json")
    checkpoint = write_checkpoint(tmp_path / "checkpoint", config, {"model": model})
    (tmp_path / "pictures").mkdir()
    sizes = [(32, 20), (32, 18), (18, 32), (32, 32), (1, 1), (3, 40), (640, 480)]
    for number, size in enumerate(sizes):
        kind = "L" if number % 2 else "RGB"
        Image.effect_noise(size, 90).convert(kind).save(tmp_path / "pictures" / f"{size[0]}x{size[1]}.png")
    code, out, _ = cli("predict", checkpoint, tmp_path / "pictures", "--out", tmp_path / "out", "--json")
    found = json.loads(out)["predictions"]
    assert code == 0
    assert {Path(each["input"]).stem for each in found} == {f"{width}x{height}" for width, height in sizes}
    for each in found:
        assert each["class"] in CLASSES
        assert sum(guess["probability"] for guess in each["top"]) <= 1.001
        assert Path(each["picture"]).exists()


def test_the_originals_two_pictures_go_through_gap_as_they_are(tmp_path):
    Image.effect_noise((32, 20), 90).convert("RGB").save(tmp_path / "1.png")
    Image.effect_noise((32, 18), 90).convert("RGB").save(tmp_path / "2.png")
    network, got = built(model="gap"), []
    network.register_forward_hook(lambda _, inputs, __: got.append(tuple(inputs[0].shape)))
    hp = resolve(task, {"model": "gap"})
    (tmp_path / "out").mkdir()
    task.draw_predictions(network, hp, CPU, [tmp_path / "1.png", tmp_path / "2.png"], tmp_path / "out")
    assert got == [(1, 3, 20, 32), (1, 3, 18, 32)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("cifar") / "c.tar.gz", contents(rows=60, test_rows=100))


@pytest.mark.parametrize(
    "values",
    [
        {"widths": [8, 16, 16]},
        {"model": "gap", "blocks": [{"out": 8, "norm": True}] * 3, "optimizer": "adamw"},
    ],
    ids=["fast", "gap"],
)
def test_it_learns(archive, tmp_path, values):
    dataset = load_data(TaskRef("cifar10"), task, DataRequest(str(archive)), tmp_path)
    hp = resolve(task, {"epochs": 6, "batch_size": 30, "lr": 0.01, **values})
    rows = []
    fit(task, hp, dataset, seed=0, folder=tmp_path, report=rows.append, device=CPU)
    assert rows[-1]["metrics"]["accuracy"] > 0.6


def test_data_build_downloads_and_train_uses_it(archive, tmp_path, monkeypatch, capsys):
    import hashlib

    content = archive.read_bytes()
    # a file's address is one that urllib reads too
    what = Download(archive.as_uri(), hashlib.sha256(content).hexdigest(), len(content))
    monkeypatch.setattr(Cifar10, "download", what)
    monkeypatch.chdir(tmp_path)
    common = ["--data-dir", "data", "--json"]
    for command in (
        ["data", "build", "cifar10", *common],
        ["train", "cifar10", *common, "--epochs", "1", "--set", "widths=[4,4,4]", "--wandb", "off", "--out", "run"],
        ["evaluate", "run/best", "--split", "test", *common],
    ):
        with pytest.raises(SystemExit) as exit_:
            main(command)
        assert not exit_.value.code
    assert '"items": 100' in capsys.readouterr().out

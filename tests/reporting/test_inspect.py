"""The page of `balltrain inspect`, of a classifier and of tasks that know nothing of it."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from toy import TOY_FILE

from balltrain.data.cache import load_data
from balltrain.reporting.shots import GAP_RGB
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest
from balltrain.training.checkpoint import CheckpointConfig, save_best, save_config


def sections(page):
    """Title to HTML."""
    return dict(re.findall(r"<section id=\"[^\"]*\"><h2>(.*?)</h2>(.*?)</section>", page, re.DOTALL))


def pictures(html):
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        for data in re.findall(r"data:image/\w+;base64,([^\"]+)", html)
    ]


def untrained(name, size, root, **values):
    """A checkpoint of a task as it is initialised."""
    ref = task_ref(name)
    task, request = ref.load(), DataRequest(size=size)
    hp = task.Hyperparameters(**values)
    dataset = load_data(ref, task, request, root / "d")
    torch.manual_seed(0)
    config = CheckpointConfig(ref, hp.model_dump(), 0, request, dataset.facts, dataset.fingerprint)
    save_config(root / "c", config)
    save_best(root / "c", task.build_model(hp, dataset.facts), 1, 0.0)
    return root / "c"


@pytest.fixture(scope="module")
def page(reds, tmp_path_factory):
    """That of a classifier, as text."""
    from balltrain.cli import main

    out = tmp_path_factory.mktemp("page")
    with pytest.raises(SystemExit):
        main(["inspect", str(reds / "a"), "--out", str(out), "--data-dir", str(reds / "d")])
    assert [path.name for path in out.iterdir()] == ["index.html"]
    return (out / "index.html").read_text()


def test_the_page_of_a_classifier_has_all_its_parts(page):
    found = sections(page)
    assert list(found) == [
        "Figures",
        "True class (rows) and predicted class",
        "The most confidently wrong",
        "Doubtful and wrong",
        "Doubtful and right",
        "The surest right",
        "Histogram: probability of the predicted class",
        "Confidence by class",
        "Accuracy against coverage",
        "First-layer kernels",
        "Kernels of every layer",
        "Feature maps of network.2",
        "Layers",
    ]
    assert "with 95 % confidence from" in page
    assert "<dt>ece</dt>" in found["Figures"]
    assert len(pictures(found["First-layer kernels"])) == 4
    assert len(pictures(found["Feature maps of network.2"])) == 4 * (1 + 4 * 2)
    assert "http" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_pictures_are_those_of_the_data_with_what_was_said_of_them(page, reds, cli):
    """The surest right ones: as many captions as pictures, and their classes the right ones."""
    html = sections(page)["The surest right"]
    shown, captions = pictures(html), re.findall(r"<figcaption>(.*?)</figcaption>", html)
    assert len(shown) == len(captions) == 12
    for pixels, caption in zip(shown, captions, strict=True):
        red, _, blue = pixels.reshape(-1, 3).mean(axis=0)
        assert caption.startswith("Red: " if red > blue else "Blue: ")
    chances = [float(caption.split()[-1].rstrip("%")) for caption in captions]
    assert chances == sorted(chances, reverse=True)
    wrong = re.findall(r"<figcaption>(.*?)</figcaption>", sections(page)["The most confidently wrong"])
    assert all("taken for" in caption for caption in wrong)


def figures_of(html):
    return [json.loads(figure) for figure in re.findall(r"<script type=\"application/json\">(.*?)</script>", html)]


def captions_of(html):
    return re.findall(r"<figcaption>(.*?)</figcaption>", html)


def test_histograms_count_every_item_once(page):
    found = sections(page)
    counts = [sum(f["data"][0]["y"]) for f in figures_of(found["Histogram: probability of the predicted class"])]
    assert len(counts) == 2
    assert sum(counts) == 20
    by_class = figures_of(found["Confidence by class"])
    bars = {
        trace["name"]: sum(sum(t["y"]) for f in by_class for t in f["data"] if t["name"] == trace["name"])
        for trace in by_class[0]["data"]
    }
    assert list(bars.values()) == counts  # right, then wrong, of all classes together
    titles = [f["layout"]["xaxis"]["title"]["text"] for f in by_class]
    assert [title.split(":")[0] for title in titles] == ["Blue", "Red"]


def test_what_is_doubtful_is_told_apart_by_whether_it_is_right(page):
    found = sections(page)
    right, wrong = captions_of(found["Doubtful and right"]), captions_of(found["Doubtful and wrong"])
    assert all("taken for" in caption for caption in wrong)
    assert not any("taken for" in caption for caption in right)
    chances = [float(caption.split()[-1].rstrip("%")) for caption in right]
    assert chances == sorted(chances)


def test_thresholds_say_what_they_leave(page):
    html = sections(page)["Accuracy against coverage"]
    (curve,) = figures_of(html)
    coverage, accuracy = curve["data"][0]["x"], curve["data"][0]["y"]
    assert coverage == sorted(coverage)
    assert coverage[-1] == 1
    rows = [
        [float(cell) for cell in re.findall(r"<td class=n>(.*?)</td>", row)]
        for row in re.findall(r"<tr>.*?</tr>", html)
    ][1:]
    assert rows[0] == [0, 20, 1, pytest.approx(accuracy[-1], abs=1e-4)]
    for threshold, items, part, right in rows[1:]:
        assert threshold > 0.5
        assert items == pytest.approx(20 * part)
        assert (part, right) in [
            (pytest.approx(x, abs=1e-4), pytest.approx(y, abs=1e-4)) for x, y in zip(coverage, accuracy, strict=True)
        ]
        assert 1 - right <= (1 - accuracy[-1]) / 2 + 1e-6


def test_every_convolution_shows_its_kernels(page, reds):
    from balltrain.training.checkpoint import load_checkpoint

    html = sections(page)["Kernels of every layer"]
    assert captions_of(html) == ["network.0: 4 x 3 of 3 x 3", "network.3: 8 x 4 of 3 x 3"]
    weight = load_checkpoint(reds / "a").model.network[3].weight.detach().numpy()
    shown = pictures(html)[1][:, :, 0]
    assert shown.shape == (8 * 4 - 1, 4 * 4 - 1)
    kernel = weight[5, 2] / np.abs(weight[5]).max() / 2 + 0.5  # of map 5, looking at map 2
    np.testing.assert_allclose(shown[20:23, 8:11] / 255, kernel, atol=0.5 / 255 + 1e-6)
    assert (pictures(html)[1][3::4] == GAP_RGB).all()  # between any two


def test_one_feature_map_can_be_chosen_and_more_examples(cli, reds, tmp_path):
    arguments = ("inspect", reds / "a", "--data-dir", reds / "d", "--out", tmp_path, "--layer", "network.1")
    code, out, err = cli(*arguments, "--map", 3, "--examples", 2, "--json")
    assert code == 0, err
    assert json.loads(out)["map"] == 3
    found = sections((tmp_path / "index.html").read_text())
    captions = [caption for caption in captions_of(found["Feature map 3 of network.1"]) if caption.startswith("map")]
    assert set(captions) == {"map 3"}
    assert len(captions) == 12
    assert len(captions_of(found["The surest right"])) == 2
    code, _, err = cli(*arguments, "--map", 4)
    assert (code, err) == (2, "error: --map 4: network.1 has the maps 0 to 3\n")
    code, _, err = cli(*arguments, "--examples", 0)
    assert code == 2
    assert "--examples" in err


def test_kernels_are_the_weights_in_colour(page, reds):
    from balltrain.training.checkpoint import load_checkpoint

    weight = load_checkpoint(reds / "a").model.network[0].weight.detach().numpy()
    for kernel, shown in zip(weight, pictures(sections(page)["First-layer kernels"]), strict=True):
        expected = kernel.transpose(1, 2, 0) / np.abs(kernel).max() / 2 + 0.5
        np.testing.assert_allclose(shown / 255, expected, atol=0.5 / 255 + 1e-6)


def test_a_layer_can_be_chosen(cli, reds, tmp_path):
    arguments = ("inspect", reds / "a", "--data-dir", reds / "d", "--out", tmp_path)
    code, out, _ = cli(*arguments, "--layer", "network.1", "--split", "test", "--json")
    assert code == 0
    assert json.loads(out) == {
        "task": "reds",
        "split": "test",
        "page": str(tmp_path / "index.html"),
        "layer": "network.1",
    }
    html = sections((tmp_path / "index.html").read_text())["Feature maps of network.1"]
    assert "(ReLU, 4 maps of 14 x 14)" in html
    code, _, err = cli(*arguments, "--layer", "network.9")
    assert code == 2
    assert "--layer 'network.9' has no feature maps: choose one of network.0, network.1, " in err


def test_a_detector_is_inspected_too(cli, tmp_path):
    folder = untrained("detect", 20, tmp_path, channels=4)
    code, _, err = cli("inspect", folder, "--out", tmp_path / "page", "--data-dir", tmp_path / "d")
    assert (code, err) == (0, "")
    found = sections((tmp_path / "page" / "index.html").read_text())
    assert {"The largest losses", "The smallest losses", "Histogram: loss of an item", "First-layer kernels"} <= set(
        found
    )
    assert [pixels.shape for pixels in pictures(found["The largest losses"])] == [(600, 600, 3)] * 3
    losses = [float(text) for text in re.findall(r"<figcaption>(.*?)</figcaption>", found["The largest losses"])]
    assert losses == sorted(losses, reverse=True)
    assert losses[::-1] == [
        float(text) for text in re.findall(r"<figcaption>(.*?)</figcaption>", found["The smallest losses"])
    ]


def test_a_task_without_pictures_is_refused(cli, tmp_path):
    folder = untrained(TOY_FILE, 40, tmp_path)
    code, out, err = cli("inspect", folder, "--out", tmp_path / "page", "--data-dir", tmp_path / "d")
    assert (code, out) == (1, "")
    assert "toy is not learned from pictures" in err
    assert not (tmp_path / "page").exists()


def test_a_page_that_cannot_be_written_is_told(cli, reds, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = cli("inspect", reds / "a", "--out", tmp_path / "file", "--data-dir", reds / "d")
    assert code == 1
    assert "cannot write the page to" in err

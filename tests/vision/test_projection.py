"""Feature maps and their projections, against transposed convolutions and unpooling written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from balltrain.vision.projection import list_layers, project


@pytest.fixture
def images():
    return torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)) - 0.5


def chain(activation=nn.ReLU, pool=nn.MaxPool2d):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, stride=1),
        activation(),
        pool(2),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5),
        activation(),
        nn.Flatten(),
        nn.Linear(5 * 16, 2),
    )
    with torch.no_grad():
        model[4].running_mean.uniform_(-0.2, 0.2)
        model[4].running_var.uniform_(0.5, 2)
        model[4].weight.uniform_(0.5, 2)
    return model.eval()


def zeiler_and_fergus(model, images, channels):
    """The deconvnet of `chain`, layer by layer as the paper has it, of one feature map of each picture."""
    with torch.no_grad():
        pooled, switches = F.max_pool2d(model[1](model[0](images)), 2, return_indices=True)
        maps = model[5](model[4](model[3](pooled)))
        signal = torch.zeros_like(maps)
        for row, channel in enumerate(channels):
            signal[row, channel] = maps[row, channel]
        norm = model[4]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        signal = F.relu(signal) * scale[:, None, None]
        signal = F.conv_transpose2d(signal, model[3].weight)
        signal = F.max_unpool2d(signal, switches, 2)
        return maps, F.conv_transpose2d(F.relu(signal), model[0].weight, padding=1)


def test_a_projection_is_the_papers_deconvnet(images):
    model = chain()
    found = project(model, "5", lambda: model(images), num_maps=5)
    assert found.projections.shape == (2, 5, 3, 12, 12)
    for rank in range(5):
        maps, expected = zeiler_and_fergus(model, images, found.channels[:, rank])
        torch.testing.assert_close(found.projections[:, rank], expected)
        for row in range(2):
            torch.testing.assert_close(found.maps[row, rank], maps[row, found.channels[row, rank]])


def test_the_strongest_maps_come_first(images):
    model = chain()
    peaks = project(model, "5", lambda: model(images), num_maps=3).maps.amax(dim=(2, 3))
    with torch.no_grad():
        strongest = model[:6](images).amax(dim=(2, 3)).sort(dim=1, descending=True).values
    torch.testing.assert_close(peaks, strongest[:, :3])


def test_of_linear_layers_it_is_the_gradient(images):
    model = chain(activation=nn.Identity, pool=nn.AvgPool2d)
    found = project(model, "3", lambda: model(images), num_maps=1)
    image = images.clone().requires_grad_()
    signal = torch.zeros(2, 5, 4, 4)
    signal[[0, 1], found.channels[:, 0]] = found.maps[:, 0].relu()
    model[:4](image).backward(signal)
    torch.testing.assert_close(found.projections[:, 0], image.grad)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.ELU])
def test_what_comes_back_is_rectified_at_activations_of_all_kinds(images, activation):
    """Negative filters after the activation leave nothing to take back."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), activation(), nn.Conv2d(4, 1, 1)).eval()
    with torch.no_grad():
        model[2].weight.fill_(-1.0)
        model[2].bias.fill_(100.0)  # the map is positive all the same
    assert not project(model, "2", lambda: model(images), 1).projections.any()
    with torch.no_grad():
        model[2].weight.fill_(1.0)
    assert project(model, "2", lambda: model(images), 1).projections.any()


def test_tanh_lets_both_signs_back(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 1)).eval()
    with torch.no_grad():
        model[2].weight.fill_(-1.0)
        model[2].bias.fill_(100.0)
    signal = F.conv_transpose2d(
        F.conv_transpose2d(model(images).detach(), model[2].weight.detach()), model[0].weight.detach()
    )
    torch.testing.assert_close(project(model, "2", lambda: model(images), 1).projections[:, 0], signal)


class Shortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1, bias=False)
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(inplace=True))

    def forward(self, images):
        features = self.stem(images.permute(0, 3, 1, 2).float() / 255)
        return torch.relu(features + self.body(features)).mean(dim=(2, 3))


def test_shortcuts_and_whole_numbers_are_projected_too():
    model = Shortcut().eval()
    with torch.no_grad():
        for conv in (model.stem, model.body[0]):
            conv.weight.copy_(torch.eye(3)[:, :, None, None])
    image = torch.randint(1, 256, (1, 4, 4, 3), dtype=torch.uint8)
    found = project(model, "body", lambda: model(image), num_maps=3)
    assert found.projections.shape == (1, 3, 3, 4, 4)
    for rank, channel in enumerate(found.channels[0]):
        torch.testing.assert_close(found.projections[0, rank, channel], image[0, :, :, channel].float() / 255)


def test_layers_are_listed_in_the_order_in_which_they_end(images):
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Flatten(), nn.Linear(400, 2)).eval()
    layers = list_layers(model, lambda: model(images))
    assert [(layer.name, layer.kind, layer.shape, layer.projected) for layer in layers] == [
        ("0.0", "Conv2d", (4, 10, 10), True),
        ("0.1", "ReLU", (4, 10, 10), True),
        ("0", "Sequential", (4, 10, 10), True),
    ]
    assert all(parameter.requires_grad for parameter in model.parameters())


class TwoLooks(nn.Module):
    """The second one at what the first does not see."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)

    def forward(self, images):
        return self.first(images).mean() + self.second(images.flip(3)).mean()


def test_what_does_not_follow_from_the_first_look_cannot_be_projected(images):
    model = TwoLooks().eval()
    assert [layer.projected for layer in list_layers(model, lambda: model(images))] == [True, False]
    with pytest.raises(ValueError, match="second does not follow from the convolution"):
        project(model, "second", lambda: model(images), 1)


def test_a_model_without_a_look_at_an_image_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 2, 3)).eval()
    with pytest.raises(ValueError, match="no convolution that looks at an image"):
        project(model, "0", lambda: model(torch.zeros(1, 1, 8, 8)), 1)
    assert all(parameter.grad is None for parameter in model.parameters())

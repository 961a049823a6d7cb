import pytest
import torch
from torch import nn

from balltrain.tasks.detect.batch_norm import FewChannelsBatchNorm2d


@pytest.mark.parametrize("channels", [2, 4, 8, 16, 6])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_values_gradients_and_state_are_those_of_torch(channels, memory_format):
    torch.manual_seed(0)
    ours, torchs = FewChannelsBatchNorm2d(channels, momentum=0.07), nn.BatchNorm2d(channels, momentum=0.07)
    with torch.no_grad():
        for norm in (ours, torchs):
            norm.weight.copy_(torch.linspace(0.5, 2, channels))
            norm.bias.copy_(torch.linspace(-1, 1, channels))
    for _ in range(3):
        x = (3 * torch.rand(8, channels, 16, 12)).contiguous(memory_format=memory_format)
        upstream = torch.randn(x.shape)
        results = []
        for norm in (ours, torchs):
            norm.zero_grad()
            leaf = x.clone().requires_grad_()
            y = norm(leaf)
            y.backward(upstream)
            results.append([y.detach(), leaf.grad, norm.weight.grad, norm.bias.grad, *norm.state_dict().values()])
        for mine, theirs in zip(*results, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_gradients_pass_the_numerical_check():
    norm = FewChannelsBatchNorm2d(4).double()
    x = torch.rand(4, 4, 4, 4, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert norm._is_fast_case(x, 16)
    assert torch.autograd.gradcheck(norm, x)


def test_eval_mode_is_torchs_own():
    norm = FewChannelsBatchNorm2d(4)
    norm(torch.rand(8, 4, 8, 8).contiguous(memory_format=torch.channels_last))
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(norm.eval()(x), nn.BatchNorm2d.forward(norm, x))

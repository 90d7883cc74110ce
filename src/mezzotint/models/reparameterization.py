"""Structural re-parameterisation in weight space: trained as three convolutions and a shortcut, computed as one.

A 1x1, a 3x3 and a 1x1 convolution without anything non-linear between them are one 3x3 convolution (Zhang et al. 2021,
"Edge-oriented Convolution Block", section 3; Wan et al. 2024, SPAN, figure 3). The richer parameters train better than the
plain kernel they multiply out to. Others run all branches on the image in training and merge at the end; here the
*kernels* are merged in every step, which costs a few small products, and the image sees one convolution. Zero padding then
means the same in training and in deployment.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

# Parts of networks, not networks that a recipe could name.
__all__: list[str] = []


class ReparameterizedConv(nn.Module):
    """A 3x3 convolution, B in H W -> B out H W, whose kernel is contract @ spatial @ expand + shortcut."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int = 2) -> None:
        super().__init__()
        wide_in, wide_out = expansion * in_channels, expansion * out_channels
        self.expand = nn.Parameter(_uniform(wide_in, in_channels))
        self.spatial = nn.Parameter(_uniform(wide_out, wide_in, 3, 3))
        self.contract = nn.Parameter(_uniform(out_channels, wide_out))
        self.shortcut = nn.Parameter(_uniform(out_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def kernel(self) -> torch.Tensor:
        """The equivalent kernel, out in 3 3."""
        merged = torch.einsum("ob,bahw,ai->oihw", self.contract, self.spatial, self.expand)
        return merged + F.pad(self.shortcut[:, :, None, None], (1, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One 3x3 convolution."""
        return F.conv2d(x, self.kernel(), self.bias, padding=1)

    @torch.no_grad()
    def become(self, kernel: torch.Tensor, bias: torch.Tensor) -> None:
        """Compute a convolution by `kernel`, out in 3 3, from now on: in the first wide channels; others stay random."""
        out_channels, in_channels = self.shortcut.shape
        self.expand[:in_channels] = torch.eye(in_channels)
        self.contract[:, :out_channels] = torch.eye(out_channels)
        self.spatial[:out_channels, :in_channels] += kernel - self.kernel()
        self.bias.copy_(bias)

    def fused(self) -> nn.Conv2d:
        """The plain convolution that computes the same."""
        out_channels, in_channels = self.shortcut.shape
        plain = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        plain.load_state_dict({"weight": self.kernel().detach(), "bias": self.bias.detach()})
        return plain


def convolution(in_channels: int, out_channels: int, reparameterized: bool) -> nn.Module:
    """A 3x3 convolution, as it is trained or as it is deployed."""
    if reparameterized:
        return ReparameterizedConv(in_channels, out_channels)
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def kernel_of(convolution: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernel, out in 3 3, and bias of a convolution of either kind."""
    plain = convolution.fused() if isinstance(convolution, ReparameterizedConv) else convolution
    assert isinstance(plain, nn.Conv2d) and plain.bias is not None
    return plain.weight.detach(), plain.bias.detach()


def set_kernel(convolution: nn.Module, kernel: torch.Tensor, bias: torch.Tensor) -> None:
    """Make a convolution of either kind one by `kernel`, out in 3 3, and `bias`."""
    if isinstance(convolution, ReparameterizedConv):
        convolution.become(kernel, bias)
    else:
        convolution.load_state_dict({"weight": kernel, "bias": bias})


def merged_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state of the deployed form of `network`, all of whose weights are in convolutions of the two kinds."""
    state: dict[str, torch.Tensor] = {}
    for name, module in network.named_modules():
        if isinstance(module, ReparameterizedConv):
            module = module.fused()
        if isinstance(module, nn.Conv2d):
            state |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    return state


def _uniform(*shape: int) -> torch.Tensor:
    """PyTorch's default for convolutions: uniform with variance 1 / (3 fan_in)."""
    fan_in = torch.Size(shape[1:]).numel()
    return torch.empty(shape).uniform_(-(fan_in**-0.5), fan_in**-0.5)

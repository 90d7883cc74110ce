"""Convolutions with torch's values and gradients, whose weight gradients take a CPU less time.

Differentiated twice, as gradient penalties need: torch exchanges batch and channels there and convolves with kernels as
large as the images; as an ordinary weight gradient it is the same in a quarter to two thirds of the time. (Karras et al.
2020, "Training Generative Adversarial Networks with Limited Data", replace the same formula on GPUs.)

Of narrow maps in bfloat16, on CPUs with matrix units (AMX): these take 32 pixels of a line at once, and lines of 7 leave
most of them idle. Four images beside each other, zeros between them, have the same weight gradient in little more than half
the time. Without such units a step takes 8 % longer so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mezzotint.hardware import cpu_flags

__all__: list[str] = []

_NARROW, _BESIDE = 8, 4
_MATRIX_UNITS = "amx_bf16" in cpu_flags()


class CheapGradients(TorchFunctionMode):
    """Within it, those `conv2d` on a CPU that gain by it are computed so: of narrow maps, and, if `twice`, all of them.

    Of such a layer a gradient that is itself to be differentiated (`create_graph=True`) may be asked for with respect to
    images alone. With respect to weights it is NaN then: autograd does not tell whether it wants it, and it would be dear.
    """

    def __init__(self, twice: bool = False) -> None:
        super().__init__()
        self.twice = twice

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.conv2d and not torch.compiler.is_compiling():
            return self._convolved(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _convolved(
        self,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        how: Any = (*((v, v) if isinstance(v, int) else v for v in (stride, padding, dilation)), groups)
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else images.dtype
        learns = weight.requires_grad and torch.is_grad_enabled()
        gains = self.twice or _narrow(images, weight, kind, how)
        if not (images.device.type == "cpu" and learns and gains) or isinstance(padding, str):
            return F.conv2d(images, weight, bias, *how)
        inputs = (part if part is None else part.to(kind) for part in (images, weight, bias))
        made: Tensor = _Convolution.apply(*inputs, how)  # type: ignore[no-untyped-call]
        return made


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, how: Any) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.how = how
        return F.conv2d(images, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        images, weight = ctx.saved_tensors
        by_images, by_weight, by_bias = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():
            unknown = weight.new_full((), torch.nan).expand_as(weight)
            found = _ImageGradient.apply(gradient, weight, images, ctx.how)  # type: ignore[no-untyped-call]
            return found, unknown, unknown[:, 0, 0, 0] if by_bias else None, None
        if not _narrow(images, weight, images.dtype, ctx.how):
            return *_gradients(gradient, images, weight, ctx.how, (by_images, by_weight, by_bias)), None
        found = _gradients(gradient, images, weight, ctx.how, (True, False, False))[0] if by_images else None
        return found, *_weight_gradients(gradient, images, weight, ctx.how, by_bias), None


class _ImageGradient(torch.autograd.Function):
    """Linear in the gradient that comes in and in the weight; of the images only the shape matters."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, weight: Tensor, images: Tensor, how: Any) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        ctx.how = how
        found: Tensor = _gradients(gradient, images, weight, how, (True, False, False))[0]
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, images: Tensor) -> Any:
        gradient, weight = ctx.saved_tensors
        by_gradient = F.conv2d(images, weight, None, *ctx.how) if ctx.needs_input_grad[0] else None
        return by_gradient, _weight_gradients(gradient, images, weight, ctx.how, False)[0], None, None


def _weight_gradients(
    gradient: Tensor, images: Tensor, weight: Tensor, how: Any, by_bias: bool
) -> tuple[Tensor, Tensor | None]:
    if _narrow(images, weight, images.dtype, how):
        gradient, images = _beside(gradient), _beside(images)
    _, *found = _gradients(gradient, images, weight, how, (False, True, by_bias))
    return found[0], found[1]


def _narrow(images: Tensor, weight: Tensor, kind: torch.dtype, how: Any) -> bool:
    fits = weight.shape[2:] == (3, 3) and how == ((1, 1), (1, 1), (1, 1), 1)
    return (
        _MATRIX_UNITS and fits and kind == torch.bfloat16 and images.shape[3] <= _NARROW and len(images) % _BESIDE == 0
    )


def _beside(images: Tensor) -> Tensor:
    """B C H W -> B/4 C H 4(W+1): four beside each other, each with a column of zeros at its right."""
    batch, channels, height, width = images.shape
    lines = images.new_zeros(batch // _BESIDE, height, _BESIDE, width + 1, channels)
    lines[:, :, :, :width] = images.permute(0, 2, 3, 1).reshape(-1, _BESIDE, height, width, channels).transpose(1, 2)
    return lines.flatten(2, 3).permute(0, 3, 1, 2)


def _gradients(gradient: Tensor, images: Tensor, weight: Tensor, how: Any, wanted: tuple[bool, bool, bool]) -> Any:
    """Torch's own, with respect to images, weight and bias."""
    stride, padding, dilation, groups = how
    return torch.ops.aten.convolution_backward(
        gradient, images, weight, weight.shape[:1], stride, padding, dilation, False, (0, 0), groups, wanted
    )

"""A numeric self-test of bfloat16 convolutions on the CPU: some oneDNN kernels have returned garbage without a word.

Met on a CPU with AMX: 8 or 12 input channels with an 8x8 kernel. No network here has such a layer, but differentiating a
3x3 convolution twice does: the gradient of a gradient penalty is a convolution whose channels are the images of the
batch and whose kernel is the feature map. So R1 and R2 go wrong at micro-batches of 8 and 12, not at 16 or more.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

# bfloat16 keeps 8 bits: sound results are 0.003 off, the garbage that has been seen 1.1.
TOLERANCE = 0.05


def bf16_convolution_errors() -> dict[str, float]:
    """Relative errors (Euclidean norms) of bfloat16 against float32 by what was computed; above `TOLERANCE` is wrong.

    Takes a tenth of a second and leaves torch's random state alone.
    """
    random = torch.Generator().manual_seed(0)
    errors = {}
    for channels in (8, 12):
        image = torch.randn(4, channels, 16, 16, generator=random)
        kernel = torch.randn(16, channels, 8, 8, generator=random)
        result = F.conv2d(image.bfloat16(), kernel.bfloat16())
        errors[f"conv2d with {channels} channels and an 8x8 kernel"] = _error(result, F.conv2d(image, kernel))
    for batch in (8, 12):
        images = torch.randn(batch, 3, 8, 8, generator=random)
        weights = [torch.randn(shape, generator=random) / 5 for shape in ((16, 3, 3, 3), (16, 16, 3, 3))]
        errors[f"R1 gradient at batch {batch}"] = max(
            _error(rough, exact)
            for rough, exact in zip(
                _penalty_gradients(images, weights, True), _penalty_gradients(images, weights, False), strict=True
            )
        )
    return errors


def _penalty_gradients(images: torch.Tensor, weights: list[torch.Tensor], bf16: bool) -> list[torch.Tensor]:
    """Gradients by `weights` of the squared gradient by `images` of a small discriminator with 8x8 feature maps."""
    images = images.clone().requires_grad_()
    weights = [weight.clone().requires_grad_() for weight in weights]
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        hidden = F.softplus(F.conv2d(images, weights[0], padding=1))
        logits = F.softplus(F.conv2d(hidden, weights[1], padding=1)).float().sum((1, 2, 3))
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return list(torch.autograd.grad(gradient.square().sum(), weights))


def _error(result: torch.Tensor, expected: torch.Tensor) -> float:
    """|result - expected| / |expected|; infinite if the result is not finite."""
    error = float((result.float() - expected.float()).norm() / expected.float().norm())
    return error if error == error else float("inf")

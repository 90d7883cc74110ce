"""Muon: momentum whose matrices are made orthogonal, so that no direction of a kernel learns faster than another.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; scaled to the size of AdamW's updates as in
Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2 (arXiv 2502.16982), so that a rate tuned for AdamW serves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch import nn

__all__: list[str] = []

# Quintic Newton-Schulz iteration of Jordan et al. 2024: drives singular values to about 1, fastest from small ones.
_COEFFICIENTS, _ITERATIONS = (3.4445, -4.7750, 2.0315), 5
# The mean square of AdamW's updates in practice (Liu et al. 2025, equation 4).
_SIZE = 0.2


class Muon(torch.optim.Optimizer):
    """Muon for the kernels inside `network`, AdamW for all else: its first and last parts, biases, slopes and norms.

    Kernels out in kh kw count as matrices out (in kh kw). The first and last of the network's children with kernels, usually
    its head and tail, map to and from pixels, where directions are not alike; they and what has fewer than two dimensions
    stay with AdamW.
    """

    def __init__(
        self,
        network: nn.Module,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        inside = hidden_kernels(network)
        chosen = {id(kernel) for kernel in inside}
        others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
        shared = {"lr": lr, "betas": betas, "eps": eps, "momentum": momentum, "weight_decay": weight_decay}
        groups: list[dict[str, Any]] = [
            {"params": inside, "orthogonal": True},
            {"params": others, "orthogonal": False},
        ]
        super().__init__([group for group in groups if group["params"]], shared)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            if group["orthogonal"]:
                self._orthogonal(parameters, group)
            else:
                self._adam(parameters, group)

    def _orthogonal(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        averages = [self._moment(parameter, "momentum") for parameter in parameters]
        gradients = _gradients(parameters)
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        # Nesterov's look ahead.
        updates = torch._foreach_lerp(gradients, averages, group["momentum"])
        # Matrices of one shape in one batch: dozens of small products would be mostly overhead.
        alike: dict[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor]]] = defaultdict(list)
        for parameter, update in zip(parameters, updates, strict=True):
            matrix = update.reshape(len(update), -1)
            alike[matrix.shape[0], matrix.shape[1]].append((parameter, matrix))
        for shape, members in alike.items():
            rotations = orthogonalized(torch.stack([matrix for _, matrix in members]))
            size = _SIZE * math.sqrt(max(shape))
            for (parameter, _), rotation in zip(members, rotations, strict=True):
                parameter.add_(rotation.reshape(parameter.shape), alpha=-group["lr"] * size)

    def _adam(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        """Adam (Kingma and Ba 2015, algorithm 1); the weights' decay was taken off before."""
        gradients = _gradients(parameters)
        means = [self._moment(parameter, "mean") for parameter in parameters]
        squares = [self._moment(parameter, "square") for parameter in parameters]
        group["steps"] = group.get("steps", 0) + 1
        for moments, beta, values in (
            (means, group["betas"][0], gradients),
            (squares, group["betas"][1], torch._foreach_mul(gradients, gradients)),
        ):
            torch._foreach_lerp_(moments, list(values), 1 - beta)
        first, second = (1 - beta ** group["steps"] for beta in group["betas"])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, math.sqrt(second))
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(parameters, means, roots, -group["lr"] / first)

    def _moment(self, parameter: torch.Tensor, name: str) -> torch.Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        moment: torch.Tensor = state[name]
        return moment


def _gradients(parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def hidden_kernels(network: nn.Module) -> list[nn.Parameter]:
    """Parameters of two and more dimensions inside the network: not of the first or last child that has any."""
    children = [[p for p in child.parameters() if p.ndim >= 2] for child in network.children()]
    return [kernel for kernels in [kernels for kernels in children if kernels][1:-1] for kernel in kernels]


def orthogonalized(matrices: torch.Tensor) -> torch.Tensor:
    """B m n -> B m n: each matrix with its singular values brought near 1 (0.7 to 1.2), its singular vectors kept."""
    a, b, c = _COEFFICIENTS
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-12)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(torch.baddbmm(x, square, x, beta=a, alpha=b), square @ square, x, alpha=c)
    return x.mT if tall else x

"""The outcome of an evaluation: one row per image, means over them, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """One image. PSNR in dB, infinite when the model reproduced it exactly; `seconds` of the network alone."""

    name: str
    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    seconds: float

    def to_json(self) -> str:
        """One line; an infinite PSNR, which JSON cannot hold, is null."""
        return json.dumps(_finite(dataclasses.asdict(self)), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Failure:
    """An image that could not be evaluated, and why."""

    name: str
    error: str

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)


@dataclass(frozen=True)
class Report:
    """A model on a data set. The means leave infinite values out; `infinite` counts the images they stem from."""

    model: str
    data: str
    scale: int
    protocol: str  # which PSNR is the headline: "y" or "rgb"
    results: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def psnr_y(self) -> float:
        """Mean PSNR on luma in dB; infinite when every image was reproduced exactly."""
        return _mean(result.psnr_y for result in self.results)

    @property
    def psnr_rgb(self) -> float:
        """Mean PSNR over all channels in dB."""
        return _mean(result.psnr_rgb for result in self.results)

    @property
    def psnr(self) -> float:
        """The mean PSNR that the protocol asks for."""
        return self.psnr_y if self.protocol == "y" else self.psnr_rgb

    @property
    def ssim_y(self) -> float:
        """Mean structural similarity on luma."""
        return _mean(result.ssim_y for result in self.results)

    @property
    def seconds(self) -> float:
        """Mean seconds that the network took for an image."""
        return _mean(result.seconds for result in self.results)

    @property
    def infinite(self) -> int:
        """How many images were reproduced exactly and are therefore missing from the mean PSNR."""
        return sum(math.isinf(result.psnr_y) for result in self.results)

    def summary(self) -> dict[str, Any]:
        """The means and what they were measured on, ready for JSON."""
        return _finite(
            {
                "summary": True,
                "model": self.model,
                "data": self.data,
                "scale": self.scale,
                "protocol": self.protocol,
                "n": len(self.results),
                "failed": len(self.failures),
                "infinite": self.infinite,
                "psnr_y": self.psnr_y,
                "psnr_rgb": self.psnr_rgb,
                "ssim_y": self.ssim_y,
                "seconds": self.seconds,
            }
        )

    def to_json(self) -> str:
        """The whole report as one JSON document: the summary with `images` and `failures`."""
        facts = {
            "images": [_finite(dataclasses.asdict(result)) for result in self.results],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
        }
        return json.dumps({**self.summary(), **facts}, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return math.inf if values else math.nan
    return math.fsum(finite) / len(finite)


def _finite(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in facts.items()
    }

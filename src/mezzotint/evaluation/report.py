"""The outcome of an evaluation: one row per image, means over them, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mezzotint.evaluation import known_sets


@dataclass(frozen=True)
class Result:
    """One image. PSNR in dB, infinite when the model reproduced it exactly; `psnr_lr` of the result reduced again against
    what went in; `seconds` of the network alone; `lpips_squeeze` and `seed` only where they were asked for.
    """

    name: str
    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    psnr_lr: float
    seconds: float
    height: int  # of what was compared
    width: int
    lpips_squeeze: float | None = None
    seed: int | None = None  # of the random numbers that degraded it

    def facts(self) -> dict[str, Any]:
        """Ready for JSON: an infinite PSNR, which JSON cannot hold, is null; what was not measured is absent."""
        return _finite({key: value for key, value in dataclasses.asdict(self).items() if value is not None})

    def to_json(self) -> str:
        """The facts as one line."""
        return json.dumps(self.facts(), ensure_ascii=False, allow_nan=False)


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
    lpips_files: dict[str, Any] = field(default_factory=dict)  # what LPIPS was computed with; empty: not computed
    degradation: dict[str, Any] = field(default_factory=dict)  # what made the low resolution; empty: MATLAB's, or DATA

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
    def psnr_lr(self) -> float:
        """Mean consistency with the low resolution in dB."""
        return _mean(result.psnr_lr for result in self.results)

    @property
    def seconds(self) -> float:
        """Mean seconds that the network took for an image."""
        return _mean(result.seconds for result in self.results)

    @property
    def lpips_squeeze(self) -> float | None:
        """Mean LPIPS v0.1 with SqueezeNet, on RGB and without a border cut; None where it was not asked for."""
        if not self.lpips_files:
            return None
        return _mean(result.lpips_squeeze for result in self.results if result.lpips_squeeze is not None)

    @property
    def infinite(self) -> int:
        """How many images were reproduced exactly and are therefore missing from the mean PSNR."""
        return sum(math.isinf(result.psnr_y) for result in self.results)

    @property
    def remark(self) -> str:
        """How data and protocol compare with the papers', where the data are a set of theirs; "" elsewhere."""
        if self.degradation or self.failures:
            return ""
        pixels = sum(result.height * result.width for result in self.results)
        return known_sets.remark(self.model, self.data, self.scale, len(self.results), pixels, self.psnr_y)

    def summary(self) -> dict[str, Any]:
        """The means and what they were measured on, ready for JSON."""
        perceptual = {"lpips_squeeze": self.lpips_squeeze, "lpips_files": self.lpips_files} if self.lpips_files else {}
        more = {"degradation": self.degradation, "remark": self.remark}
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
                "psnr_lr": self.psnr_lr,
                "seconds": self.seconds,
                **perceptual,
                **{key: value for key, value in more.items() if value},
            }
        )

    def to_json(self) -> str:
        """The whole report as one JSON document: the summary with `images` and `failures`."""
        facts = {
            "images": [result.facts() for result in self.results],
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

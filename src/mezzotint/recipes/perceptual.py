"""What a recipe says of a perceptual loss: whose features, of which layers, compared how.

perceptual = { weight = 0.1 }                                         # the shipped compact-x4, no file needed
perceptual = { network = "squeezenet1_1", file = "squeezenet1_1.safetensors", heads = "heads.safetensors" }
perceptual = { network = "vgg19", file = "vgg19-dcbb9e9d.pth", layers = { conv5_4 = 1.0 }, criterion = "l1" }
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from mezzotint.models.feature_files import LPIPS_LAYERS
from mezzotint.models.features import SqueezeNet11
from mezzotint.models.vgg import VGG19

# The layers of each network, and those that are compared when a recipe names none.
LAYERS: dict[str, Iterable[str]] = {
    "compact-x4": ("head", "block1", "block2", "block3", "block4", "block5"),
    "squeezenet1_1": SqueezeNet11.layers,
    "vgg19": VGG19.layers,
}
_USUAL: dict[str, Iterable[str]] = {
    "compact-x4": ("head", "block1", "block2"),
    "squeezenet1_1": ("relu1", "fire3", "fire5"),  # of places that see texture rather than objects
    "vgg19": (
        "conv1_2",
        "conv2_2",
        "conv3_4",
        "conv4_4",
        "conv5_4",
    ),  # Real-ESRGAN, section 3.3 and its released options
}


class Perceptual(BaseModel):
    """`weight` times the sum over `layers` of their weights times the distance of their features.

    `normalized`: only the direction of each place's vector counts, as in LPIPS, so layers are comparable whatever their
    scale. `heads`: LPIPS v0.1's weights for SqueezeNet's channels, which make the sum LPIPS itself (then normalised and
    squared, as LPIPS is).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    network: Literal["compact-x4", "squeezenet1_1", "vgg19"] = "compact-x4"
    file: str | None = None
    heads: str | None = None
    layers: dict[str, PositiveFloat] = {}
    criterion: Literal["l1", "l2"] = "l2"
    normalized: bool = True
    weight: Annotated[float, Field(ge=0)] = 1.0

    @model_validator(mode="after")
    def _agrees(self) -> Perceptual:
        wrong = []
        known = list(LPIPS_LAYERS if self.heads else LAYERS[self.network])
        unknown = [layer for layer in self.layers if layer not in known]
        if unknown:
            whose = "LPIPS" if self.heads else self.network
            wrong.append(f"{whose} has no layers {', '.join(unknown)}; there are {', '.join(known)}")
        if self.network == "compact-x4" and self.file:
            wrong.append("file belongs to network squeezenet1_1 or vgg19; compact-x4 comes with mezzotint")
        if self.network != "compact-x4" and not self.file:
            wrong.append(f"network {self.network} needs its weights, file = PATH; without a file there is compact-x4")
        if self.heads and (self.network != "squeezenet1_1" or self.criterion != "l2" or not self.normalized):
            wrong.append("heads are for the normalised squared differences (l2) of squeezenet1_1")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def chosen(self) -> dict[str, float]:
        """The layers that are compared, and their weights."""
        return self.layers or dict.fromkeys(LPIPS_LAYERS if self.heads else _USUAL[self.network], 1.0)

"""A network as ONNX the way torch's exporter writes it, without what mezzotint's own export adds."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import torch
from torch import nn


def write_plain(network: nn.Module, path: Path, height: int, width: int) -> None:
    """Write `network` for inputs 1 C `height` `width` to `path`: one size, which every runtime can read."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is not there
    lr = torch.zeros(1, network.in_channels, height, width)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (lr,),
            path,
            input_names=["lr"],
            output_names=["sr"],
            opset_version=18,
            dynamo=True,
            external_data=False,
            verbose=False,
        )

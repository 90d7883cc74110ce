"""ONNX export that proves itself: the file is run at other sizes and compared with torch before it gets its name."""

from __future__ import annotations

import copy
import importlib.util
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mezzotint import catalog, files
from mezzotint.card import GENERATION, KEY, Card
from mezzotint.errors import ModelError, UsageError, missing_extra
from mezzotint.export.output import check_output
from mezzotint.export.rewrites import rewritten
from mezzotint.models import foreign_weights, weights

# The exporter's native one, so nothing is converted; OpenVINO and ONNX Runtime have read it since 2023.
OPSET = 18
TOLERANCE = 1e-4


def export(source: str | Path, output: str | Path, *, overwrite: bool = False, **foreign: Any) -> Path:
    """Write the `.onnx` of a `.safetensors` file, a finished run folder or a shipped model; returns its path.

    `source` may also be weights of others (`models/foreign_weights.py`), for which `foreign` has the options `name`,
    `licence` and `scale`; their `output` may be a `.safetensors` file, to train on from.

    Raises `UsageError` (also if `output` exists and `overwrite` is not given), `InputError`, `ModelError` (damaged weights,
    or an export that computes something else) and `OutputError`.
    """
    if foreign_weights.is_foreign(source):
        return _export_foreign(source, Path(output), overwrite, foreign)
    if given := [key for key, value in foreign.items() if value]:
        raise UsageError(f"{source} has a card of its own, which says its {given[0]}")
    path = catalog.find(source, catalog.TRAINED)
    if path is None:
        raise UsageError(f"'{source}' is built in and has no weights to export")
    check_output(Path(output), overwrite)
    return export_network(*weights.load(path), output, overwrite=overwrite)


def export_network(network: nn.Module, card: Card, output: str | Path, *, overwrite: bool = False) -> Path:
    """Write the `.onnx` of a network in memory, which stays as it is; the card counts the deployed form.

    Inputs and outputs: `lr` -> `sr`, B C H W, or `z` (, `labels`) -> `images`; batch and sides of any size. Equal weights
    and cards give equal bytes. Raises `ModelError` if the file's results differ from torch's by more than 1e-4, and as
    `export`.
    """
    output = Path(output)
    check_output(output, overwrite)
    reference = copy.deepcopy(network).cpu().float().eval()
    deployed = weights.deployed(reference)
    card = weights.counted(deployed, card)
    data = _onnx(rewritten(deployed), card)
    _verify(data, reference, card, output)
    files.write_bytes(output, data, overwrite=overwrite)
    return output


def _export_foreign(source: str | Path, output: Path, overwrite: bool, options: dict[str, Any]) -> Path:
    """The same for weights of others."""
    check_output(output, overwrite, (catalog.DEPLOYED, catalog.TRAINED))
    network, card = foreign_weights.load(source, **options)
    if output.suffix == catalog.DEPLOYED:
        return export_network(network, card, output, overwrite=overwrite)
    weights.save(network, card, output, overwrite=overwrite)
    return output


def _onnx(network: nn.Module, card: Card) -> bytes:
    """The bytes of the ONNX file.

    Of torch's two exporters the newer one (dynamo) is slower, 2 to 7 s against 0.1 to 0.4, but leaves the simpler graph: of
    Compact 30 operations of 8 kinds against 58 of 15, all padding sizes already numbers, batch norms inside convolutions;
    and the older one is deprecated. The weights' bytes are the same.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  what torch's exporter needs
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "onnx", "train") from error

    inputs = sample_inputs(card, batch=2, height=24, width=28)
    batch = torch.export.Dim("batch")
    if card.task == GENERATION:
        names, output = ["z", "labels"][: len(inputs)], "images"
    else:
        names, output = ["lr"], "sr"
    sides = {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    shapes = [{0: batch, **(sides if array.ndim == 4 else {})} for array in inputs]
    with _silence(), _refusals(network):
        program = torch.onnx.export(
            network,
            tuple(torch.from_numpy(array) for array in inputs),
            input_names=names,
            output_names=[output],
            dynamic_shapes=tuple(shapes),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    onnx.helper.set_model_props(model, {KEY: card.to_json()})
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _strip(model: Any) -> None:
    """Remove what torch notes about itself: stack traces with paths of this machine, scopes, inferred shapes.

    They would double a small file, and equal weights would give unequal bytes elsewhere.
    """
    graph = model.graph
    model.producer_name, model.producer_version, graph.name = KEY, "", KEY
    for entry in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        entry.doc_string = ""
        del entry.metadata_props[:]
    for entry in (model.metadata_props, graph.metadata_props, graph.value_info):
        del entry[:]
    for node in graph.node:
        node.name = ""


def sample_inputs(card: Card, batch: int, height: int, width: int) -> list[np.ndarray]:
    """Random inputs, the same each time: `lr` B C H W, or `z` B latent_shape and, for a conditional one, `labels` B.

    An image of noise may have any height and width, too.
    """
    random = np.random.default_rng(0)
    if card.task == GENERATION:
        shape = (card.latent_shape[0], height, width) if len(card.latent_shape) == 3 else card.latent_shape
        z = random.standard_normal((batch, *shape), dtype=np.float32)
        labels = random.integers(0, len(card.labels) or 1, batch)
        return [z, labels] if card.labels else [z]
    return [random.random((batch, card.in_channels, height, width), dtype=np.float32)]


def _verify(data: bytes, reference: nn.Module, card: Card, output: Path) -> None:
    """Run the file at other batches and sides than it was exported with and compare with `reference`."""
    from mezzotint.runtimes import onnx, openvino

    runtime = onnx if importlib.util.find_spec("onnxruntime") else openvino
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        model = runtime.load(path, card, "f32", torch.get_num_threads())
        for batch, height, width in ((1, 37, 21), (3, 16, 31)):
            inputs = sample_inputs(card, batch, height, width)
            with torch.inference_mode():
                expected = reference(*(torch.from_numpy(array) for array in inputs)).numpy()
            try:
                result = model(*inputs)
            except Exception as error:  # each runtime has its own
                raise ModelError(f"{output} was not written: {_first_line(error)}") from error
            if result.shape != expected.shape:
                shapes = f"{list(result.shape)} instead of {list(expected.shape)}"
                raise ModelError(f"{output} was not written: the exported network gives shape {shapes}")
            difference = float(np.max(np.abs(result - expected))) / max(1.0, float(np.max(np.abs(expected))))
            if not difference < TOLERANCE:  # also true for NaN
                raise ModelError(f"{output} was not written: the exported network is {difference:.2g} off")


@contextmanager
def _refusals(network: nn.Module) -> Iterator[None]:
    """The exporter's many exceptions, long as pages, as one of ours; `--debug` shows the whole."""
    try:
        yield
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ModelError(f"{type(network).__name__} cannot be exported ({_first_line(cause)})") from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def _silence() -> Iterator[None]:
    """No warnings, log lines or progress from torch's exporter; its failures arrive as exceptions."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)

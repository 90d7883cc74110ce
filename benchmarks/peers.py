"""The tools that `bench_peers.py` compares, each as its users run it, and the process that each one lives in.

    python benchmarks/peers.py NAME FOLDER THREADS

FOLDER holds the weights in the forms that tools read (network.safetensors; network.onnx, mezzotint's export; plain.onnx,
torch's) and picture.npy. The process loads, makes the picture once, saves it as NAME.npy, says "ready", and then makes it
again for each line it reads, answering with the seconds of wall and of CPU time that took.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# H W 3 uint8 -> sH sW 3 uint8
Upscale = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Peer:
    """One way to enlarge a picture; `package` is what has to be installed for it."""

    load: Callable[[Path, int], Upscale]
    package: str
    description: str


def torch_eager(folder: Path, threads: int, channels_last: bool = False) -> Upscale:
    """As the inference scripts of BasicSR and Real-ESRGAN do."""
    import torch

    from mezzotint.models import weights

    torch.set_num_threads(threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = weights.deployed(weights.load(folder / "network.safetensors")[0]).eval().to(memory_format=layout)

    def upscale(picture: np.ndarray) -> np.ndarray:
        lr = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous(memory_format=layout)
        with torch.no_grad():
            sr = network(lr)
        return (sr[0].clamp_(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)

    return upscale


def torch_channels_last(folder: Path, threads: int) -> Upscale:
    return torch_eager(folder, threads, channels_last=True)


def onnx_runtime(folder: Path, threads: int) -> Upscale:
    """The file that torch exports, with the settings that one gets."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "plain.onnx", options, providers=["CPUExecutionProvider"])
    return lambda picture: _image(session.run(None, {"lr": _blob(picture)})[0])


def opencv(folder: Path, threads: int) -> Upscale:
    import cv2

    cv2.setNumThreads(threads)
    network = cv2.dnn.readNetFromONNX(str(folder / "plain.onnx"))

    def upscale(picture: np.ndarray) -> np.ndarray:
        network.setInput(_blob(picture))
        return _image(network.forward())

    return upscale


def ncnn(folder: Path, threads: int) -> Upscale:
    """Converted by pnnx, in float32."""
    import ncnn
    import pnnx

    shape = ",".join(map(str, _blob(np.load(folder / "picture.npy")).shape))
    command = [pnnx.EXEC_PATH, "plain.onnx", f"inputshape=[{shape}]f32", "fp16=0"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    network = ncnn.Net()
    network.opt.num_threads, network.opt.use_vulkan_compute = threads, False
    network.load_param(str(folder / "plain.ncnn.param"))
    network.load_model(str(folder / "plain.ncnn.bin"))

    def upscale(picture: np.ndarray) -> np.ndarray:
        extractor = network.create_extractor()
        lr = ncnn.Mat(_blob(picture)[0])
        extractor.input("in0", lr)
        return _image(np.asarray(extractor.extract("out0")[1])[None])

    return upscale


def mezzotint(folder: Path, threads: int, precision: str = "auto", runtime: str = "auto") -> Any:
    import mezzotint

    return mezzotint.load(folder / "network.onnx", runtime, precision, threads)


def mezzotint_f32(folder: Path, threads: int) -> Upscale:
    if mezzotint(folder, threads).model.precision == "f32":
        raise ValueError("f32 is mezzotint's default precision on this machine")
    return mezzotint(folder, threads, "f32")


def mezzotint_int8(folder: Path, threads: int) -> Upscale:
    return mezzotint(folder, threads, "int8")


def mezzotint_onnx(folder: Path, threads: int) -> Upscale:
    return mezzotint(folder, threads, runtime="onnx")


def lanczos(folder: Path, threads: int) -> Upscale:
    from PIL import Image

    scale = json.loads((folder / "facts.json").read_text(encoding="utf-8"))["scale"]

    def upscale(picture: np.ndarray) -> np.ndarray:
        image = Image.fromarray(picture)
        return np.asarray(image.resize((image.width * scale, image.height * scale), Image.Resampling.LANCZOS))

    return upscale


PEERS = {
    "torch": Peer(torch_eager, "torch", "PyTorch eager, float32, NCHW, as BasicSR and Real-ESRGAN run"),
    "torch-channels-last": Peer(torch_channels_last, "torch", "PyTorch eager, float32, channels_last"),
    "onnxruntime": Peer(onnx_runtime, "onnxruntime", "ONNX Runtime, float32, the file that torch exports"),
    "opencv": Peer(opencv, "opencv-python-headless", "OpenCV dnn, float32, the file that torch exports"),
    "ncnn": Peer(ncnn, "ncnn", "ncnn on the CPU, float32, converted by pnnx"),
    "mezzotint": Peer(mezzotint, "mezzotint", "mezzotint with its defaults: OpenVINO, the precision that is safe here"),
    "mezzotint-f32": Peer(mezzotint_f32, "mezzotint", "mezzotint, OpenVINO, float32"),
    "mezzotint-int8": Peer(mezzotint_int8, "mezzotint", "mezzotint, OpenVINO, the model's int8 file"),
    "mezzotint-onnx": Peer(mezzotint_onnx, "mezzotint", "mezzotint, ONNX Runtime, float32"),
    "lanczos": Peer(lanczos, "pillow", "Pillow's Lanczos: the floor"),
}


def version(name: str) -> str:
    """Of the package behind a peer, such as "torch 2.13.0"."""
    return f"{PEERS[name].package} {importlib.metadata.version(PEERS[name].package)}"


def _blob(picture: np.ndarray) -> np.ndarray:
    """H W 3 uint8 -> 1 3 H W float32, 0 to 1."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)


def _image(sr: np.ndarray) -> np.ndarray:
    """1 3 H W float, 0 to 1 -> H W 3 uint8."""
    return (np.clip(sr[0], 0, 1).transpose(1, 2, 0) * 255).round().astype(np.uint8)


def main() -> None:
    # What libraries print must not fall between the answers.
    answers: Any = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    picture = np.load(folder / "picture.npy")
    try:
        upscale = PEERS[name].load(folder, threads)
        np.save(folder / f"{name}.npy", upscale(picture))
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed", file=answers)
        return
    except Exception as error:  # each tool has its own; the others go on
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", file=answers)
        return
    print("ready", file=answers)
    for _ in sys.stdin:
        start, start_cpu = time.perf_counter(), time.process_time()
        upscale(picture)
        print(time.perf_counter() - start, time.process_time() - start_cpu, file=answers)


if __name__ == "__main__":
    main()

"""mezzotint: generate images with GANs and super-resolve them; train, evaluate, choose, run, deploy, trust.

Everything here is imported when first used, so `import mezzotint` loads neither torch nor OpenVINO.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_API = {
    "upscale": "mezzotint.pipelines.upscale",
    "generate": "mezzotint.pipelines.generate",
    "load": "mezzotint.pipelines",
    "models": "mezzotint.catalog",
    "train": "mezzotint.training.run",
    "project": "mezzotint.training.projection",
    "evaluate": "mezzotint.evaluation",
    "evaluate_generator": "mezzotint.evaluation",
    "export": "mezzotint.export",
    "interpolate": "mezzotint.export.interpolation",
}
__all__ = [
    "__version__",
    "evaluate",
    "evaluate_generator",
    "export",
    "generate",
    "interpolate",
    "load",
    "models",
    "project",
    "train",
    "upscale",
]

if TYPE_CHECKING:
    from mezzotint.catalog import names as models
    from mezzotint.evaluation import evaluate, evaluate_generator
    from mezzotint.export import export
    from mezzotint.export.interpolation import interpolate
    from mezzotint.pipelines import load
    from mezzotint.pipelines.generate import generate
    from mezzotint.pipelines.upscale import upscale
    from mezzotint.training.projection import project
    from mezzotint.training.run import train


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module 'mezzotint' has no attribute '{name}'")
    module = importlib.import_module(_API[name])
    return module.names if name == "models" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Export: the bridge from research (torch) to deployment (ONNX)."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def export(source: str | Path, output: str | Path, *, overwrite: bool = False, **foreign: Any) -> Path:
    """Write the verified `.onnx` of a `.safetensors` file, a run folder, a shipped model or weights of others; see
    `export.onnx.export`.
    """
    from mezzotint.export import onnx

    return onnx.export(source, output, overwrite=overwrite, **foreign)


class _CallableModule(ModuleType):
    """Python binds this package to the name `mezzotint.export`, which is also the public function: let it be both."""

    def __call__(self, *arguments: Any, **options: Any) -> Path:
        return export(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule

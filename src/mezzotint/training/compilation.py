"""The generator's forward and backward as machine code made for its shapes, where that pays (`compile = true` in a recipe).

Only the training steps run compiled. The average, which is validated and shipped, is a module of its own and stays as it
was, as does the discriminator: penalties differentiate it twice, which compiled code cannot be.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from mezzotint.errors import UsageError

_COMPILER = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")


@contextmanager
def compiled(generator: nn.Module, wanted: bool) -> Iterator[None]:
    """Within, `generator` runs compiled if `wanted`: once for each size of batch, tens of seconds at the first step of each.

    Raises `UsageError` where there is no C++ compiler, or one that fails.
    """
    if not wanted:
        yield
        return
    compiler = os.environ.get("CXX", _COMPILER)
    if shutil.which(compiler) is None:
        raise UsageError(
            f"compile = true needs a C++ compiler and there is no {compiler}; install it or set compile=false"
        )
    from torch._dynamo.exc import TorchDynamoException

    generator.compile(dynamic=False)
    try:
        yield
    except TorchDynamoException as error:
        why = " ".join(str(error).split())[:300]
        raise UsageError(f"the generator cannot be compiled here ({why}); set compile=false") from error

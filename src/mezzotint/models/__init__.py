"""Networks, one per file, each opening with its paper. `__all__` names what recipes and cards may refer to."""

from __future__ import annotations

import sys
from types import ModuleType


class _CallableModule(ModuleType):
    """Python binds this package to the name `mezzotint.models`, which is also the public function: let it be both."""

    def __call__(self) -> list[str]:
        """Names of all models that work without a download, sorted."""
        from mezzotint import catalog

        return catalog.names()


sys.modules[__name__].__class__ = _CallableModule

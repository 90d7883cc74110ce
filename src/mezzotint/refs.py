"""Names in recipes and cards are import paths: `"srresnet.SRResNet"` below `mezzotint.models`. There is no registry."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Any

from mezzotint.errors import UsageError

_REFERENCE = re.compile(r"[a-z_][a-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")


def resolve(reference: str, folder: str) -> Any:
    """Return the object that `reference` ("module.name") names in `mezzotint.<folder>`.

    Only public names defined in that very module count, so a reference can reach nothing but our own networks, losses
    and methods. Raises `UsageError` naming the choices.
    """
    if not _REFERENCE.fullmatch(reference):
        raise UsageError(f"'{reference}' is not a reference of the form module.Name in mezzotint.{folder}")
    module_name, name = reference.split(".")
    if module_name not in modules(folder):
        raise UsageError(f"mezzotint.{folder} has no module '{module_name}'; it has {', '.join(modules(folder))}")
    module = importlib.import_module(f"mezzotint.{folder}.{module_name}")
    if name not in public(module):
        raise UsageError(
            f"mezzotint.{folder}.{module_name} has no '{name}'; it has {', '.join(public(module)) or 'nothing to refer to'}"
        )
    return getattr(module, name)


def modules(folder: str) -> list[str]:
    """Names of the modules of `mezzotint.<folder>`, sorted."""
    package = importlib.import_module(f"mezzotint.{folder}")
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__))


def public(module: Any) -> list[str]:
    """The names a module declares in `__all__`: what a recipe may refer to."""
    return sorted(getattr(module, "__all__", ()))

"""The command line: one file per command in this folder, imported when called."""

from __future__ import annotations

import importlib
import io
import pkgutil
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from mezzotint import __version__
from mezzotint.errors import MezzotintError, missing_extra


class _Commands(TyperGroup):
    """Finds commands by being files in this folder: `upscale.py` defines `upscale`, whose docstring is its help."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))

    def get_command(self, ctx: Any, name: str) -> Any:
        if name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"mezzotint.cli.{name}")
        # A module with sub-commands brings its own app; every other one is a single function named like its file.
        app = getattr(module, "app", None) or typer.Typer(add_completion=False, rich_markup_mode=None)
        if not hasattr(module, "app"):
            app.command(name=name)(getattr(module, name))
        command: Any = typer.main.get_command(app)
        command.name = name
        return command


app = typer.Typer(cls=_Commands, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks instead of one-line errors."),
) -> None:
    """Generate images with GANs and super-resolve them: train, evaluate, choose, run, deploy, trust."""
    if version:
        typer.echo(f"mezzotint {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Entry point: runs a command and ends the process with the documented exit code, one line per error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Names of files may hold what the terminal's encoding does not: that is no reason to end.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    # --debug may stand anywhere: people add it to the end of the line that has just failed.
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app(arguments, standalone_mode=True)
    except MezzotintError as error:
        _fail(error, str(error), error.exit_code, debug)
    except ModuleNotFoundError as error:
        extra = {
            "torch": "train",
            "safetensors": "train",
            "onnx": "train",
            "onnxscript": "train",
            "onnxruntime": "onnx",
            "ray": "cluster",
            "pyarrow": "cluster",
            "pandas": "cluster",
        }
        package = (error.name or "").partition(".")[0]
        if package not in extra:
            raise
        hint = missing_extra(package, extra[package])
        _fail(error, str(hint), hint.exit_code, debug)
    except MemoryError as error:
        _fail(error, "not enough memory for this work", 4, debug)


def _fail(error: BaseException, message: str, exit_code: int, debug: bool) -> None:
    if debug:
        raise error
    print(f"mezzotint: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(exit_code)

"""The house rules, read from the source: who may import whom, what is never used, and what loads when."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import mezzotint

ROOT = Path(mezzotint.__file__).parent

# What each package or module may import of mezzotint, in functions as well as at the top. A longer name has its own rule
# in place of its package's. Everything may import its own package. "mezzotint" alone is the version.
ERRORS = {"errors"}
CORE = ERRORS | {"card", "catalog", "files", "hardware", "onnx_files", "refs", "tensors"}
LAYERS = {
    # The ground floor.
    "errors": set(),
    "hardware": set(),
    "files": ERRORS,
    "refs": ERRORS,
    "tensors": ERRORS,
    "pickled": set(),
    "torch_files": ERRORS | {"pickled", "tensors"},
    "onnx_files": ERRORS,
    "card": ERRORS | {"tensors"},
    "catalog": ERRORS | {"card"},
    "image": ERRORS | {"files"},
    # Research: never imports upwards.
    "models": ERRORS | {"catalog"},  # the package is also the public function that lists names
    "models.weights": ERRORS | {"card", "files", "refs", "tensors", "models"},
    "models.feature_files": ERRORS | {"tensors", "models"},
    "models.foreign_weights": ERRORS | {"card", "tensors", "torch_files", "models"},
    "losses": ERRORS | {"image"},
    "metrics": ERRORS | {"image"},
    "data": ERRORS | {"image"},
    "recipes": CORE | {"models", "losses"},
    # A run ends with the export of its weights.
    "training": CORE | {"recipes", "models", "losses", "metrics", "data", "image", "export", "mezzotint"},
    # A fit of the noise to a picture: gradients here, images and PSNR as `generate` would give them.
    "training.projection": CORE
    | {"models.weights", "models.feature_files", "models.features", "losses", "metrics", "data"}
    | {"pipelines.generate", "runtimes.pytorch", "training.schedules"},
    # A recipe for pictures and a machine: a look at both, and arithmetic.
    "training.auto": CORE | {"advisor.ladder", "advisor.plan", "data.survey", "recipes", "training"},
    # Deployment.
    "runtimes": CORE | {"image"},
    "runtimes.pytorch": CORE | {"models.weights"},
    "pipelines": CORE | {"image", "runtimes", "mezzotint"},
    "export": CORE | {"models.weights", "models.foreign_weights", "runtimes", "mezzotint"},
    "advisor": CORE | {"image", "runtimes", "pipelines"},
    # Arithmetic: from facts about pictures to a recipe.
    "advisor.ladder": {"data.survey"},
    "advisor.plan": ERRORS | {"data.survey", "advisor.ladder"},
    "evaluation": CORE | {"data", "image", "metrics", "recipes", "runtimes", "pipelines", "models.feature_files"},
    "evaluation.features": ERRORS | {"metrics", "models.features", "models.feature_files", "models.inception"},
    # The door.
    "cli": None,
    "mezzotint": None,
    "__main__": {"cli"},
}

# Packages from outside that each may import; the standard library is everyone's.
OUTSIDE = {
    "image": {"numpy", "PIL"},
    "image.heic": {"numpy", "pillow_heif"},
    "image.resize": {"numpy", "torch"},  # torch for tensors alone, inside a function
    "image.video": {"numpy", "av"},  # the latter inside functions
    "image.film": {"numpy", "av"},
    "image.film_writer": {"numpy", "av"},
    "image.film_join": {"av"},
    "models": {"torch"},
    "models.weights": {"torch", "safetensors"},
    "models.feature_files": {"torch", "safetensors"},
    "losses": {"torch"},
    "metrics": {"numpy", "torch"},
    "data": {"numpy", "PIL", "torch"},
    "recipes": {"pydantic"},
    "training": {"numpy", "PIL", "rich", "safetensors", "torch"},
    "runtimes": {"numpy"},
    "runtimes.openvino": {"numpy", "openvino"},
    "runtimes.openvino_parts": {"numpy", "openvino"},
    "runtimes.openvino_bytes": {"numpy", "openvino"},
    "runtimes.onnx": {"numpy", "onnxruntime"},
    "runtimes.pytorch": {"numpy", "torch"},
    "pipelines": {"numpy", "PIL"},
    "export": {"numpy", "torch", "onnx", "onnxscript"},
    "advisor": {"numpy"},
    "evaluation": {"numpy"},
    "evaluation.features": {"numpy", "torch"},
    "cli": {"numpy", "PIL", "rich", "typer"},
    "cli._ray": {"ray"},  # inside functions
}

# Loading these can run a stranger's code, or reaches into the network.
NEVER = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "ftplib", "http", "requests", "socket", "urllib"}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name below mezzotint; the package itself is "mezzotint"."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__") or "mezzotint"
        found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


every_module = pytest.mark.parametrize("name", sorted(modules()))


def imports(name: str) -> set[str]:
    """Full names of all modules that a module imports, at any depth."""
    found = set()
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} uses a relative import in line {node.lineno}"
            for alias in node.names:
                below = f"{node.module}.{alias.name}".removeprefix("mezzotint.")
                found.add(f"mezzotint.{below}" if below in modules() else node.module)
    return found


def rule(table: dict[str, set[str] | None], name: str) -> set[str] | None:
    """The entry of the longest prefix of `name`."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in table:
            return table[".".join(parts[:length])]
    return set()


@every_module
def test_imports_follow_the_layers(name: str) -> None:
    package = name.split(".")[0]
    assert package in LAYERS, f"{package} is new: give it a place in the table"
    allowed = rule(LAYERS, name)
    if allowed is None:
        return
    inside = {full.removeprefix("mezzotint.") for full in imports(name) if full.split(".")[0] == "mezzotint"}
    own = {package} if name not in LAYERS or "." not in name else set()
    wrong = {target for target in inside if not any(within(target, place) for place in allowed | own)}
    assert not wrong, f"{name} must not import {', '.join(sorted(wrong))}"


def within(target: str, place: str) -> bool:
    return target == place or target.startswith(f"{place}.")


@every_module
def test_packages_from_outside_stay_where_they_belong(name: str) -> None:
    outside = {full.split(".")[0] for full in imports(name)} - {"mezzotint"} - sys.stdlib_module_names
    wrong = outside - rule(OUTSIDE, name)
    assert not wrong, f"{name} must not import {', '.join(sorted(wrong))}"


@every_module
def test_nothing_unpickles_evaluates_or_downloads(name: str) -> None:
    assert not {full.split(".")[0] for full in imports(name)} & NEVER
    for node in ast.walk(modules()[name]):
        if not isinstance(node, ast.Call):
            continue
        called, options = ast.unparse(node.func), {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        where = f"{name}, line {node.lineno}"
        assert called not in ("eval", "exec", "compile", "__import__"), where
        assert called != "torch.load" or options.get("weights_only") == "True", where
        assert options.get("allow_pickle", "False") == "False", where
        assert options.get("shell", "False") == "False", where


@every_module
def test_every_module_says_what_it_is_and_stays_small(name: str) -> None:
    tree = modules()[name]
    assert ast.get_docstring(tree), f"{name} has no docstring"
    assert name.split(".")[-1] not in ("utils", "util", "helpers", "common", "misc"), "name it after what it does"
    assert max((node.end_lineno for node in tree.body), default=0) <= 300, f"{name} holds more than one idea"


def class_names(name: str) -> set[str]:
    return {node.name for node in ast.walk(modules()[name]) if isinstance(node, ast.ClassDef)}


@every_module
def test_no_class_inherits_from_one_of_ours(name: str) -> None:
    if name == "errors":
        return
    ours = class_names(name)
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "mezzotint":
            ours |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                assert ast.unparse(base).split(".")[0] not in ours, (
                    f"{name}.{node.name} inherits from {ast.unparse(base)}"
                )


def methods() -> set[str]:
    """Modules of training/ with a class that has a `step`: the methods, by what they are rather than by a list."""
    found = set()
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if (
                name.startswith("training.")
                and isinstance(node, ast.ClassDef)
                and "Protocol" not in map(ast.unparse, node.bases)
                and any(isinstance(item, ast.FunctionDef) and item.name == "step" for item in node.body)
            ):
                found.add(f"mezzotint.{name}")
    return found


def test_training_methods_know_nothing_of_each_other() -> None:
    assert {"mezzotint.training.regression", "mezzotint.training.gan", "mezzotint.training.srgan"} <= methods()
    for method in methods():
        assert not imports(method.removeprefix("mezzotint.")) & (methods() - {method})
    # And the loop knows none of them: they come by the recipe's reference.
    assert not imports("training.loop") & methods()


@every_module
def test_folders_that_recipes_refer_to_declare_what_is_public(name: str) -> None:
    if name.split(".")[0] not in ("models", "losses", "metrics") or "." not in name:
        return
    targets = [
        ast.unparse(target)
        for node in modules()[name].body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    assert "__all__" in targets


def loaded_by(code: str) -> set[str]:
    """Top-level packages in memory after running `code` in a fresh interpreter."""
    program = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


HEAVY = {"torch", "openvino", "openvino_telemetry", "onnx", "onnxruntime", "safetensors"}
RUN = "from mezzotint.cli import main\ntry:\n    main({})\nexcept SystemExit as end:\n    assert not end.code, end.code"


def test_importing_mezzotint_loads_next_to_nothing() -> None:
    assert not loaded_by("import mezzotint") & (HEAVY | {"numpy", "PIL", "typer", "rich"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["models", "--json"]])
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    assert not loaded_by(RUN.format(arguments)) & HEAVY

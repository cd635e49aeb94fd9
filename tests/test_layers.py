"""The order of the house: which folder imports which, and what neither package nor test module may import."""

import ast
import graphlib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent

# Lowest first: a folder, or a module of the package's top, imports only what stands before it. `data.source`
# names a module that is below or above the rest of its folder. What is imported by a string is not seen
# here: the verbs, the names that `launcher` offers, and the formats, networks and recipes by their names.
ORDER = {
    "launcher": [
        *("errors", "keys", "version", "contract", "extras", "files"),
        *("hardware", "request", "code", "rendering", "cluster", "runs", "local", "check", "image", "live"),
        *("cli", "cli.verbs", "__init__", "__main__"),
    ],
    "trainer": [
        *("__init__", "errors", "usage", "paths", "imports", "registry", "config", "state", "pickled"),
        *("runtime", "rundir", "devices", "cost"),
        *("data", "data.names", "data.passed_over", "data.listing"),
        *("data.encoded", "data.storage", "data.staging"),
        *("data.source", "data.classes", "data.permutation"),
        *("data.images", "data.pipeline", "data.formats", "data.own", "data.datasets"),
        *("data.tools", "data.verbs"),
        *("data.__main__", "code"),
        *("models", "learning", "plan", "program", "metrics", "report", "weights", "lesson"),
        *("recipes", "arguments", "board", "pull", "check", "train", "__main__", "pages", "cli"),
    ],
}
WALL = {
    "launcher": {"trainer", "jax", "jaxlib", "flax", "optax", "orbax", "numpy"},
    "trainer": {"launcher", "kubernetes"},
}


def imports(file: Path) -> set[str]:
    """What a file imports, at its top or inside a function; `a.b.c` for `from a.b import c`."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{file}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules(package: str) -> dict[str, Path]:
    """Dotted name of each module of a package -> its file."""
    files = {".".join(f.relative_to(ROOT).with_suffix("").parts): f for f in (ROOT / package).rglob("*.py")}
    return {name.removesuffix(".__init__"): file for name, file in sorted(files.items())}


def target(name: str, files: dict[str, Path]) -> str:
    """The module that a name is imported from: `launcher.keys` is one, `launcher.render` is of `launcher`."""
    return name if name in files else name.rpartition(".")[0]


def layer(module: str, order: list[str]) -> int:
    """The place of the longest entry that a module's name begins with; -1 for a module that has none."""
    inside = module.partition(".")[2] or "__init__"
    entries = [entry for entry in order if f"{inside}.".startswith(f"{entry}.")]
    return order.index(max(entries, key=len)) if entries else -1


@pytest.mark.parametrize("package", ORDER)
def test_a_folder_imports_only_what_stands_below_it(package: str) -> None:
    files, order = modules(package), ORDER[package]
    assert [module for module in files if layer(module, order) < 0] == []
    upwards = [
        f"{module} imports {name}"
        for module, file in files.items()
        for name in sorted(imports(file))
        if name.partition(".")[0] == package and layer(target(name, files), order) > layer(module, order)
    ]
    assert upwards == []


@pytest.mark.parametrize("package", ORDER)
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    """Imports inside functions and under TYPE_CHECKING count too: they hide a cycle, and none is needed."""
    files = modules(package)
    graph = {
        module: {target(name, files) for name in imports(file) if name.partition(".")[0] == package}
        for module, file in files.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the modules of a cycle


@pytest.mark.parametrize("package", WALL)
def test_the_wall_between_the_packages(package: str) -> None:
    crossings = [
        f"{module} imports {name}"
        for module, file in modules(package).items()
        for name in sorted(imports(file))
        if name.partition(".")[0] in WALL[package]
    ]
    assert crossings == []


def test_no_test_module_imports_another() -> None:
    lenders = [
        f"{file.relative_to(TESTS)} imports {name}"
        for file in sorted(TESTS.rglob("*.py"))
        for name in sorted(imports(file))
        if any(part.startswith("test_") for part in name.split("."))
    ]
    assert lenders == []

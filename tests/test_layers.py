"""The order of the house: which folder may import which."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def imported(file: Path) -> set[str]:
    """The modules that a file imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("folder", ["cluster", "helm", "launcher"])
def test_no_test_module_imports_another(folder: str) -> None:
    lenders = {
        str(file.relative_to(TESTS)): names
        for file in sorted((TESTS / folder).rglob("*.py"))
        if (names := {name for name in imported(file) if name.split(".")[-1].startswith("test_")})
    }
    assert lenders == {}

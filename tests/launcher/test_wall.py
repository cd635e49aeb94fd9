"""The wall between the packages, each side imported whole in a fresh process."""

import subprocess
import sys

import pytest

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, sys.argv[1] + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
roots = {name.partition(".")[0] for name in sys.modules}
print(len([name for name in sys.modules if name.startswith(sys.argv[1] + ".")]))
print(*sorted(roots & set(sys.argv[2:])))
"""


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("launcher", ["jax", "jaxlib", "flax", "optax", "orbax", "numpy", "trainer"]),
        ("trainer", ["kubernetes", "launcher"]),
    ],
)
def test_the_packages_do_not_meet(package, forbidden):
    command = [sys.executable, "-c", IMPORT_ALL, package, *forbidden]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    count, loaded = result.stdout.split("\n")[:2]
    assert int(count) > 10
    assert loaded == ""


def test_render_loads_nothing_it_does_not_need():
    code = """
import contextlib, io, sys
from launcher.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    code = main(["render", "--slice", "v4-32", "--arch", "resnet152"])
roots = {name.partition(".")[0] for name in sys.modules}
print(code, *sorted(roots & {"kubernetes", "google", "rich", "requests"}))
"""
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "0\n"


def test_the_trainer_s_modules_start_no_devices():
    """JAX must join the other hosts before anything asks for its devices."""
    code = IMPORT_ALL + "from jax._src import xla_bridge; print(xla_bridge.backends_are_initialized())"
    words = [sys.executable, "-c", code, "trainer"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.endswith("\nFalse\n")

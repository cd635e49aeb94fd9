"""The version stands in three files, which agree."""

import tomllib
from pathlib import Path

import launcher
import trainer


def test_version():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == launcher.__version__ == trainer.__version__

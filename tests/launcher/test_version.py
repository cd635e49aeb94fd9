"""The version is said in two files; they agree."""

import tomllib
from pathlib import Path

import launcher


def test_version():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == launcher.__version__

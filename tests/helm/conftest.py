"""Helm for the tests of this folder, built from the test cluster's pinned Go module; without Go they skip."""

import os
import shutil

import pytest
from charts import Helm
from testcluster.build import binary


@pytest.fixture(scope="session")
def helm() -> Helm:
    """The pinned helm."""
    if not shutil.which("go"):
        reason = "these tests need Go 1.26 or newer on PATH to build helm"
        pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)
    return Helm(binary("helm"))

"""The versions of JobSet and Kueue that people are told to install are the ones that the tests run with."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELEASE = r"github\.com/kubernetes-sigs/{0}/releases/download/v([0-9.]+)/"
PLACES = {
    "jobset": {
        "docs/guides/install-gke.md": RELEASE,
        "docs/guides/install-kind.md": RELEASE,
        "launcher/check/installation.py": RELEASE,
        "helm/resnet-platform/Chart.yaml": r"JobSet ([0-9.]+) \(github\.com/kubernetes-sigs/{0}\)",
        "tests/kind.sh": r"JOBSET=v([0-9.]+)",
    },
    "kueue": {
        "docs/guides/install-gke.md": RELEASE,
        "launcher/check/installation.py": RELEASE,
        "helm/resnet-platform/Chart.yaml": r"Kueue ([0-9.]+) \(github\.com/kubernetes-sigs/{0}\)",
    },
}


@pytest.mark.parametrize("tool", PLACES)
def test_what_is_installed_is_what_is_tested(tool: str) -> None:
    go_mod = (ROOT / "tests" / "cluster" / "go" / tool / "go.mod").read_text()
    pinned = re.findall(rf"sigs\.k8s\.io/{tool} v([0-9.]+)", go_mod)
    assert len(pinned) == 1
    named = {
        place: re.findall(form.format(tool), (ROOT / place).read_text())
        for place, form in PLACES[tool].items()
    }
    assert named == dict.fromkeys(PLACES[tool], pinned)

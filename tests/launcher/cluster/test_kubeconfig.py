"""A cluster is known where a kubeconfig names a current context."""

import pytest

from launcher.cluster import kubeconfig


@pytest.mark.parametrize(
    ("text", "configured"),
    [
        ("apiVersion: v1\ncurrent-context: kind-a\n", True),
        ('current-context: "gke_p_z_c"\n', True),
        ('{"kind": "Config", "current-context": "a"}', True),
        ("current-context: ''\n", False),
        ('current-context: ""\n', False),
        ("current-context:\n", False),
        ("# current-context: a\n", False),
        ("contexts: []\n", False),
    ],
)
def test_current_context(tmp_path, text, configured):
    path = tmp_path / "config"
    path.write_text(text)
    assert kubeconfig.is_configured({"KUBECONFIG": str(path)}) is configured


def test_several_files_and_none(tmp_path):
    (tmp_path / "b").write_text("current-context: x\n")
    assert kubeconfig.is_configured({"KUBECONFIG": f"{tmp_path}/a:{tmp_path}/b"})
    assert not kubeconfig.is_configured({"KUBECONFIG": f"{tmp_path}/a"})
    assert not kubeconfig.is_configured({"HOME": str(tmp_path)})
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("current-context: x\n")
    assert kubeconfig.is_configured({"HOME": str(tmp_path)})

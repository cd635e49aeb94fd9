"""Explanations add comments and change nothing else; each explains a field that is still rendered."""

from pathlib import Path

import pytest
import yaml

from launcher.rendering import comments
from launcher.rendering.jobset import render
from launcher.rendering.manifest import to_yaml
from launcher.request.job import TrainingJob

FILES = sorted((Path(__file__).parents[3] / "manifests").glob("*.yaml"))


def test_only_comments_are_added():
    for file in FILES:
        explained = comments.explain(file.read_text())
        assert list(yaml.safe_load_all(explained)) == list(yaml.safe_load_all(file.read_text()))
        content = [line for line in explained.split("\n") if not line.lstrip().startswith("#")]
        assert content == file.read_text().split("\n")[1:]


def test_every_explanation_is_used_once_per_manifest():
    with_code = TrainingJob(slice="v4-8", arch="resnet18", bucket="b-1", code={"digest": "0" * 64})
    texts = [*(file.read_text() for file in FILES), to_yaml(render(with_code))]
    all_lines = [line.strip() for text in texts for line in comments.explain(text).split("\n")]
    for explanation in comments.EXPLANATIONS.values():
        assert f"# {explanation}" in all_lines, explanation
    for file in FILES:
        lines = comments.explain(file.read_text()).split("\n")
        added = [line.strip() for line in lines if line.lstrip().startswith("#")]
        assert len(set(added)) == len(added)


@pytest.mark.parametrize(
    "value",
    [
        "command: a |\nsuspend: false\n- shm\n",  # ends a line with the sign of a block
        "a\n  b |\nsuspend: now\n",
        "\nparallelism: 4\nmaxRestarts: 3",
        "a\u2028suspend: x\n",
        "# a\n\n\n# suspend\n",
    ],
)
def test_a_value_of_several_lines_stays_as_it_is(value):
    job = TrainingJob(slice="cpu-2x1", arch="resnet18", env={"SCRIPT": value}, annotation={"note": value})
    manifest = to_yaml(render(job))
    explained = comments.explain(manifest)
    assert list(yaml.safe_load_all(explained)) == list(yaml.safe_load_all(manifest)) == render(job)
    assert explained.count("# ") > 5


def test_what_would_alter_the_manifest_is_never_printed(monkeypatch):
    monkeypatch.setitem(comments.EXPLANATIONS, "kind", "a\nnamespace: other")
    with pytest.raises(ValueError, match="change the manifest"):
        comments.explain(to_yaml(render(TrainingJob(slice="cpu-1x1", arch="resnet18"))))

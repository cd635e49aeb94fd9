"""Explanations add comments and change nothing else; each explains a field that is still rendered."""

from pathlib import Path

import yaml

from launcher.rendering import comments

FILES = sorted((Path(__file__).parents[3] / "manifests").glob("*.yaml"))


def test_only_comments_are_added():
    for file in FILES:
        explained = comments.explain(file.read_text())
        assert list(yaml.safe_load_all(explained)) == list(yaml.safe_load_all(file.read_text()))
        content = [line for line in explained.split("\n") if not line.lstrip().startswith("#")]
        assert content == file.read_text().split("\n")[1:]


def test_every_explanation_is_used_once_per_manifest():
    all_lines = [line.strip() for file in FILES for line in comments.explain(file.read_text()).split("\n")]
    for explanation in comments.EXPLANATIONS.values():
        assert f"# {explanation}" in all_lines, explanation
    for file in FILES:
        lines = comments.explain(file.read_text()).split("\n")
        added = [line.strip() for line in lines if line.lstrip().startswith("#")]
        assert len(set(added)) == len(added)

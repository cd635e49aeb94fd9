"""Explanations change comments, never content, and none is for a field that is not rendered any more."""

from pathlib import Path

import yaml

from launcher.rendering import comments as explain

FILES = sorted((Path(__file__).parents[3] / "manifests").glob("*.yaml"))


def test_only_comments_are_added():
    for file in FILES:
        explained = explain.explain(file.read_text())
        assert list(yaml.safe_load_all(explained)) == list(yaml.safe_load_all(file.read_text()))
        kept = [line for line in explained.split("\n") if not line.lstrip().startswith("#")]
        assert kept == file.read_text().split("\n")[1:]


def test_every_reason_is_used_and_used_once():
    all_lines = [line.strip() for file in FILES for line in explain.explain(file.read_text()).split("\n")]
    for why in explain.WHY.values():
        assert f"# {why}" in all_lines, why
    for file in FILES:
        lines = explain.explain(file.read_text()).split("\n")
        comments = [line.strip() for line in lines if line.lstrip().startswith("#")]
        assert len(set(comments)) == len(comments)

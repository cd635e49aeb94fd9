"""Every reader of a manifest reads the text that was meant: PyYAML, ruamel (YAML 1.2) and the Go programs."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from testcluster.build import binary

from launcher.cli import main
from launcher.rendering.manifest import to_yaml

Read = Callable[[str], dict[str, object]]  # a document -> what each reader made of it

# Text that some reader takes for a number, a date, a boolean, null or a merge, each with its quotes lost.
MISTAKEN = [
    *("25921e05", "1e-3", "+1e5", ".5e2", "5.", "-.5", "1E+3", "1e", "1e+", "0.1", "-", "+", ".", "-_"),
    *("0o17", "0O17", "017", "089", "0X1f", "0xFF", "-0x1F", "0b101", "0B1", "0x1p-2", "1_000", "1,000"),
    *("NaN", ".nan", "nan", "Inf", "-.inf", "+.INF", ".Inf", "Infinity", "-infinity"),
    *("y", "Y", "n", "yes", "No", "on", "OFF", "true", "FALSE", "null", "Null", "~", "", "=", "<<"),
    *("12:30", "12:30:45", "190:20:30.15", "-1:00", "2026-01-31", "2026-1-3", "2001-12-14t21:59:43.10-05:00"),
    *(
        "2001-12-14 21:59:43.10 -5",
        "2026-01-31T00:00:00Z",
        "# no",
        "a: b",
        "- a",
        "@a",
        "`a`",
        "!a",
        "&a",
        "*a",
    ),
    *("a #b", "a:", "?", "? a", "%a", "{a", "[a", ">", "|", "'", '"', " a", "a ", "\ta", "a\t", "---", "..."),
    *(
        "a\nb",
        "a\nb\n",
        "a\n\n",
        "\na",
        " a\nb",
        "a \nb",
        "\t\na",
        "a\r\nb",
        "a\x85b",
        "a\u2028b\nc",
        "a\u2028b",
        "\u2029",
        "a\u202eb",
        "a\tb",
        "\ufeffa\nb",
    ),
    *("\x01", "\x7f\n", "é\nß", "😀\na", "a\n---\nb", "a\n# b"),
]
ALPHABET = "0123456789+-._eExXoObBpaAfF:,~<=TZtz/ ynNiI\n\t#'\""
TEXTS = st.one_of(
    st.sampled_from(MISTAKEN),
    st.text(ALPHABET, max_size=9),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12),
)


@pytest.fixture(scope="module")
def read():
    """A function that reads a document with every reader."""
    if not shutil.which("go"):
        reason = "these tests need Go 1.26 or newer on PATH to build the readers that a cluster uses"
        pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)
    ruamel = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml is not installed: make setup")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with subprocess.Popen([binary("yaml")], **pipes) as process:

        def read(document: str) -> dict[str, object]:
            process.stdin.write(json.dumps(document) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline()) | {
                "PyYAML": yaml.load(document, yaml.SafeLoader),
                "libyaml": yaml.load(document, yaml.CSafeLoader),
                "ruamel": ruamel.YAML(typ="safe", pure=True).load(document),
            }

        yield read
        process.stdin.close()


def assert_read(read: Read, document: str, expected: object) -> None:
    answers = read(document)
    assert len(answers) == 6
    assert answers == dict.fromkeys(answers, expected), document


@pytest.mark.parametrize("text", MISTAKEN)
def test_text_that_looks_like_something_else_is_read_as_text(read, text):
    assert_read(read, to_yaml([[text]]), [text])


@settings(max_examples=1500, deadline=None, derandomize=True, database=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_any_text_is_read_as_itself(read, texts):
    assert_read(read, to_yaml([texts]), texts)


def test_plain_words_stay_plain():
    words = ["2x2x4", "r/i:1", "v4-32", "ct5p-hightpu-4t", "500m", "16Gi", "yes-man", "1-2", "gs://b/x", "e5"]
    assert to_yaml([words]) == "".join(f"- {word}\n" for word in words)


TEXT_FLAGS = ["env", "label", "annotation", "node-selector"]


@pytest.mark.parametrize("text", ["25921e05", "1_000", "0o17", "y", "2026-01-31"])
@pytest.mark.parametrize("form", ["jobset", "kustomize", "helm-values"])
def test_text_of_a_request_reaches_the_cluster_as_typed(read, capsys, tmp_path, monkeypatch, form, text):
    monkeypatch.chdir(tmp_path)
    arguments = ["render", "--slice=cpu-1x1", "--arch=resnet18", "--name=r", "--format", form]
    arguments += ["."] if form == "kustomize" else []
    assert main([*arguments, *(f"--{flag}=KEY={text}" for flag in TEXT_FLAGS)]) == 0
    written = (tmp_path / "r.yaml").read_text() if form == "kustomize" else capsys.readouterr().out
    root = yaml.safe_load(written)
    assert json.dumps(root).count(f'"{text}"') >= 4 - (
        form == "helm-values"
    )  # its env is a list of NAME=VALUE
    assert_read(read, written, root)


@pytest.mark.parametrize("key", ["1e3", "y", "0x10", "2026-01-31"])
def test_keys_are_text_too(read, key):
    assert_read(read, to_yaml([{"labels": {key: key}}]), {"labels": {key: key}})

"""Files and ConfigMaps of requests: any bytes are read or refused within bounds, and none acts on its own."""

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from launcher.cli import main
from launcher.errors import LauncherError
from launcher.request import documents, sources

SEED, MUTATIONS = 1616, 700
SECONDS, CHARACTERS = 5.0, 10_000  # bounds of one input: time, length of its message
FILES = [
    "bucket: my-bucket\nimage: europe-docker.pkg.dev/team/resnet:1\nqueue: tpu\nenv: [A=1, 'B=two']\n",
    "label: {team: vision}\nset:\n- train.epochs=90\n- optim.lr: 0.1\nspot: true\nnum-slices: 2\n",
    "env: &a {A: &b x, B: *b}\nannotation: *a\npatch: {spec: {suspend: false}}\ndeadline: 12:30:45\n",
]
SNIPPETS = [
    *(
        "&a ",
        "*a",
        "*b",
        "<<: *a\n",
        "!!python/object/apply:os.system [id]",
        "!!binary x",
        "!!int '9'",
        "? ",
        "%YAML 1.1",
    ),
    *(
        "---\n",
        "...\n",
        "|\n ",
        ">-\n ",
        "\0",
        "\x1b[2J",
        "\x9b",
        "\u202e",
        "\ufeff",
        "\ud7ff",
        "\t",
        "[[[[[[[[",
        "{{{{",
    ),
    *("9" * 5000, "1e999", ".inf", "0x", "0b", "~", "::", "'", '"', "\r", "\u2028", "[" * 70, "- " * 70),
]


def changed(numbers: random.Random, text: str) -> str:
    for _ in range(numbers.randint(1, 4)):
        place = numbers.randrange(len(text) + 1)
        match numbers.randrange(4):
            case 0:
                text = text[:place] + chr(numbers.randrange(1, 0x250)) + text[place + 1 :]
            case 1:
                text = text[:place] + text[place + numbers.randrange(20) :]
            case 2:
                text = text[:place] + text[numbers.randrange(len(text) + 1) :] + text[place:]
            case _:
                text = text[:place] + numbers.choice(SNIPPETS) + text[place:]
    return text[:20_000]


def outcome(read: Any) -> str:
    """The message of a refusal; empty where the input is read."""
    start = time.monotonic()
    try:
        read()
        message = ""
    except LauncherError as error:
        message = "\n".join(f"{text}\n{hint}" for text, hint in error.messages())
    assert time.monotonic() - start < SECONDS
    assert len(message) < CHARACTERS
    return message


def test_any_resnet_launch_yaml_is_read_or_refused(tmp_path: Path) -> None:
    numbers, path = random.Random(SEED), tmp_path / "resnet-launch.yaml"
    messages = []
    for _ in range(MUTATIONS):
        path.write_bytes(changed(numbers, numbers.choice(FILES)).encode(errors="surrogatepass"))
        messages.append(outcome(lambda: sources.file(path)))
    assert 0.1 < sum(map(bool, messages)) / MUTATIONS < 0.95
    assert [*tmp_path.iterdir()] == [path]


def test_any_configmap_is_read_or_refused_and_names_no_file() -> None:
    numbers = random.Random(SEED + 1)
    messages = []
    for _ in range(MUTATIONS):
        lines = changed(numbers, "\n".join(numbers.sample(FILES, 2))).split("\n")
        data = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        if numbers.random() < 0.5:
            data = {"resnet-launch.yaml": changed(numbers, numbers.choice(FILES))}

        def read(data: dict[str, str] = data) -> None:
            source = sources.configmap("ConfigMap resnet-launch-defaults", data)
            assert not isinstance(source.values.get("patch"), str)

        messages.append(outcome(read))
    assert 0.1 < sum(map(bool, messages)) / MUTATIONS < 0.99


@pytest.mark.parametrize("patch", ["/etc/passwd", "../secret", "'x: 1'", "file:///etc/passwd"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_patch_of_the_cluster_is_a_mapping(patch: str, whole: bool) -> None:
    data = {"resnet-launch.yaml": f"patch: {patch}"} if whole else {"patch": patch}
    assert "patch" in outcome(lambda: sources.configmap("ConfigMap x", data))


LAUGHS = "a: &k0 [x, x, x, x]\n" + "".join(
    f"b{n}: &k{n + 1} [{', '.join([f'*k{n}'] * 4)}]\n" for n in range(40)
)
BOMBS = {
    "billion laughs": LAUGHS,
    "lists": "env: " + "[" * 100_000,
    "mappings": "env: " + "{a: " * 5_000,
    "itself": "env: &a [*a]",
    "2 MiB": "x" * (1 << 21),
    "dashes": "- " * 30_000 + "x",
    "questions": "? " * 30_000 + "x",
    "tag": "!!" + "a" * 100_000 + " x",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_document_of_a_few_bytes_costs_little(text: str) -> None:
    assert outcome(lambda: documents.value(documents.parse("file", text)))


@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_only_a_regular_file_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert "must be a" in outcome(lambda: documents.read("patch", path))


@pytest.mark.parametrize(
    "value", ["v4-" + "x" * 160_000, "v5e-" + "9" * 5000, "\x1b[2J" * 50_000, "cpu-" + "9" * 4400 + "x1"]
)
def test_an_error_fits_on_a_screen(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--slice", value, "--arch", "resnet18"]) == 2
    error = capsys.readouterr().err
    assert len(error) < CHARACTERS
    assert all(line.isprintable() for line in error.splitlines())


def test_no_slice_is_suggested_in_the_place_of_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--slice", "cpu-1000000000x1", "--arch", "resnet18"]) == 2
    assert "did you mean cpu-1000000000x1?" not in capsys.readouterr().err

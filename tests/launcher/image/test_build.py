"""Requests for an image that are wrong, the layer of code, and what the Dockerfile says too."""

import io
import json
import re
import shlex
import tarfile
from pathlib import Path

import disks
import faulty_registry
import pytest
from faulty_registry import ANONYMOUS, Stages, serving

from launcher.check import image_registry
from launcher.cli import main
from launcher.errors import ActionError, RequestError
from launcher.image import age, archive, build, code, document, packages
from launcher.image.base import Base
from launcher.image.cache import open_cache
from launcher.image.registry import Registry
from launcher.image.target import BASE, KINDS, Target

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
TARGET = Target(kind="cpu")
LEADS_ON = {"REGISTRY": "127.0.0.1:9", "REPOSITORY": "team/resnet"}  # what a person writes for them


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "push: must be used where no --output is, got neither"),
        (
            "--push team/resnet:1",
            "push: must name a registry, as in REGISTRY/REPOSITORY, got 'team/res",
        ),
        ("--push resnet", "push: must name a registry, as in REGISTRY/REPOSITORY, got 'resnet'"),
        (
            f"--push r.example/a:1@sha256:{'0' * 64}",
            "push: must end with a tag or nothing, got 'r.example/a",
        ),
        ("--push https://r.example/a", "push: must be an image such as REGISTRY/NAME:TAG, got 'https://r.ex"),
        ("--push r.example/a:1:2", "push: must be an image such as REGISTRY/NAME:TAG, got 'r.example/a:1:2'"),
        ("--push r.example/a:-x", "push: must be an image such as REGISTRY/NAME:TAG, got 'r.example/a:-x'"),
        ("--push r.example/a:ü", "push: must be an image such as REGISTRY/NAME:TAG, got 'r.example/a:ü'"),
        ("--push r.example/A", "push: must be an image such as REGISTRY/NAME:TAG, got 'r.example/A'"),
        ("--output none/image.tar", "output: must be a file in a folder that exists, got 'none/image.tar'"),
        ("--output /dev/null", "output: must be a regular file, got '/dev/null'"),
        ("--output .", "output: must be a regular file, got '.'"),
        ("--output a.tar --write-config", "write-config: must be used with --push, got none"),
        ("--output a.tar --base A:1", "base: must be an image such as REGISTRY/NAME:TAG, got 'A:1'"),
        ("--output a.tar --add none", "add: must be a directory, got 'none', which does not exist"),
        ("--output a.tar --processor riscv", "processor: must be amd64 or arm64, got 'riscv'"),
    ],
)
def test_a_request_that_is_wrong_is_one_line_and_its_hint_leads_on(
    flags: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    command = ["image", "build", "--target", "cpu", *shlex.split(flags)]
    assert main(command) == 2
    error, *hints = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {message}")
    assert not (tmp_path / "cache").exists()
    if hints and (match := re.match(r"hint: (--(?:push|output) [^\s,]+)", hints[0])):
        hint = match[1]
        for word, value in LEADS_ON.items():
            hint = hint.replace(word, value)
        flag, value = hint.split()
        if flag == "--push":
            assert build.push_target(value, TARGET).host
        else:
            archive.require_writable(Path(value))


@pytest.mark.parametrize("target", ["xpu", "TPU", ""])
def test_an_unknown_target(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "build", "--target", target, "--output", "a.tar"]) == 2
    assert f"target: must be cpu, tpu or gpu, got {target!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reference", "tag"),
    [
        ("r.example/a", "0.1.0-cpu"),
        ("127.0.0.1:5000/a/b", "0.1.0-cpu"),
        ("r.example:5000/a:latest", "latest"),
        ("us-docker.pkg.dev/p/r/resnet-launch:V1_a.b-c", "V1_a.b-c"),
    ],
)
def test_the_tag_is_that_of_the_version_and_the_kind(reference: str, tag: str) -> None:
    assert build.push_target(reference, TARGET).version == tag


def test_the_dockerfile_says_the_same() -> None:
    match = re.search(r"^ARG BASE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert match
    assert f"docker.io/library/{match[1]}" == BASE
    variables = dict(
        pair.split("=", 1) for pair in re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)[0].split()
    )
    assert variables.pop("PATH") == "/opt/venv/bin:$PATH"
    assert variables == document.ENVIRONMENT
    assert set(re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)) == {document.USER}
    assert set(re.findall(r"^WORKDIR (.*)$", DOCKERFILE, re.MULTILINE)) == {f"/{code.APP}"}
    assert set(re.findall(r"^FROM \S+-packages AS (\w+)$", DOCKERFILE, re.MULTILINE)) == set(KINDS)
    script = (ROOT / "tools/image-packages.sh").read_text(encoding="utf-8")
    assert f"uninstall --quiet {packages.LEFT_OUT[0]}" in script
    for suffix in re.findall(r"'\*\.(\w+)'", script):
        assert packages.UNUSED.search(f"a/b.{suffix}")
    for kind in KINDS:
        extra = {"cpu": "train"}.get(kind, kind)
        assert f"image-packages.sh {extra}" in DOCKERFILE
        assert Target(kind=kind).extras == (extra, "tensorboard")


def test_the_configuration_is_the_base_s_with_ours_above() -> None:
    below = {
        "os": "linux",
        "architecture": "arm64",
        "variant": "v8",
        "created": "2026-01-01T00:00:00Z",
        "rootfs": {"diff_ids": []},
        "config": {"Env": ["PATH=/own", "HOME=/root", "LANG=C"], "Labels": {"a": "b"}, "Entrypoint": ["/e"]},
    }
    image = image_registry.parse("r.example/base:1")
    assert image
    base = Base(name="b", digest="d", config=below, layers=(), registry=Registry(image, ANONYMOUS, ()))
    made = json.loads(document.config(base, Target(kind="gpu", processor="arm64"), {}, {"c": "d"}).body)
    assert made["created"] == "2026-01-01T00:00:00Z"
    assert (made["architecture"], made["variant"]) == ("arm64", "v8")
    assert made["config"]["Entrypoint"] == ["/e"]
    assert made["config"]["User"] == "65532:65532"
    assert {"PATH=/opt/venv/bin:/own", "HOME=/tmp", "LANG=C"} <= set(made["config"]["Env"])
    assert {"a": "b", "c": "d", "org.opencontainers.image.version": "0.1.0"}.items() <= made["config"][
        "Labels"
    ].items()


def test_the_layer_of_code_holds_the_trainer_its_bytecode_and_what_is_added(tmp_path: Path) -> None:
    (tmp_path / "own/sub").mkdir(parents=True)
    (tmp_path / "own/own_train.py").write_text("import trainer\n")
    (tmp_path / "own/sub/broken.py").write_text("def (\n")
    (tmp_path / "own/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "own/run.sh").chmod(0o755)
    (tmp_path / "own/link.py").symlink_to("own_train.py")
    cache = open_cache(tmp_path / "cache")
    made = code.code_layer((*code.trainer(), *code.added(tmp_path / "own")), cache)
    with tarfile.open(cache.blob(made.digest)) as file:
        entries = {entry.name: entry for entry in file}
        content = file.extractfile("opt/app/trainer/train.py")
        assert content
        assert content.read() == (ROOT / "trainer/train.py").read_bytes()
    assert {
        "opt/app/own_train.py",
        "opt/app/sub/broken.py",
        "opt/app/trainer/cost/chips.json",
    } <= entries.keys()
    assert entries["opt/app/run.sh"].mode == 0o755
    assert entries["opt/app/link.py"].linkname == "own_train.py"
    if code.bytecode.compiler()[1]:
        assert "opt/app/trainer/__pycache__/train.cpython-313.pyc" in entries
        assert "opt/app/__pycache__/own_train.cpython-313.pyc" in entries
        assert "opt/app/sub/__pycache__/broken.cpython-313.pyc" not in entries
    again = code.code_layer(
        (*code.trainer(), *code.added(tmp_path / "own")), open_cache(tmp_path / "another")
    )
    assert again == made


@pytest.mark.parametrize("name", ["trainer/a.py", "trainer.py"])
def test_a_trainer_of_ones_own_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "own" / name).parent.mkdir(parents=True)
    (tmp_path / "own" / name).write_text("")
    with pytest.raises(RequestError, match="add: must not hold 'trainer"):
        code.added(tmp_path / "own")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
def test_a_link_that_leaves_the_directory_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/a.py").write_text("")
    (tmp_path / "own/link").symlink_to(target)
    with pytest.raises(RequestError, match=r"add: must hold only links to what is packed, got 'link' -> "):
        code.added(tmp_path / "own")


def test_a_full_disk_leaves_no_archive(tmp_path: Path) -> None:
    with serving() as server, disks.small_disk(tmp_path / "small", 100) as small:
        parts = image_registry.parse(f"{server.host}/team/resnet:1")
        assert parts
        whole, blobs = faulty_registry.image(Registry(parts, ANONYMOUS, ()), b"large" * 100_000)
        cache = open_cache(tmp_path / "cache")
        for digest, content in blobs.items():
            cache.keep(digest, iter([content]))
        (small / "image.tar").write_text("older")
        with pytest.raises(ActionError, match=r"^cannot write .*: No space left on device$") as caught:
            archive.write(whole, "r/a:1", small / "image.tar", cache, Stages())
        assert caught.value.hint == "--output names a file of a folder with more room"
        assert [(path.name, path.read_text()) for path in small.iterdir()] == [("image.tar", "older")]


def test_an_archive_is_a_layout_of_oci(tmp_path: Path) -> None:
    parts = image_registry.parse("127.0.0.1:9/team/resnet:1")
    assert parts
    whole, blobs = faulty_registry.image(Registry(parts, ANONYMOUS, ()), b"one", b"two")
    cache = open_cache(tmp_path / "cache")
    for digest, content in blobs.items():
        cache.keep(digest, iter([content]))
    sizes = {archive.write(whole, "r/a:1", tmp_path / name, cache, Stages()) for name in ("1.tar", "2.tar")}
    assert len(sizes) == 1
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "1.tar").read_bytes())) as file:
        names = file.getnames()
    assert names[:2] == ["oci-layout", "index.json"]
    assert {f"blobs/{digest.replace(':', '/')}" for digest in blobs} <= set(names)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({}, ""),
        ({document.VERSION: "unknown"}, ""),
        ({document.VERSION: "0.1.0"}, ""),
        ({document.VERSION: 5, document.CODE: []}, ""),
        ({document.VERSION: "0.0.9"}, "is older than this launcher: 0.0.9, not 0.1.0"),
        ({document.VERSION: "0.0.10"}, "is older than this launcher: 0.0.10, not 0.1.0"),
        ({document.VERSION: "0.2.0"}, "is newer than this launcher: 0.2.0, not 0.1.0"),
        (
            {document.VERSION: "0.1.0", document.CODE: "sha256:" + "0" * 64},
            "holds another trainer than",
        ),
        ({document.CODE: "sha256:x"}, ""),
    ],
)
def test_the_age_of_an_image(labels: dict[str, object], text: str) -> None:
    assert text in age.compare("r/a:1", labels)
    assert bool(age.compare("r/a:1", labels)) == bool(text)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"config": 5}', b"\xff"])
def test_an_image_of_which_nothing_is_known_is_not_warned_about(body: bytes) -> None:
    with serving(lambda page: faulty_registry.reply(page, 200, body)) as server:
        assert age.warning(f"{server.host}/team/resnet:1", "amd64") == ""
    assert age.warning(f"{server.host}/team/resnet:1", "amd64") == ""
    assert age.warning("resnet-launch:0.1.0-cpu", "amd64") == ""

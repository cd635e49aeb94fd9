"""Packages are resolved for another processor by the real uv and index; each kind of misfit is one line."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from launcher.errors import LauncherError, RequestError
from launcher.image import packages, uv
from launcher.image.cache import Cache, open_cache
from launcher.image.target import Target


class Small(Target):
    """The packages of the launcher alone."""

    @property
    def extras(self) -> tuple[str, ...]:
        return ()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return open_cache(tmp_path_factory.mktemp("caches") / "image")


def resolve(cache: Cache, folder: Path, text: str, processor: str = "amd64") -> packages.Resolution:
    file = folder / "requirements.txt"
    file.write_text(text)
    return packages.resolve(Small(kind="cpu", processor=processor), file if text else None, cache)


def pin(name: str) -> str:
    """The version for the newest Python; older ones have pins of their own."""
    return re.findall(rf"^{name}==(\S+)", packages.constraints(), re.MULTILINE)[-1]


def test_everything_is_as_constraints_txt_pins_it(cache: Cache, tmp_path: Path) -> None:
    resolution = resolve(cache, tmp_path, "")
    assert resolution.unpinned == ()
    entries = packages.ENTRY.findall(resolution.text)
    assert {("click", pin("click")), ("pyyaml", pin("pyyaml"))} <= {(name, v) for name, v, _ in entries}
    assert "kubernetes" not in {name for name, _, _ in entries}
    hashes = set(packages.HASHES.findall(resolution.text))
    assert hashes <= set(packages.HASHES.findall(packages.constraints()))


def test_a_package_of_ones_own_is_named_and_stays_the_same(cache: Cache, tmp_path: Path) -> None:
    resolution = resolve(cache, tmp_path, "einops==0.8.1\n# a comment\nnumpy\n")
    assert resolution.unpinned == ("einops==0.8.1",)
    assert f"numpy=={pin('numpy')} " in resolution.text
    assert resolve(cache, tmp_path, "einops==0.8.1\n# a comment\nnumpy\n") == resolution


def test_one_that_the_image_leaves_out_is_there_on_request(cache: Cache, tmp_path: Path) -> None:
    assert "kubernetes==" in resolve(cache, tmp_path, "kubernetes\n").text


@pytest.mark.parametrize(
    ("text", "processor", "message"),
    [
        (
            "numpy==1.26.4\n",
            "amd64",
            "must agree with constraints.txt, which pins numpy=={numpy}, got numpy==1.26.4",
        ),
        ("click<8\n", "amd64", "constraints.txt, which pins click=={click}, got click<8"),
        (
            "tensorflow-text==2.20.0\n",
            "amd64",
            "must have wheels for linux/amd64 and Python 3.13, got tensorflow-text==2.20.0 without one",
        ),
        (
            "libtpu\n",
            "arm64",
            "must have wheels for linux/arm64 and Python 3.13, got libtpu=={libtpu} without one",
        ),
        (
            "docopt==0.6.2\n",
            "amd64",
            "must have wheels for linux/amd64 and Python 3.13, got docopt==0.6.2 without one",
        ),
        (
            "no-such-package-of-resnet-launch\n",
            "amd64",
            "must name packages of the package index, got 'no-such-pack",
        ),
        ("einops==\n", "amd64", "must be packages that fit together: Couldn't parse requirement"),
        ("einops==0.8.1\nanyio==9999\n", "amd64", "anyio"),
        ("./own.whl\n", "amd64", ""),
        ("-e .\n", "amd64", ""),
    ],
)
def test_what_does_not_fit_is_one_line(
    cache: Cache, tmp_path: Path, text: str, processor: str, message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        resolve(cache, tmp_path, text, processor)
    [problem] = caught.value.problems
    assert problem.field == "requirements"
    assert message.format(numpy=pin("numpy"), click=pin("click"), libtpu=pin("libtpu")) in problem.message
    assert problem.message.isprintable()


def test_a_requirements_file_that_is_missing(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="requirements: must be a readable file"):
        packages.resolve(Small(kind="cpu"), tmp_path / "none.txt", cache)


def test_tpus_have_no_arm64_hosts() -> None:
    with pytest.raises(RequestError, match="processor: must be amd64 with --target tpu, got 'arm64'"):
        Target(kind="tpu", processor="arm64")


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL"])
def test_an_index_that_is_away_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    if any(map(packages.uv.package_index._names_index, packages.uv.package_index._uv_files({}))):
        pytest.skip("uv.toml of this machine names an index, which counts more than pip's")
    monkeypatch.setenv(variable, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(LauncherError, match=r"the package index does not answer: .*127\.0\.0\.1:9") as caught:
        resolve(open_cache(tmp_path / "cache"), tmp_path, "einops\n")
    assert caught.value.hint.startswith("UV_DEFAULT_INDEX")


def test_without_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(LauncherError, match="`image build` needs uv, which is not installed here") as caught:
        uv.program()
    assert "[image]" in caught.value.hint


def test_scripts_run_the_image_s_python(tmp_path: Path) -> None:
    """uv writes the path of this machine's Python into them, and their hashes into RECORD."""
    script = packages._script(b"#!/home/a/.venv/bin/python3\nimport sys\n")
    assert script == b"#!/opt/venv/bin/python\nimport sys\n"
    for other in (b"#!/bin/sh\necho\n", b"\x7fELF\n", b""):
        assert packages._script(other) == other
    record = tmp_path / "RECORD"
    record.write_text("bin/tool,sha256=x,10\na.py,sha256=y,5\nbin/other,sha256=z,1\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(script).digest()).decode().rstrip("=")
    assert packages._record(record, {"tool": script}).decode().splitlines() == [
        f"../../../bin/tool,sha256={digest},{len(script)}",
        "a.py,sha256=y,5",
        "bin/other,sha256=z,1",
    ]

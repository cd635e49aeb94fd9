"""Where `code` may come from: flag, environment, resnet-launch.yaml beside itself; never from a cluster."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.code import archive
from launcher.errors import RequestError
from launcher.request import sources

LINE = ["render", "--slice", "cpu-2x1", "--arch", "resnet18", "--bucket", "b-1"]


def render(*flags: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*LINE, *flags])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / "src"
    folder.mkdir(parents=True)
    (folder / "a.py").touch()
    return folder


def test_a_directory_of_the_file_is_looked_for_beside_the_file(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree.parent / "resnet-launch.yaml").write_text("code: src\n")
    deeper = tree.parent / "deeper"
    deeper.mkdir()
    monkeypatch.chdir(deeper)
    code, out, err = render()
    assert code == 0, err
    assert f"sha256:{archive.pack(tree).digest}" in out


def test_the_environment_names_one(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_LAUNCH_CODE", str(tree))
    assert f"sha256:{archive.pack(tree).digest}" in render()[1]
    monkeypatch.setenv("RESNET_LAUNCH_CODE", str(tmp_path / "none"))
    code, out, err = render()
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith("which does not exist (from RESNET_LAUNCH_CODE)")


@pytest.mark.parametrize("data", [{"code": "/etc"}, {"resnet-launch.yaml": "code: /etc\n"}])
def test_a_cluster_names_none(data: dict[str, str]) -> None:
    with pytest.raises(RequestError) as caught:
        sources.configmap("ConfigMap x", data)
    [problem] = caught.value.problems
    assert problem.message == "must not have code, got '/etc'"
    assert problem.hint.endswith("because a cluster names it: --code PATH")


def test_an_error_names_the_line_of_the_file(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree.parent / "resnet-launch.yaml").write_text("bucket: b-1\ncode: nowhere\n")
    monkeypatch.chdir(tree.parent)
    code, out, err = render()
    assert (code, out) == (2, "")
    assert f"(from {tree.parent}/resnet-launch.yaml:2)" in err


def test_save_code_needs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert render("--save-code", "x")[0] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_path_is_no_directory(tree: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tree)
    code, out, err = render("--code", text)
    assert (code, out) == (2, "")
    assert err.splitlines() == [f"error: code: must be a directory, got {text!r}"]
    (tree / "resnet-launch.yaml").write_text(f"code: '{text}'\n")
    code, out, err = render()
    assert (code, out) == (2, "")
    assert f"code: must be a directory, got {text!r} (from {tree}/resnet-launch.yaml:1)" in err
    with pytest.raises(RequestError):
        archive.pack(text)


def test_an_empty_name_is_no_file_for_the_archive(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    code, out, err = render("--code", ".", "--save-code", "")
    assert (code, out) == (2, "")
    assert "error: save-code: must be a file, got ''" in err


@pytest.mark.parametrize("field", ["code", "patch", "env-file", "recipe"])
def test_a_user_who_does_not_exist_has_no_files(
    tree: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.chdir(tree)
    code, out, err = render(f"--{field}", "~nobody-here/a.yaml")
    assert (code, out) == (2, "")
    assert f"error: {field}: must be " in err
    assert "~nobody-here/a.yaml'" in err
    (tree / "resnet-launch.yaml").write_text(f"{field}: ~nobody-here/a.yaml\n")
    code, out, err = render()
    assert (code, out) == (2, "")
    assert f"error: {field}: must be " in err
    assert f"{tree}/resnet-launch.yaml" in err

"""The index of packages is the user's: uv's own settings first, else pip's."""

from pathlib import Path

import pytest

from launcher.image.package_index import environment


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment of a home without settings; those of the machine do not count."""
    monkeypatch.setattr("launcher.image.package_index.sys.prefix", str(tmp_path / "prefix"))
    return {"HOME": str(tmp_path), "PIP_CERT": "/own/ca.pem"}


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_variables_of_pip(environ: dict[str, str]) -> None:
    environ |= {
        "PIP_INDEX_URL": "https://a.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://b.example\nhttps://c",
    }
    got = environment(environ)
    assert got["UV_DEFAULT_INDEX"] == "https://a.example/simple"
    assert got["UV_INDEX"] == "https://b.example https://c"
    assert got["SSL_CERT_FILE"] == "/own/ca.pem"


def test_files_of_pip(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, ".config/pip/pip.conf", "[global]\nindex-url = https://home.example\n")
    assert environment(environ)["UV_DEFAULT_INDEX"] == "https://home.example"
    write(tmp_path, "prefix/pip.conf", "[install]\nindex-url = https://prefix.example\n")
    assert environment(environ)["UV_DEFAULT_INDEX"] == "https://prefix.example"
    write(tmp_path, "own.conf", "[global]\nindex-url = https://own.example\n")
    environ["PIP_CONFIG_FILE"] = str(tmp_path / "own.conf")
    assert environment(environ)["UV_DEFAULT_INDEX"] == "https://own.example"


@pytest.mark.parametrize("text", ["[global", "index-url = x", "\xff\0", "[global]\nother = 1\n"])
def test_files_that_say_nothing(environ: dict[str, str], tmp_path: Path, text: str) -> None:
    write(tmp_path, "prefix/pip.conf", text)
    assert "UV_DEFAULT_INDEX" not in environment(environ)


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_NO_INDEX"])
def test_uv_s_own_variables_count_more(environ: dict[str, str], name: str) -> None:
    environ |= {"PIP_INDEX_URL": "https://a.example/simple", name: "https://uv.example"}
    assert environment(environ).get("UV_DEFAULT_INDEX") is None


@pytest.mark.parametrize(
    "text",
    ['index-url = "https://uv.example"', '[[index]]\nurl = "https://uv.example"', "[pip]\nno-index = true"],
)
def test_uv_s_own_file_counts_more(environ: dict[str, str], tmp_path: Path, text: str) -> None:
    environ["PIP_INDEX_URL"] = "https://a.example/simple"
    assert "UV_DEFAULT_INDEX" in environment(environ)
    write(tmp_path, ".config/uv/uv.toml", text)
    assert "UV_DEFAULT_INDEX" not in environment(environ)

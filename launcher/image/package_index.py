"""Where packages come from: the index that this user's uv or pip is set to."""

from __future__ import annotations

import configparser
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

UV_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX")
# pip's setting -> uv's variable
SETTINGS = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE"}


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that make uv use pip's index where uv itself is set to none.

    uv reads its own configuration, and nothing of pip's.
    """
    from_pip: dict[str, str] = {}
    for path in _pip_files(environ):
        from_pip |= _pip_settings(path)
    for setting in SETTINGS:
        if value := environ.get(f"PIP_{setting.upper().replace('-', '_')}"):
            from_pip[setting] = value
    if any(environ.get(name) for name in UV_VARIABLES) or any(map(_names_index, _uv_files(environ))):
        from_pip = {name: value for name, value in from_pip.items() if name == "cert"}
    return {
        SETTINGS[name]: " ".join(value.split())
        for name, value in from_pip.items()
        if value and not environ.get(SETTINGS[name])
    }


def _pip_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield pip's files on Linux and macOS, the weakest first."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    yield Path("/etc/pip.conf")
    yield home / ".pip/pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    yield home / "Library/Application Support/pip/pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if environ.get("PIP_CONFIG_FILE"):
        yield Path(environ["PIP_CONFIG_FILE"])


def _pip_settings(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, configparser.Error):  # pip says what is wrong with it
        return {}
    sections = [section for section in ("global", "install") if parser.has_section(section)]
    return {
        name: parser.get(section, name)
        for section in sections
        for name in SETTINGS
        if parser.has_option(section, name)
    }


def _uv_files(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    yield Path("/etc/uv/uv.toml")
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "uv/uv.toml"
    if environ.get("UV_CONFIG_FILE"):
        yield Path(environ["UV_CONFIG_FILE"])


def _names_index(path: Path) -> bool:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # uv says what is wrong with it
        return False
    tables = [document, document.get("pip")]
    names = {"index", "index-url", "extra-index-url", "no-index"}
    return any(names & table.keys() for table in tables if isinstance(table, dict))

"""The layer of packages: those of an extra as constraints.txt pins them, and those of a requirements file."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from launcher import extras
from launcher.errors import ActionError, Problem, RequestError
from launcher.image import bytecode, layer, uv
from launcher.image.cache import Cache
from launcher.image.layer import Layer, Member
from launcher.image.target import PYTHON, Target
from launcher.request import documents

VENV = "opt/venv"
SITE = f"{VENV}/lib/python{PYTHON[0]}.{PYTHON[1]}/site-packages"
PYTHON_PATH = f"/{VENV}/bin/python"
LEFT_OUT = ("kubernetes",)  # 75 MB that only the launcher imports
# What a pod cannot use: tools/image-packages.sh removes the same.
UNUSED = re.compile(r"(^|/)tests/|\.(pyi|h|hpp|a)$")
FORMAT = "2"  # a layer that an older version made otherwise is made anew
ENTRY = re.compile(
    r"^([A-Za-z0-9._-]+)==(\S+?)(?: *;[^\\\n]*)?(?: \\)?\n((?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE
)
HASHES = re.compile(r"--hash=(\S+)")


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """The packages of a layer.

    Attributes:
      text: requirements with versions and hashes, one after the other.
      unpinned: `name==version` of each that constraints.txt does not pin.
    """

    text: str
    unpinned: tuple[str, ...]

    @property
    def count(self) -> int:
        """The number of packages."""
        return len(ENTRY.findall(self.text))


def constraints() -> str:
    """Return the text of constraints.txt: of the checkout that this runs from, or of the installed package.

    Raises:
      ActionError: it is in neither place.
    """
    checkout = Path(extras.__file__).parents[1]
    if (checkout / "pyproject.toml").is_file():
        return (checkout / "constraints.txt").read_text(encoding="utf-8")
    try:
        text = metadata.distribution(extras.PACKAGE).read_text("extra_metadata/constraints.txt")
    except metadata.PackageNotFoundError:
        text = None
    if text is None:
        raise extras.lacking("image", f"constraints.txt is missing in {checkout}")
    return text


def resolve(target: Target, requirements: Path | None, cache: Cache) -> Resolution:
    """Return the packages of a target, and of a requirements file, for its platform.

    The same inputs give the same packages on this machine, also where a requirement leaves its version open.

    Raises:
      RequestError: a requirement cannot be read, disagrees with constraints.txt, or has no wheel.
      ActionError: uv is missing, or the package index does not answer.
    """
    pins = constraints()
    wanted = "\n".join(_of_extras(target.extras))
    own = documents.read("requirements", requirements) if requirements else ""
    inputs = [FORMAT, target.wheels, PYTHON, pins, wanted, own]

    def run() -> str:
        return _resolved(target, pins, wanted, requirements, cache)

    if re.search(r"^\s*(-|\S*\s*@|[./])", own, re.MULTILINE):
        text = run()  # it names other files, whose content is not known here
    else:
        text = cache.text(_key("resolution", inputs), run)
    return _with_pins(text, pins, own)


def _of_extras(names: tuple[str, ...]) -> Iterator[str]:
    """Yield the requirements of this package with some of its extras."""
    try:
        lines = metadata.requires(extras.PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise extras.lacking("image", f"{extras.PACKAGE} is not installed here") from None
    for line in lines:
        requirement, _, marker = line.partition(";")
        extra = extras.EXTRA.search(marker)
        if extra and extra[1] not in names:
            continue
        if included := re.match(rf"{extras.PACKAGE}\s*\[([^\]]+)\]", requirement):
            yield from _of_extras(tuple(name.strip() for name in included[1].split(",")))
            continue
        others = re.sub(rf"\s*(and)?\s*{extras.EXTRA.pattern}", "", marker).strip()
        yield f"{requirement.strip()}; {others}" if others else requirement.strip()


def _resolved(target: Target, pins: str, wanted: str, requirements: Path | None, cache: Cache) -> str:
    """Return what uv resolves, with hashes."""
    arguments = ["--quiet", "--no-header", "--no-annotate", "--generate-hashes", "--only-binary", ":all:"]
    arguments += ["--python-platform", target.wheels, "--python-version", ".".join(map(str, PYTHON))]
    arguments += ["--no-emit-index-url", "--no-emit-find-links", "--constraint", "constraints.txt"]
    with cache.scratch() as folder:
        (folder / "constraints.txt").write_text(pins, encoding="utf-8")
        (folder / "image.in").write_text(wanted + "\n", encoding="utf-8")
        files = [str(folder / "image.in"), *([str(requirements.resolve())] if requirements else [])]
        try:
            return uv.run("compile", *arguments, *files, folder=folder)
        except uv.Failure as failure:
            raise _unresolved(failure, target, requirements) from None


def _unresolved(failure: uv.Failure, target: Target, requirements: Path | None) -> ActionError | RequestError:
    """Return the error of what uv cannot resolve, by its kind."""
    text = failure.text
    field = "requirements" if requirements else "target"
    cause = f": {text}" if len(text) < 1500 else f": {text[:1500]} …"
    if re.search(r"error sending request|Failed to fetch|dns error|status code|timed? ?out|offline", text):
        hint = "UV_DEFAULT_INDEX or uv.toml names your index of packages"
        return ActionError(f"the package index does not answer{cause}", hint)
    if match := re.search(
        r"Because (?:all versions of )?(\S+?) (?:has|have) no (?:wheels|usable wheels)", text
    ):
        problem = f"must have wheels for {target.platform} and Python 3.13, got {match[1]} without one"
        return RequestError(Problem(field, problem + cause, failure.hint))
    if match := re.search(r"you require ([\w.-]+)(\S*)(?: and \1(==[^\s,]+))", text):
        pinned = f"{match[1]}{match[3]}"
        problem = f"must agree with constraints.txt, which pins {pinned}, got {match[1]}{match[2]}"
        hint = f"the version of the pin, or {match[1]} without a version"
        return RequestError(Problem(field, problem, hint))
    if match := re.search(r"Because (\S+) was not found in the package registry", text):
        problem = f"must name packages of the package index, got {match[1]!r}, which it does not have"
        return RequestError(Problem(field, problem, failure.hint))
    return RequestError(Problem(field, f"must be packages that fit together{cause}", failure.hint))


def _with_pins(text: str, pins: str, own: str) -> Resolution:
    """Return the packages with the hashes of constraints.txt, which a package index cannot change.

    Raises:
      RequestError: a requirement is a folder, a file or an address, whose bytes nobody has pinned.
    """
    pinned = {(name, version): set(HASHES.findall(block)) for name, version, block in ENTRY.findall(pins)}
    entries, unpinned = [], []
    resolved = ENTRY.findall(text if text.endswith("\n") else text + "\n")
    names = {f"{name}=={version}" for name, version, _ in resolved}
    for line in text.splitlines():
        requirement = line.partition(";")[0].strip(" \\")
        if requirement and not requirement.startswith(("#", "--hash")) and requirement not in names:
            problem = f"must be packages of a package index, got {requirement[:100]!r}"
            raise RequestError(Problem("requirements", problem, "--add DIR takes a folder of your code"))
    for name, version, block in resolved:
        if name in LEFT_OUT and not re.search(rf"^\s*{name}\b", own, re.MULTILINE | re.IGNORECASE):
            continue
        hashes = set(HASHES.findall(block))
        if (name, version) in pinned:
            hashes = pinned[name, version]
        else:
            unpinned.append(f"{name}=={version}")
        entries.append(" \\\n".join([f"{name}=={version}", *(f"    --hash={h}" for h in sorted(hashes))]))
    return Resolution(text="\n".join(entries) + "\n", unpinned=tuple(unpinned))


def packages_layer(
    resolution: Resolution,
    target: Target,
    cache: Cache,
    count: Callable[[int], None],
    wait: Callable[[], None],
    begin: Callable[[], None],
) -> Layer:
    """Return the layer of these packages.

    Args:
      count: is called with the number of bytes as they are packed.
      wait: is called where another build is making the layer.
      begin: is called where the layer has to be made.

    Raises:
      ActionError: a package cannot be downloaded, has another hash, or the disk is full.
    """
    _, compiler = bytecode.compiler()

    def make(folder: Path, file: BinaryIO) -> Layer:
        begin()
        installed = folder / "site"
        _install(resolution, target, folder, installed)
        _remove_unused(installed)
        if compiler:
            bytecode.compile_folder(installed, f"/{SITE}", os.cpu_count() or 1)
        return layer.write(_members(installed, resolution), file, count)

    return cache.layer(_key("packages", [FORMAT, resolution.text, target.wheels, compiler]), make, wait)


def _install(resolution: Resolution, target: Target, folder: Path, installed: Path) -> None:
    (folder / "requirements.txt").write_text(resolution.text, encoding="utf-8")
    arguments = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    arguments += ["--python-platform", target.wheels, "--python-version", ".".join(map(str, PYTHON))]
    arguments += ["--target", str(installed), "--requirement", str(folder / "requirements.txt")]
    try:
        uv.run("install", *arguments, folder=folder)
    except uv.Failure as failure:
        raise ActionError(f"the packages cannot be installed: {failure.text}", failure.hint) from None


def _remove_unused(folder: Path) -> None:
    for path in folder.rglob("*"):
        if UNUSED.search(path.relative_to(folder).as_posix()) and not path.is_dir():
            path.unlink()


def _members(installed: Path, resolution: Resolution) -> Iterator[Member]:
    """Yield the files of a virtual environment as `python -m venv` lays it out."""
    version = ".".join(map(str, PYTHON))
    settings = f"home = /usr/local/bin\ninclude-system-site-packages = false\nversion = {version}\n"
    yield Member(path=f"{VENV}/pyvenv.cfg", content=settings.encode())
    yield Member(path=f"{VENV}/requirements.txt", content=resolution.text.encode())  # a list of its contents
    yield Member(path=f"{VENV}/bin/python", target="/usr/local/bin/python")
    for name in ("python3", f"python{version}"):
        yield Member(path=f"{VENV}/bin/{name}", target="python")
    yield Member(path=f"{VENV}/lib64", target="lib")
    programs = [path for path in _files(installed / "bin") if path.suffix != ".pyc"]
    scripts = {path.name: _script(path.read_bytes()) for path in sorted(programs)}
    for name, content in scripts.items():
        yield Member(path=f"{VENV}/bin/{name}", content=content, executable=True)
    for path in _files(installed):
        place = path.relative_to(installed).as_posix()
        if place.startswith("bin/") or place == ".lock":
            continue
        content = _record(path, scripts) if place.endswith(".dist-info/RECORD") else path
        yield Member(path=f"{SITE}/{place}", content=content, executable=bool(path.stat().st_mode & 0o100))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _script(content: bytes) -> bytes:
    """Return a script for the image's Python: uv wrote the path of this machine's into it."""
    first, newline, rest = content.partition(b"\n")
    if not re.match(rb"#!.*python", first):
        return content
    return b"#!" + PYTHON_PATH.encode() + newline + rest


def _record(path: Path, scripts: dict[str, bytes]) -> bytes:
    """Return the list of a package's files, with its scripts where they are and as they are."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        place, _, _ = line.partition(",")
        if place.startswith("bin/") and place.removeprefix("bin/") in scripts:
            content = scripts[place.removeprefix("bin/")]
            digest = _base64(hashlib.sha256(content).digest())
            line = f"../../../{place},sha256={digest},{len(content)}"
        lines.append(line)
    return ("\n".join(sorted(lines)) + "\n").encode()


def _base64(data: bytes) -> str:
    import base64

    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _key(kind: str, inputs: list[object]) -> str:
    return hashlib.sha256(json.dumps([kind, *inputs]).encode()).hexdigest()[:40]

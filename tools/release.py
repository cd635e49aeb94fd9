"""The steps of a release, as .github/workflows/release.yml runs them.

    python tools/release.py check v0.2.0                     tag, version, charts and CHANGELOG agree
    python tools/release.py build v0.2.0 dist                sdist, wheel, charts, notes.md and SHA256SUMS
    python tools/release.py images v0.2.0 HOST/REPOSITORY    build and push the images, by `image build`
    python tools/release.py charts v0.2.0 oci://HOST/FOLDER  push the charts in dist/, by helm

`--dry-run` prints the commands of the last two instead of running them.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import package_charts
import yaml

ROOT = Path(__file__).resolve().parent.parent
TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")
# libtpu has no wheels for arm64, and no TPU host has such processors.
IMAGES = [("cpu", "amd64"), ("cpu", "arm64"), ("tpu", "amd64"), ("gpu", "amd64"), ("gpu", "arm64")]


class Refused(Exception):
    """A release that cannot be made: the problems, and a hint."""

    def __init__(self, problem: str, hint: str):
        super().__init__(problem)
        self.hint = hint


def check(tag: str, root: Path = ROOT) -> str:
    """Return the version of a tag that agrees with pyproject.toml, both charts and the CHANGELOG.

    Raises:
      Refused: the tag is none of a version, or one of these has another version or no section.
    """
    match = TAG.fullmatch(tag)
    if not match:
        raise Refused(f"tag: must be v and a version, such as v1.2.3, got {tag!r}", "git tag v1.2.3")
    version = match[1]
    stated = {"pyproject.toml": tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]}
    for path in sorted(root.glob("helm/*/Chart.yaml")):
        chart = yaml.safe_load(path.read_text())
        stated[str(path.relative_to(root))] = str(chart["version"])
    for name, other in stated.items():
        if other != version:
            raise Refused(
                f"{name}: must have version {version} of the tag {tag}, got {other}", "make generate"
            )
    notes(version, root)
    return version


def notes(version: str, root: Path = ROOT) -> str:
    """Return the text below `## [VERSION]` of the CHANGELOG, which must not be empty."""
    sections = re.split(r"^## ", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if re.match(rf"\[?{re.escape(version)}(\]|\s|$)", heading) and text.strip():
            return text.strip() + "\n"
    headings = ", ".join(section.partition("\n")[0] for section in sections) or "none"
    raise Refused(
        f"CHANGELOG.md: must have a section with text for {version}, got {headings}",
        f'rename "## [Unreleased]" to "## [{version}] - YYYY-MM-DD"',
    )


def build(tag: str, target: Path, root: Path = ROOT) -> None:
    """Write sdist, wheel, charts, notes.md and SHA256SUMS into a folder: all of them or none."""
    version = check(tag, root)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=target.parent) as scratch:
        folder = Path(scratch) / "made"
        folder.mkdir()
        command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
        built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if built.returncode:
            raise Refused(f"hatchling: {(built.stderr.strip() or 'failed').splitlines()[-1]}", "make setup")
        package_charts.main(folder)
        (folder / "notes.md").write_text(notes(version, root))
        sums = [f"{digest(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
        (folder / "SHA256SUMS").write_text("".join(sums))
        target.mkdir(exist_ok=True)
        for path in sorted(folder.iterdir()):
            path.replace(target / path.name)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def image_commands(version: str, repository: str) -> list[list[str]]:
    """Return the command that builds and pushes each image; those for arm64 have a tag of their own."""
    launch = shutil.which("resnet-launch", path=str(Path(sys.executable).parent)) or "resnet-launch"
    commands = []
    for kind, processor in IMAGES:
        tag = f"{version}-{kind}" + ("" if processor == "amd64" else f"-{processor}")
        flags = ["--target", kind, "--processor", processor, "--push", f"{repository}:{tag}"]
        commands.append([launch, "image", "build", *flags])
    return commands


def chart_commands(version: str, registry: str, folder: Path) -> list[list[str]]:
    """Return the command that pushes each chart as an OCI artefact."""
    if not registry.startswith("oci://"):
        raise Refused(f"registry: must be oci://HOST/FOLDER, got {registry!r}", "oci://HOST/FOLDER")
    charts = [folder / f"{path.parent.name}-{version}.tgz" for path in sorted(ROOT.glob("helm/*/Chart.yaml"))]
    if missing := [str(path) for path in charts if not path.is_file()]:
        raise Refused(f"{missing[0]}: must exist", f"python tools/release.py build v{version} {folder}")
    return [["helm", "push", str(path), registry] for path in charts]


def main(arguments: list[str]) -> int:
    """Run one step and return its exit code: 2 where the release is refused, 1 where a command failed."""
    parser = argparse.ArgumentParser(prog="tools/release.py", description="The steps of a release.")
    parser.add_argument("step", choices=["check", "build", "images", "charts"])
    parser.add_argument("tag", help="tag of the release, such as v1.2.3")
    parser.add_argument("place", nargs="?", help="folder, repository or registry")
    parser.add_argument("--dist", type=Path, default=Path("dist"), help="folder with the packaged charts")
    parser.add_argument("--root", type=Path, default=ROOT, help="checkout that is checked")
    parser.add_argument("--dry-run", action="store_true", help="print commands instead of running them")
    args = parser.parse_args(arguments)
    try:
        version = check(args.tag, args.root)
        if args.step in ("images", "charts") and not args.place:
            raise Refused(f"{args.step}: must name a registry, got none", "python tools/release.py --help")
        if args.step == "build":
            build(args.tag, Path(args.place or "dist"), args.root)
            commands = []
        elif args.step == "images":
            commands = image_commands(version, args.place)
        else:
            commands = chart_commands(version, args.place, args.dist) if args.step == "charts" else []
        for command in commands:
            print(shlex.join(command), flush=True)
            if not args.dry_run and subprocess.run(command).returncode:
                print(
                    f"error: {shlex.join(command[:3])} failed; what was pushed before stays", file=sys.stderr
                )
                return 1
    except Refused as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return 2
    except OSError as error:  # a disk without room; the scratch folder is gone
        print(f"error: the release was not built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

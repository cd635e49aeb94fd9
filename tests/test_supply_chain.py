"""What is installed is what was pinned: hashes of all packages, actions by commit."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")


def hashed(resolved: str, constraints: Path = ROOT / "constraints.txt") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "requirements.py"), str(constraints)]
    return subprocess.run(command, input=resolved, capture_output=True, text=True, timeout=60)


def version(package: str) -> str:
    match = re.search(rf"^{package}==(\S+)", CONSTRAINTS, re.MULTILINE)
    assert match, package
    return match[1]


def install(requirements: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "requirements.txt").write_text(requirements)
    flags = ["--require-hashes", "--only-binary", ":all:", "--no-deps", "--target", str(folder / "packages")]
    command = [sys.executable, "-m", "uv", "pip", "install", *flags, "-r", str(folder / "requirements.txt")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("package", ["uv", "hatchling", "editables", "click", "jax"])
def test_a_package_has_the_hashes_of_its_pin(package: str) -> None:
    result = hashed(f"{package}=={version(package)}\n")
    assert result.returncode == 0, result.stderr
    digests = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", result.stdout)
    assert digests
    assert all(digest in CONSTRAINTS for digest in digests)


@pytest.mark.parametrize("line", ["click==0.0.1", "no-such-package==1", "click @ file:///tmp/click"])
def test_a_package_without_a_pin_is_refused(line: str) -> None:
    result = hashed(f"{line}\n")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"error: constraints.txt has no hashes of {line}",
        "hint: make lock",
    ]


def test_a_package_with_other_bytes_is_not_installed(tmp_path: Path) -> None:
    pinned = hashed(f"click=={version('click')}\n").stdout
    forged = re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", pinned)
    assert install(forged, tmp_path).returncode != 0
    assert not (tmp_path / "packages" / "click").exists()
    result = install(pinned, tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "packages" / "click").exists()


@pytest.mark.parametrize("name", ["Makefile", "tools/image-packages.sh"])
def test_every_installation_wants_hashes(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    installations = [line for line in text.splitlines() if re.search(r"pip\"? install|UV_INSTALL\)", line)]
    installations = [line for line in installations if not line.startswith("UV_INSTALL")]
    assert len(installations) >= 2
    for line in installations:
        own = "--no-deps --no-build-isolation --editable ." in line
        assert own or "--require-hashes" in line, line


def test_the_wheel_brings_the_pins_that_image_build_installs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(tmp_path / "site")], check=True)
    program = "from launcher.image import packages; print(packages.constraints(), end='')"
    installed = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
    )
    assert installed.stdout == CONSTRAINTS, installed.stderr


def test_actions_are_named_by_commit() -> None:
    workflows = list((ROOT / ".github" / "workflows").glob("*.yml"))
    assert workflows
    for path in workflows:
        for action in re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), (path.name, action)


def test_the_bill_of_materials_lists_what_is_installed() -> None:
    requirements = hashed(
        f"jax=={version('jax')}\nopencv-python-headless=={version('opencv-python-headless')}\n"
    ).stdout
    command = [sys.executable, str(ROOT / "tools" / "sbom.py")]
    result = subprocess.run(command, input=requirements, capture_output=True, text=True, timeout=60)
    document = json.loads(result.stdout)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    jax, opencv = document["components"]
    assert jax["purl"] == f"pkg:pypi/jax@{version('jax')}"
    assert opencv["purl"] == f"pkg:pypi/opencv-python-headless@{version('opencv-python-headless')}"
    listed = {entry["value"] for entry in opencv["properties"]}
    assert listed == set(re.findall(r"--hash=sha256:([0-9a-f]{64})", requirements.partition("opencv")[2]))

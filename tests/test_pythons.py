"""`make test-pythons`: a Python that is not here is skipped in words, an environment is whole or absent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUICK = "tests/launcher/test_version.py"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # No interpreter is downloaded, and no environment of the checkout is replaced.
    variables = {"UV_PYTHON_DOWNLOADS": "never", **variables}
    program = "import sys; from pathlib import Path; import pythons;"
    program += "pythons.ENVIRONMENTS = Path(sys.argv.pop(1)); sys.exit(pythons.main(sys.argv[1:]))"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools"), "PATH": path} | variables,
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize("versions", [["3.99"], ["3.98", "3.99"]])
def test_a_python_that_is_not_here_is_skipped_in_a_line(tmp_path: Path, versions: list[str]) -> None:
    result = run(str(tmp_path), *versions)
    assert result.stdout.splitlines() == [
        f"Python {version}: skipped, no interpreter here (uv python install {version})"
        for version in versions
    ]
    assert result.returncode == 1, "nothing ran"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}, "uv pip compile"),
        ({"HTTPS_PROXY": "http://127.0.0.1:9", "UV_DEFAULT_INDEX": "https://pypi.invalid/simple"}, "uv pip"),
        ({"UV_CACHE_DIR": "/dev/null/cache"}, "uv venv"),
    ],
    ids=["index", "proxy", "disk"],
)
def test_an_environment_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, variables: dict[str, str], reason: str
) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    variables = {
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_HTTP_RETRIES": "0",
        "UV_FIND_LINKS": "",
        **variables,
    }
    result = run(str(tmp_path / "made"), version, "--", QUICK, **variables)
    assert result.returncode == 1
    [line] = result.stdout.splitlines()
    assert line.startswith(f"Python {version}: no environment: {reason}"), result.stdout
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "made" / version).exists()

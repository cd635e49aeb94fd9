"""JAX is kept to the CPU only where no accelerator is attached."""

import sys
from pathlib import Path

import pytest

from trainer.devices import attached

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="device files are named so on Linux")


def test_a_machine_without_accelerators_uses_its_cpu(tmp_path: Path) -> None:
    for name in ("null", "tty0", "vfio"):
        (tmp_path / name).mkdir()
    environ: dict[str, str] = {}
    attached.prefer_cpu(environ, tmp_path)
    assert environ == {"JAX_PLATFORMS": "cpu"}


@pytest.mark.parametrize("name", ["accel0", "vfio/0", "nvidia0", "nvidiactl", "kfd", "dxg"])
def test_an_accelerator_is_left_to_jax(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    environ: dict[str, str] = {}
    attached.prefer_cpu(environ, tmp_path)
    assert environ == {}


def test_a_platform_that_a_person_names_stays(tmp_path: Path) -> None:
    environ = {"JAX_PLATFORMS": "tpu"}
    attached.prefer_cpu(environ, tmp_path)
    assert environ == {"JAX_PLATFORMS": "tpu"}

"""Compiled programs are code: they are loaded only from where no other user can put them."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from trainer.devices import compilation
from trainer.devices.cpu_cache import NO_CACHE, Executables

NOBODY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user, which needs root")


def compiled(cache: Executables) -> float:
    lowered = jax.jit(lambda x: x * 2 + 1).lower(jax.ShapeDtypeStruct((), jnp.float32))
    program = cache.compile(lowered, "double")
    cache.keep()
    return float(program(jnp.float32(3)))


def test_a_new_cache_is_closed_to_others(tmp_path: Path) -> None:
    cache = compilation.use_cache("auto", str(tmp_path), "cpu")
    assert compiled(cache) == 7
    folder = tmp_path / "compile-cache"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in folder.iterdir()] == [0o600]


def give_folder(folder: Path) -> None:
    os.chown(folder, NOBODY, NOBODY)


def open_folder(folder: Path) -> None:
    folder.chmod(0o777)


def open_to_group(folder: Path) -> None:
    folder.chmod(0o770)


def swap_for_link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")
    os.lchown(folder, NOBODY, NOBODY)


@root
@pytest.mark.parametrize("platform", ["cpu", "tpu"])
@pytest.mark.parametrize("spoil", [give_folder, open_folder, open_to_group, swap_for_link])
def test_a_folder_of_others_is_no_cache(tmp_path: Path, spoil, platform: str, capsys) -> None:
    folder = tmp_path / "programs"
    folder.mkdir(mode=0o700)
    spoil(folder)
    before = jax.config.jax_compilation_cache_dir
    assert compilation.use_cache(str(folder), str(tmp_path), platform) is NO_CACHE
    assert jax.config.jax_compilation_cache_dir == before
    assert f"train.compile_cache: {folder} is not used, because other users" in capsys.readouterr().err


@root
@pytest.mark.parametrize("spoil", [give_folder, open_folder])
def test_a_program_that_others_may_have_written_is_not_loaded(tmp_path: Path, spoil, capsys) -> None:
    cache = compilation.use_cache("auto", str(tmp_path), "cpu")
    compiled(cache)
    (file,) = (tmp_path / "compile-cache").iterdir()
    spoil(file)
    assert compiled(compilation.use_cache("auto", str(tmp_path), "cpu")) == 7
    assert f"{file} cannot be used: other users may write to it" in capsys.readouterr().err
    assert file.stat().st_uid == os.geteuid()  # written again

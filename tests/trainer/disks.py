"""Real failures of a disk for tests: a small one, a read-only one, and files of another user."""

import contextlib
import os
import subprocess
import sys

import pytest


@contextlib.contextmanager
def mounted(folder, *arguments):
    """Mount something on a folder for a test; skip the test where only root of a Linux machine could."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounts a file system, which needs root on Linux")
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", *arguments, str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("mounts a file system, which this container does not allow")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def small_disk(folder, kib):
    """A file system of a few KiB."""
    return mounted(folder, "-t", "tmpfs", "-o", f"size={kib}k", "small")


@contextlib.contextmanager
def read_only(folder):
    """Make a folder with its files read-only."""
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield folder


@contextlib.contextmanager
def as_another_user():
    """Act as a user to whom nothing in the folders of tests is open."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("becomes another user, which needs root on Linux")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)

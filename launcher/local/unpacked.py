"""The code of `--code` on this machine: the archive of a pod, unpacked as its init container does.

So a run here imports what was packed, and a change of the directory meanwhile does not reach it.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.code import bucket
from launcher.errors import ActionError
from launcher.rendering import code as rendered_code
from launcher.request import packed_code

if TYPE_CHECKING:
    from launcher.local.pods import Pod
    from launcher.request.job import TrainingJob
    from launcher.request.packed_code import PackedCode


@contextmanager
def directory(job: TrainingJob, environ: Mapping[str, str]) -> Iterator[str]:
    """Give the directory of a job's unpacked code; empty for a job without.

    The archive is kept in the run directory. It is unpacked to a folder of this process, which goes with it:
    another `local` of the same run finds nothing of it missing.

    Raises:
      ActionError: it cannot be kept or unpacked.
    """
    if job.code is None:
        yield ""
        return
    parent = None
    if rendered_code.in_bucket(job):
        bucket.keep(job.code, job.run_dir)
    else:
        parent = bucket.keep_here(job.code, job.run_dir).parent
    with temporary(job.code, environ, parent) as folder:
        yield folder


@contextmanager
def temporary(
    code: PackedCode | None, environ: Mapping[str, str], parent: Path | None = None
) -> Iterator[str]:
    """Give a directory with the files of packed code, which goes with the block; empty without code.

    Args:
      parent: folder of the directory; that of temporary files if not given.

    Raises:
      ActionError: it cannot be unpacked.
    """
    if code is None or not code.archive:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="unpacked-", dir=parent) as folder:
        archive = Path(folder, rendered_code.FILE)
        archive.write_bytes(code.archive)
        yield _unpack(archive, Path(folder, "code"), code.digest, environ)


def path(directory: str, environ: Mapping[str, str]) -> str:
    """Return a PYTHONPATH that begins with a directory and goes on with that of the environment."""
    return os.pathsep.join(filter(None, [directory, environ.get("PYTHONPATH")]))


def adapted(pod: Pod, code: str, environ: Mapping[str, str]) -> Pod:
    """Return a pod whose code lies in the directory `code` of this machine."""
    paths = [entry for entry in pod.env["PYTHONPATH"].split(":") if entry != rendered_code.IMAGE_PATH]
    paths = [code if entry == packed_code.DIRECTORY else entry for entry in paths]
    if inherited := environ.get("PYTHONPATH"):
        paths.append(inherited)
    folder = pod.directory
    if f"{folder}/".startswith(f"{packed_code.DIRECTORY}/"):
        folder = code + folder.removeprefix(packed_code.DIRECTORY)
    env = pod.env | {"PYTHONPATH": os.pathsep.join(paths)}
    return dataclasses.replace(pod, directory=folder, env=env)


def _unpack(archive: Path, target: Path, digest: str, environ: Mapping[str, str]) -> str:
    command = [sys.executable, "-P", *rendered_code.PROGRAM[1:], str(archive), str(target), digest]
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason"]
        raise ActionError(f"the code was not unpacked: {lines[0].removeprefix('error: ')}")
    return str(target)

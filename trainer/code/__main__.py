"""``python -m trainer.code SOURCE DIRECTORY SHA256``: what the init container of a run with --code runs.

Exit codes: 0 unpacked, 43 the bucket does not answer, 44 the archive is missing, changed or not what it must
be. It imports no JAX, so that a pod starts without a delay.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from trainer.code import archive, fetch
from trainer.errors import ERROR, ExitCode, TrainError

USAGE = "python -m trainer.code SOURCE DIRECTORY SHA256"


def main(arguments: Sequence[str]) -> int:
    """Unpack one archive and return the exit code."""
    if len(arguments) != 3:
        print(f"{ERROR}code: must have three arguments, got {len(arguments)}\nhint: {USAGE}", file=sys.stderr)
        return ExitCode.FATAL
    source, directory, digest = arguments
    started = time.monotonic()
    try:
        content = fetch.fetch(source)
        archive.verify(content, digest, source)
        count = archive.unpack(content, Path(directory), source)
    except TrainError as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return error.exit_code
    seconds = time.monotonic() - started
    print(f"code: {count} file{'s' * (count != 1)} in {directory} after {seconds:.1f} s, SHA-256 {digest}")
    return ExitCode.FINISHED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Whether the storage of buckets can be reached at all, asked once before its clients retry for a minute."""

import os
import socket
from urllib.request import getproxies

from trainer.errors import StorageError

HOST, PORT = "storage.googleapis.com", 443
SECONDS = 5.0


def require(address: str) -> None:
    """Check that something listens where a bucket is asked for.

    Args:
      address: a path or gs://…; a path needs nothing.

    Raises:
      StorageError: this machine has no network, or the host does not answer in five seconds.
    """
    if not address.startswith("gs://") or os.environ.get("STORAGE_EMULATOR_HOST") or getproxies():
        return
    try:
        socket.create_connection((HOST, PORT), SECONDS).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(f"{address} cannot be reached: {HOST}: {why}") from None

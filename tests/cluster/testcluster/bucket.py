"""The bucket: fake-gcs-server on the cluster's address, the same URL for pods and for this machine.

Its objects are files, so they are still there after `stop` and `start`.
"""

import functools
import json
import sys
import urllib.error
import urllib.request

from testcluster import places
from testcluster.build import binary
from testcluster.controlplane import healthy
from testcluster.errors import ClusterError
from testcluster.network import Wire
from testcluster.sandbox import Sandbox

PORT = 4443
NAME = "bucket"
UNAVAILABLE = "bucket-unavailable"


def environment(url: str) -> dict[str, str]:
    """Return the environment that makes every Google client of a process use the emulator.

    google-cloud-storage and gcsfs read the first, TensorStore the second; without the third gcsfs probes an
    interface that the emulator lacks and warns at every access, and without the last each process searches
    4 s for a metadata server, which only Google's machines have.
    """
    return {
        "STORAGE_EMULATOR_HOST": url,
        "TENSORSTORE_GCS_HTTP_URL": url,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "NO_GCE_CHECK": "true",
    }


class Bucket:
    """A Google Cloud Storage emulator that can be stopped, started and made to answer 503."""

    def __init__(self, sandbox: Sandbox, wire: Wire) -> None:
        self.sandbox = sandbox
        self.url = f"http://{wire.node}:{PORT}"
        self._authority = f"{wire.node}:{PORT}"

    def environment(self) -> dict[str, str]:
        return environment(self.url)

    def start(self) -> None:
        """Start the emulator and wait until it answers; ends `refuse` where that is on."""
        self.stop()
        flags = [
            "-scheme=http",
            f"-port={PORT}",
            f"-filesystem-root={self.sandbox.folder / 'buckets'}",
            f"-external-url={self.url}",
            f"-public-host={self._authority}",
        ]
        self.sandbox.start(NAME, [binary("bucket", "fake-gcs-server"), *flags])
        check = functools.partial(healthy, f"{self.url}/_internal/healthcheck")
        self.sandbox.wait(NAME, check, errors=(OSError,))

    def stop(self) -> None:
        """Stop answering: connections are refused until `start`. Objects stay."""
        running = self.sandbox.status()
        for name in (NAME, UNAVAILABLE):
            if name in running and running[name]["exit"] is None:
                self.sandbox.stop(name)

    def refuse(self) -> None:
        """Answer every request with 503, as an overloaded service does, until `start`."""
        self.stop()
        host, port = self._authority.split(":")
        command = [sys.executable, "-m", "testcluster.unavailable", host, port]
        self.sandbox.start(UNAVAILABLE, command, {"PYTHONPATH": str(places.PACKAGE.parent)})
        self.sandbox.wait(UNAVAILABLE, self._refuses, errors=(OSError,))

    def _refuses(self) -> bool:
        try:
            return not healthy(self.url)
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 503

    def create(self, name: str) -> str:
        """Create a bucket unless it exists; returns its gs:// address."""
        body = json.dumps({"name": name}).encode()
        request = urllib.request.Request(
            f"{self.url}/storage/v1/b?project=test", data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10):
                pass
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 409:  # it exists
                    raise ClusterError(
                        f"bucket {name}: {error.read().decode(errors='replace')[:300]}"
                    ) from None
        return f"gs://{name}"

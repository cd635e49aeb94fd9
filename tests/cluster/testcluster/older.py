"""JobSet's definitions of older releases, each under a group of its own beside the installed one.

An API server checks objects against them as strictly as against its own, in no time and without old managers.
"""

import json
from pathlib import Path

import yaml

from testcluster import places
from testcluster.api import Object
from testcluster.build import go
from testcluster.errors import ClusterError

# release -> hash of its Go module, as in go.sum
JOBSETS = {
    "0.5.2": "h1:276q5Pi/ErLYj+GQ0ydEXR6tx3LwBhEzHLQv+k8bYF4=",
    "0.6.0": "h1:s5laI2rXo4CZ/I/GvG9aRlWwUnGntrV7MMtPNC1UtoU=",
    "0.7.3": "h1:kfRKQh6A9gvnGWM1MMfJ42/qWUQtOzQmrfId6NweLgU=",
    "0.8.2": "h1:WC5a5G7MqfJJy4p+6OxGMpfbB90KoDSay96Mc4yMMZM=",
    "0.10.1": "h1:u8QKifNsrWVrlRFe6w2ofYTqFT9ma2DRHxfeB2m9xyU=",
    "0.11.1": "h1:WgLEBnXTeX+4MxfVkIbfm4jIVgjvIY6Jfaei2okxKNk=",
}


def group(release: str) -> str:
    """Return the API group that holds the definition of a release."""
    return f"jobset-{release.replace('.', '-')}.example.com"


def definition(release: str) -> Object:
    """Return the CRD of a release of JobSet, in its own group; raises ClusterError for other content."""
    module = f"sigs.k8s.io/jobset@v{release}"
    download = json.loads(go("mod", "download", "-json", module, folder=places.GO_MODULES / "pause"))
    if download["Sum"] != JOBSETS[release]:
        raise ClusterError(f"{module}: must have the hash {JOBSETS[release]}, got {download['Sum']}")
    folder = Path(download["Dir"]) / "config" / "components" / "crd" / "bases"
    crd: Object = yaml.load((folder / "jobset.x-k8s.io_jobsets.yaml").read_text(), yaml.CSafeLoader)
    crd["metadata"] = {"name": f"jobsets.{group(release)}"}
    crd["spec"]["group"] = group(release)
    return crd

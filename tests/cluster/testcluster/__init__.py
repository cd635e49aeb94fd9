"""A real Kubernetes on one machine, for tests: built from pinned Go modules, run in namespaces of its own.

`Cluster` is the whole of it; `python -m testcluster up` and the fixtures in `tests/cluster/conftest.py` use
it.
"""

from testcluster.cluster import Cluster
from testcluster.errors import ClusterError

__all__ = ["Cluster", "ClusterError"]

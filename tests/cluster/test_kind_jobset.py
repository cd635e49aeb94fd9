"""The manifests with which a kind cluster gets JobSet, on a real API server."""

import shutil

import pytest
from testcluster import Cluster, kind


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_its_jobset_is_accepted_whole(control_plane: Cluster) -> None:
    manifests = list(kind.jobset_manifests())
    kinds = [manifest["kind"] for manifest in manifests]
    assert {"CustomResourceDefinition", "Deployment", "Service", "MutatingWebhookConfiguration"} <= set(kinds)
    (deployment,) = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "localhost/jobset:pinned"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "jobset-system"}}
    control_plane.api.apply([namespace])
    try:
        for manifest in manifests:
            if "Webhook" in manifest["kind"]:  # the control plane has one of this name, reached by URL
                manifest["metadata"]["name"] += "-of-kind"
            query = "?fieldManager=kind&force=true&dryRun=All&fieldValidation=Strict"
            path = control_plane.api.path(manifest) + query
            stored = control_plane.api.request("PATCH", path, manifest, "application/apply-patch+yaml")
            assert stored["kind"] == manifest["kind"]
    finally:
        control_plane.api.delete(namespace)

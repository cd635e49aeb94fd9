"""`resize` on a real API server, whose stored objects have its defaults and its record of who set what."""

import pytest
from commands import Command
from testcluster import Cluster

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

RUN = "submit --arch resnet18 --data digits --bucket b-1 --image r/i:1 --name moved --batch 64 --cpu 1000m "
RUN += "--memory 1024Mi --env A=1 --env EMPTY= --secret-env T=s/k --notify chat/url --mount pvc/a:/a:ro "
RUN += "--label team=vision --annotation why=not --toleration x=y --node-selector a=b --set optim.lr=0.5"
JOBSET = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{}/jobsets/moved"


def test_a_run_moves_and_keeps_the_rest_of_its_request(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    def stored() -> dict:
        return control_plane.api.request("GET", JOBSET.format(namespace))

    assert launch(f"{RUN} --slice cpu-2x1").code == 0
    before = stored()
    refused = launch("resize moved --slice cpu-3x1 --no-compile")
    assert refused.code == 2
    assert "error: batch: must be a multiple of the run's 3 devices, got 64" in refused.err
    assert stored()["metadata"]["uid"] == before["metadata"]["uid"]
    moved = launch("resize moved --slice cpu-4x2 --num-slices 2 --no-compile")
    assert (moved.code, moved.out) == (0, "moved goes on with 2 x cpu-4x2\n"), moved.err
    after = stored()
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["replicatedJobs"][0]["replicas"] == 2
    # What a submission of the same request on the new shape would change: nothing.
    line = RUN.removeprefix("submit ").replace("--name moved ", "")
    difference = launch(f"diff moved {line} --slice cpu-4x2 --num-slices 2")
    assert (difference.code, difference.out) == (0, ""), difference.out
    again = launch("resize moved --num-slices 2 --no-compile")
    assert again.out == "moved has this shape already: 2 x cpu-4x2\n"

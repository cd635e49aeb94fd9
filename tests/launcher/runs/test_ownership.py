"""Objects beside the JobSet, and queues: what is another's is neither taken over nor deleted."""

import pytest
from answers import Answers

from launcher import TrainingJob, keys
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError, RequestError
from launcher.runs import lookup, ownership, queueing

DOMAIN = {"kind": "ComputeDomain", "metadata": {"name": "run"}}


class Served(Answers):
    """Answers that select by label and note what is deleted."""

    def __init__(self, **objects):
        super().__init__(**objects)
        self.deleted = []

    def serves(self, kind):
        return kind in self.objects

    def list(self, kind, namespace=None, labelSelector="", **query):
        wanted = dict(term.split("=") for term in labelSelector.split(",") if term)
        objects, version = super().list(kind, namespace)
        return [o for o in objects if wanted.items() <= o["metadata"].get("labels", {}).items()], version

    def delete(self, kind, name, uid=""):
        self.deleted.append((kind, name, uid))


def domain(name="run", **labels):
    return {"kind": "ComputeDomain", "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels}}


RUN = {"metadata": {"name": "run", "uid": "uid-jobset", "labels": keys.labels("run")}}


@pytest.mark.parametrize("labels", [{}, {keys.INSTANCE: "run"}, keys.labels("other")])
def test_an_object_of_another_is_not_taken_over(labels):
    with pytest.raises(RequestError, match="ComputeDomain 'run' exists already"):
        ownership.require_free(Served(ComputeDomain=[domain(**labels)]), [DOMAIN], "run")


def test_an_object_of_the_run_itself_is_applied_again():
    ownership.require_free(Served(ComputeDomain=[domain(**keys.labels("run"))]), [DOMAIN], "run")
    ownership.require_free(Served(), [DOMAIN], "run")


def test_only_the_run_s_own_objects_are_deleted_with_it():
    own, foreign = domain("own", **keys.labels("run")), domain("foreign", **{keys.INSTANCE: "run"})
    other = domain("other", **keys.labels("run-2"))
    cluster = Served(JobSet=[RUN], ComputeDomain=[own, foreign, other])
    lookup.delete(cluster, RUN)
    assert cluster.deleted == [("JobSet", "run", "uid-jobset"), ("ComputeDomain", "own", "uid-own")]


@pytest.mark.parametrize(
    "labels", [{}, {keys.INSTANCE: "run"}, {keys.NAME: "web"}, {keys.MANAGED_BY: "Helm"}]
)
def test_a_jobset_without_our_labels_is_not_ours(labels):
    with pytest.raises(ActionError, match="was not made by resnet-launch"):
        ownership.require_ours({"metadata": {"name": "run", "labels": labels}})


def job(**fields):
    return TrainingJob(slice="cpu-2x1", arch="resnet18", bucket="b-1", **fields)


def test_a_cluster_without_kueue_has_no_queue():
    class WithoutKueue(Answers):
        def list(self, kind, namespace=None, **query):
            raise Refused(404, f"this cluster has no {kind}")

    with pytest.raises(
        RequestError, match="queue: must be used where Kueue is installed, got 'team'"
    ) as error:
        queueing.check(job(queue="team"), WithoutKueue())
    assert "--no-queue" in error.value.problems[0].hint


class OldKueue(Answers):
    """A cluster whose Kueue serves only v1beta1."""

    def list(self, kind, namespace=None, **query):
        if kind in ("LocalQueue", "WorkloadPriorityClass"):
            raise Refused(404, f"this cluster has no {kind}")
        return super().list(kind, namespace)


def test_the_closest_queue_is_named_also_by_an_older_kueue():
    cluster = OldKueue(OlderLocalQueue=[named("team")])
    queueing.check(job(queue="team"), cluster)
    with pytest.raises(RequestError) as error:
        queueing.check(job(queue="taem"), cluster)
    assert error.value.problems[0].hint == "did you mean team?"


def test_the_newest_version_of_kueue_s_api_is_asked_first():
    cluster = Answers(LocalQueue=[named("team")], WorkloadPriorityClass=[named("high")])
    queueing.check(job(queue="team", priority="high"), cluster)
    assert cluster.asked == ["LocalQueue", "WorkloadPriorityClass"]


def named(name):
    return {"metadata": {"name": name}}


def deployment(image):
    containers = [{"name": "manager", "image": image}]
    return {**named("kueue-controller-manager"), "spec": {"template": {"spec": {"containers": containers}}}}


BY_TOPOLOGY = {"queue": "team", "topology_required": "cloud.google.com/gce-topology-block"}


@pytest.mark.parametrize(
    ("image", "fields", "got"),
    [
        ("r/kueue:v0.12.4", {"num_slices": 2}, "0.13 or newer for 2 slices, got v0.12.4 in this cluster"),
        ("r/kueue:v0.8.1", {"num_slices": 2}, "0.13 or newer for 2 slices, got v0.8.1 in this cluster"),
        ("r/kueue:v0.8.1", {}, "0.9 or newer, got v0.8.1 in this cluster"),
        ("r/kueue:0.6", {}, "0.9 or newer, got 0.6 in this cluster"),
    ],
)
def test_a_kueue_too_old_for_the_placement_is_refused(image, fields, got):
    cluster = Answers(LocalQueue=[named("team")], Deployment=[deployment(image)])
    with pytest.raises(RequestError) as error:
        queueing.check(job(**BY_TOPOLOGY, **fields), cluster)
    [problem] = error.value.problems
    assert str(problem) == f"topology-required: must be used with Kueue {got}"


@pytest.mark.parametrize(
    ("image", "fields"),
    [
        ("r/kueue:v0.13.0", {"num_slices": 2}),
        ("r/kueue:v0.12.4", {}),
        ("r/kueue@sha256:" + "0" * 64, {"num_slices": 2}),  # no version to read
        ("r/ours:v0.1", {"num_slices": 2, "kueue_version": "0.19"}),  # the request knows better
    ],
)
def test_a_kueue_that_is_new_enough_or_not_known_is_used(image, fields):
    cluster = Answers(LocalQueue=[named("team")], Deployment=[deployment(image)])
    queueing.check(job(**BY_TOPOLOGY, **fields), cluster)


def test_deployments_that_may_not_be_read_stop_no_run():
    cluster = Answers(LocalQueue=[named("team")], refused=("Deployment",))
    queueing.check(job(**BY_TOPOLOGY, num_slices=2), cluster)
    assert cluster.asked == ["LocalQueue", "Deployment"]


def test_a_run_without_topology_asks_for_no_deployment():
    cluster = Answers(LocalQueue=[named("team")])
    queueing.check(job(queue="team"), cluster)
    assert cluster.asked == ["LocalQueue"]

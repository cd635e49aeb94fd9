"""Refusals of the API server as sentences, from messages of Kubernetes 1.36, JobSet 0.11 and Kueue 0.15."""

import pytest

from launcher.cluster.refusals import refusal

QUOTA = "exceeded quota: q, requested: count/pods=1, used: count/pods=2, limited: count/pods=2"


@pytest.mark.parametrize(
    ("status", "text", "about", "message"),
    [
        (404, 'namespaces "nono" not found', "namespace", "namespace: nono does not exist"),
        (
            403,
            'jobsets.jobset.x-k8s.io is forbidden: User "jane" cannot list resource "jobsets" in API group '
            '"jobset.x-k8s.io" in the namespace "team"',
            "permission",
            'jane may not list jobsets in the namespace "team"',
        ),
        (
            403,
            'jobsets.jobset.x-k8s.io is forbidden: User "jane" cannot list resource "jobsets" in API group '
            '"jobset.x-k8s.io" at the cluster scope',
            "permission",
            "jane may not list jobsets at the cluster scope",
        ),
        (
            403,
            'pods "run-x" is forbidden: violates PodSecurity "restricted:latest": host namespaces '
            "(hostNetwork=true)",
            "pod security",
            "the namespace allows only pods of Pod Security level restricted:latest: "
            "host namespaces (hostNetwork=true)",
        ),
        (
            403,
            f'pods "run-x" is forbidden: {QUOTA}',
            "quota",
            "resource quota q has no room: requested count/pods=1, used count/pods=2, "
            "limited to count/pods=2",
        ),
        (
            403,
            'pods "r1-x" is forbidden: error looking up service account h4/nobody: serviceaccount "nobody" '
            "not found",
            "service account",
            "service-account: nobody does not exist in the namespace",
        ),
        (
            403,
            'admission webhook "vjobset.kb.io" denied the request: maxRestarts must be positive',
            "webhook",
            "refused by vjobset.kb.io: maxRestarts must be positive",
        ),
        (
            404,
            "the server could not find the requested resource",
            "",
            "this cluster has no jobsets.jobset.x-k8s.io",
        ),
        (401, "Unauthorized", "login", "the cluster does not know who you are"),
        (
            500,
            'Internal error occurred: failed calling webhook "mjobset.kb.io": failed to call webhook: Post '
            '"https://w.svc:443/mutate?timeout=10s": context deadline exceeded',
            "webhook",
            "the cluster's webhook mjobset.kb.io cannot be called, so nothing can be submitted: Post "
            '"https://w.svc:443/mutate?timeout=10s": context deadline exceeded',
        ),
        (
            500,
            'Internal error occurred: failed calling webhook "v.kb.io": x509: certificate has expired',
            "webhook",
            "the cluster's webhook v.kb.io cannot be called, so nothing can be submitted: "
            "x509: certificate has expired",
        ),
        (
            422,
            "forbidden: ValidatingAdmissionPolicy 'owner' with binding 'b' denied request: no owner",
            "policy",
            "refused by the policy owner: no owner",
        ),
        (
            403,
            'pods "x" is forbidden: failed quota: compute: must specify limits.cpu for: trainer',
            "quota",
            "resource quota compute demands values that the run does not have: limits.cpu for: trainer",
        ),
        (
            403,
            'pods "x" is forbidden: [maximum cpu usage per Container is 2, but no limit is specified]',
            "limit range",
            "a LimitRange of the namespace does not allow the pod: "
            "maximum cpu usage per Container is 2, but no limit is specified",
        ),
        (
            403,
            "forbidden: unable to create new content in namespace dev because it is being terminated",
            "terminating",
            "namespace: dev is being deleted",
        ),
        (409, "something new", "", "something new"),
    ],
)
def test_refusals(status, text, about, message):
    error = refusal(
        status, {"message": text}, "patch /apis/jobset.x-k8s.io/v1alpha2/namespaces/n/jobsets/run"
    )
    assert (error.status, error.about, str(error)) == (status, about, message)


def test_braces_in_a_message_are_text():
    text = 'admission webhook "w" denied the request: {0} {nonsense}'
    assert str(refusal(400, {"message": text}, "patch x")) == "refused by w: {0} {nonsense}"


def test_a_cluster_without_jobset_says_how_to_get_it():
    error = refusal(404, {"message": "404 page not found"}, "get /apis/jobset.x-k8s.io/v1alpha2/jobsets")
    assert str(error) == "this cluster has no jobsets.jobset.x-k8s.io"
    assert "install JobSet 0.12 or newer" in error.hint


def test_a_path_that_no_api_server_has_is_no_kind_of_the_cluster():
    error = refusal(404, {"message": "404 page not found"}, "get /api/v1/namespaces/n/pods")
    assert str(error) == "no API server answers at /api/v1/namespaces/n/pods: 404 page not found"


@pytest.mark.parametrize(
    ("demanded", "flags"),
    [
        ("limits.cpu for: trainer", "--cpu-limit 4"),
        ("limits.cpu for: trainer; limits.memory for: trainer", "--cpu-limit 4 --memory 16Gi"),
        ("cpu,memory", "--cpu 4 --memory 16Gi"),
        ("limits.ephemeral-storage for: trainer; requests.cpu", "--ephemeral-storage 10Gi --cpu 4"),
        ("requests.nvidia.com/gpu", "--patch FILE"),
    ],
)
def test_a_quota_s_demand_names_the_flags_that_meet_it(demanded, flags):
    text = f'pods "x" is forbidden: failed quota: compute: must specify {demanded}'
    assert refusal(403, {"message": text}, "").hint == f"set them, as in {flags}"

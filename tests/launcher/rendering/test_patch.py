"""Strategic merge: what merges, what is replaced, what is removed."""

import pytest

from launcher import TrainingJob, render
from launcher.rendering.patch import merge


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 2, "d": 3}}),
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": {"$patch": "delete"}}, {}),
        ({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}, {"a": {"c": 2}}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
        ),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "A", "$patch": "delete"}]},
            {"env": [{"name": "B", "value": "2"}]},
        ),
        ({}, {"a": {"b": None, "c": [{"d": None, "e": 1}]}}, {"a": {"c": [{"e": 1}]}}),
    ],
)
def test_merge(target, patch, expected):
    before = repr(target)
    assert merge(target, patch) == expected
    assert repr(target) == before


def test_a_patch_is_applied_last():
    patch = {
        "spec": {
            "failurePolicy": {"maxRestarts": 3},
            "replicatedJobs": [
                {
                    "name": "slice",
                    "template": {
                        "spec": {
                            "template": {
                                "spec": {"containers": [{"name": "trainer", "imagePullPolicy": "Never"}]}
                            }
                        }
                    },
                }
            ],
        }
    }
    [jobset] = render(TrainingJob(slice="v4-32", arch="resnet50", patch=patch))
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == 3
    assert jobset["spec"]["failurePolicy"]["restartStrategy"] == "BlockingRecreate"
    [group] = jobset["spec"]["replicatedJobs"]
    assert group["template"]["spec"]["parallelism"] == 4
    [trainer] = group["template"]["spec"]["template"]["spec"]["containers"]
    assert trainer["imagePullPolicy"] == "Never"
    assert trainer["resources"]["limits"] == {"google.com/tpu": 4}

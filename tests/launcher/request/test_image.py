"""Names of images: the grammar of container registries, whose references a kubelet parses."""

import pytest

from launcher.request import kubernetes_names
from launcher.request.readers import Wrong

DIGEST = "sha256:" + "0123456789abcdef" * 4
RIGHT = [
    "resnet",
    "resnet:1",
    "r/i:1",
    "r/i:1.2-rc_3",
    "team/sub/image",
    "ghcr.io/team/image:V1",
    "registry.example:5000/image",
    "localhost/image:x",
    "localhost:5000/image",
    "10.0.0.1:5000/a/b:c",
    "[fd00::1]:5000/a:b",
    "Registry.Example/image",
    "r.x/a__b/c-d--e/f.g_h:1",
    f"r/x@{DIGEST}",
    f"r.x:5/y:1@{DIGEST}",
    "us-docker.pkg.dev/project-1/repo/resnet-launch:0.1.0-tpu",
    "r/x:" + "t" * 128,
]
WRONG = [
    ("https://r/x:1", "--image r/x:1"),
    ("docker://r.x/y", "--image r.x/y"),
    ("r/x:1:2", ""),
    ("r/X/y", "--image r/x/y"),
    ("R/x:Latest", "--image r/x:Latest"),
    ("r/x/", "--image r/x"),
    ("r//x", ""),
    ("/x", ""),
    ("r/x:", ""),
    ("r/x:-1", ""),
    ("r/x:" + "t" * 129, ""),
    ("r/x@sha256:abc", ""),
    (f"r/x@{DIGEST}0", ""),
    (f"r/x@{DIGEST}:1", ""),
    ("r/a___b", ""),
    ("r/.a", ""),
    ("r/a.", ""),
    ("r:port/x", ""),
    ("r x", ""),
    ("r/x:1\n", ""),
    ("r/ü", ""),
    ("", ""),
    (1, ""),
]


@pytest.mark.parametrize("reference", RIGHT)
def test_a_reference(reference):
    assert kubernetes_names.image(reference) == reference


@pytest.mark.parametrize(("reference", "hint"), WRONG)
def test_no_reference(reference, hint):
    with pytest.raises(Wrong, match="must be an image such as REGISTRY/resnet-launch:TAG, got ") as caught:
        kubernetes_names.image(reference)
    assert caught.value.hint == hint

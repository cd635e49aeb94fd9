"""`submit` says that an image holds other code; it submits all the same."""

import json
import threading

import api_server
import commands_on_api
import faulty_registry
import pytest
from faulty_registry import serving

from launcher.image import age, code, document

SUBMIT = "submit --slice cpu-2x1 --arch resnet18 --bucket b-1 --name run --image"


def stored(server: faulty_registry.FaultyRegistry, labels: object) -> str:
    body = json.dumps({"config": {"Labels": labels}}).encode()
    described = {"digest": faulty_registry.digest(body), "size": len(body)}
    server.blobs[described["digest"]] = body
    server.manifests["1"] = json.dumps({"config": described, "layers": []}).encode()
    return f"{server.host}/team/resnet:1"


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        ({document.VERSION: "0.0.1"}, "is older than this launcher: 0.0.1, not 0.1.0"),
        ({document.CODE: "sha256:" + "0" * 64}, "holds another trainer than the one beside this launcher"),
        ({document.CODE: code.digest(code.trainer()), document.VERSION: "0.1.0"}, ""),
        ([], ""),
    ],
)
def test_submit_warns_of_an_old_image(on_api: commands_on_api.Commands, labels: object, warning: str) -> None:
    with serving() as registry, api_server.ApiServer() as server:
        image = stored(registry, labels)
        result = on_api(server, f"{SUBMIT} {image}")
    assert (result.code, result.out) == (0, ["run"])
    lines = [line for line in result.err if line.startswith(f"warning: image {image}")]
    assert [warning in line for line in lines] == [True] * bool(warning)


def test_a_registry_that_drips_does_not_hold_a_submission(
    on_api: commands_on_api.Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(age, "SECONDS", 0.3)
    let_go = threading.Event()
    with serving(lambda page: let_go.wait(20)) as registry, api_server.ApiServer() as server:
        result = on_api(server, f"{SUBMIT} {registry.host}/team/resnet:1")
        assert (result.code, result.out) == (0, ["run"])
        let_go.set()

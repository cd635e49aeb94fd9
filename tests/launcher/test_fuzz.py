"""10,000 random command lines and files: each ends in manifests that validate, or in clear errors."""

import contextlib
import io
import os

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from rendered_schema import JOBSET

from launcher.cli import main
from launcher.request import sources

VALID = Draft202012Validator(JOBSET)

SLICES = ["v4-32", "v5litepod-16", "v6e-8-1", "v5p-128", "v4:4x4x16"]
SLICES += ["h100-16", "gb200-72", "cpu-2x4", "l4-1", "a100-16"]
NO_SLICES = ["v4-33", "v5e-24", "v5p-99999999", "v4:2x2", "tpu7x", "tpu7x-64", "-1"]
NO_SLICES += ["cpu-0x1", "cpu-99999x1024", "local-gpu", "h100-9"]
# What fields can hold by themselves, though not always together or with every slice.
GOOD = {
    "num_slices": ["1", "2", "1000", "4096"],
    "name": ["a", "run-1", "x" * 40],
    "recipe": ["classic-90", "smoke"],
    "data": ["digits", "synthetic", "gs://bucket/imagenet"],
    "batch": ["147456", "4096"],
    "epochs": ["1", "0.5"],
    "steps": ["100"],
    "seed": ["0"],
    "set": ["optim.lr=0.1", "data.flip=true", "model.dtype=float32"],
    "bucket": ["my-bucket", "gs://b-1/a/b"],
    "run_dir": ["gs://b-1/x"],
    "image": ["r/i:1", "r/i@sha256:0"],
    "namespace": ["team"],
    "service_account": ["trainer"],
    "env": ["A=1", "A=", "A=b: c\n- d", "B=☃", "C=\x07", "D='\"", "E=true", "F=0x1F", "G=~"],
    "secret_env": ["T=s/k"],
    "mount": ["pvc/a:/a", "gcs/b-1:/b:ro", "host/x:/x", "ssd:/s"],
    "label": ["team=vision", "a/b=c", "y=no", "kueue.x-k8s.io/queue-name=q"],
    "annotation": ["a=b", "example.com/x={}", "a=\t", "b=- c\n\n d ", "c=#", "d="],
    "node_selector": ["a=b"],
    "toleration": ["a", "a=b", "a=b:NoSchedule"],
    "cpu": ["1", "500m"],
    "memory": ["1Gi"],
    "grace": ["0", "90s", "5m"],
    "ttl": ["0", "7d"],
    "deadline": ["1h"],
    "max_restarts": ["0", "1000"],
    "jobset_version": ["0.11", "v0.8.2", "0.6", "0.5"],
    "reservation": ["r-1"],
    "flex": ["24h", "7d"],
    "queue": ["team"],
    "priority": ["high"],
    "topology_required": ["cloud.google.com/gce-topology-block"],
    "topology_preferred": ["a"],
    "placement_policy": ["p-1"],
    "gpu_resource": ["amd.com/gpu"],
    "platform": ["gke", "generic"],
    "patch": ["patch.yaml"],
}
# What they cannot.
BAD = {
    "num_slices": ["0", "4097", "two", "1.5", "0\x1f"],
    "arch": ["resnet51", ""],
    "name": ["x" * 60, "Run", "a\nb", "a: b", "-a"],
    "recipe": ["classic"],
    "batch": ["100", "0", "1e3", "9" * 30, "٣"],
    "epochs": ["0", "nan", "inf", "-1"],
    "seed": ["-1"],
    "set": ["optim.lr=x", "optim.lr=1_0", "nothing=1", "model.dtype=float16", "=", "train.batch=٣"],
    "bucket": ["B", "gs://", "b-1/../x"],
    "run_dir": ["/runs/x", "runs/x", "/"],
    "image": ["a b"],
    "env": ["RESNET_HOSTS=1", "A", "="],
    "secret_env": ["T=s", "T=S/k", "A=s/k"],
    "mount": ["pvc/a:/tmp", "pvc/:/a", "nfs/a:/a", "pvc/a"],
    "label": ["team=a b", "="],
    "platform": ["local", "eks"],
    "toleration": ["a:Never", ":"],
    "flex": ["8d", "0", "soon"],
    "memory": ["lots"],
    "jobset_version": ["1", "newest"],
    "patch": ["none.yaml", ".", "resnet-launch.yaml"],
}
SWITCHES = [name for name, field in sources.FIELDS.items() if isinstance(field.default, bool)]
WORDS = st.one_of(
    st.text(max_size=12), st.sampled_from(["--", "-", "--help", "=", "a=b", "null", "[", "{}", "\0"])
)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def pairs(table: dict[str, list[str]]) -> list[list[str]]:
    return [[flag(name), value] for name, values in table.items() for value in values]


FLAGS = st.sampled_from([flag(name) for name in sources.FIELDS])
RIGHT = st.sampled_from(pairs(GOOD) + [[flag(name)] for name in SWITCHES])
ANY = st.one_of(
    RIGHT, RIGHT, RIGHT, RIGHT, st.sampled_from(pairs(BAD)), st.tuples(FLAGS, WORDS), st.tuples(WORDS)
)
MOSTLY_RIGHT = st.one_of(st.lists(RIGHT, max_size=4), st.lists(RIGHT, max_size=2), st.lists(ANY, max_size=5))
SLICE = st.sampled_from(SLICES * 3 + NO_SLICES)
TRAINER_WORDS = [["--", "--seed", "1"], ["--", "--batch"], ["--", "--set=optim.lr=1"], ["--"], ["--", "x"]]
TRAINER = st.one_of(*[st.just([])] * 3, st.sampled_from(TRAINER_WORDS))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
ANYTHING = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=5), SCALARS, max_size=3)
)
KEYS = st.sampled_from(sorted(sources.FIELDS.keys() - sources.NOT_SHARED))
GOOD_VALUES = st.sampled_from([value for values in GOOD.values() for value in values])
FILES = st.one_of(
    st.none(),
    st.lists(RIGHT.filter(lambda words: len(words) == 2), max_size=3).map(
        lambda found: {name[2:]: value for name, value in found}
    ),
    st.dictionaries(KEYS, st.one_of(ANYTHING, GOOD_VALUES), max_size=2),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=30),
)


def outcome(words: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["render", *words])
    return code, out.getvalue(), err.getvalue()


def check(words: list[str], file: object) -> bool:
    """Runs one request in the current folder; whether it was rendered."""
    text = file if isinstance(file, str) else yaml.safe_dump(file, allow_unicode=True)
    with open("resnet-launch.yaml", "w", newline="") as target:
        target.write("" if file is None else text)
    code, out, err = outcome(words)
    assert sorted(os.listdir()) == ["patch.yaml", "resnet-launch.yaml"]
    assert "Traceback" not in err
    assert "fault of resnet-launch" not in err
    if code:
        assert code == 2
        assert out == ""
        assert err.startswith(("error: ", "warning: "))
    elif not out.startswith("Usage: "):
        *_, jobset = yaml.load_all(out, Loader=yaml.CSafeLoader)
        errors = list(VALID.iter_errors(jobset))
        assert "patch" in text or not errors, errors[0]
        return True
    return False


def test_every_request_ends_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patch.yaml").write_text("metadata: {labels: {patched: 'yes'}}\n")
    rendered = [0, 0]

    @settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(SLICE, MOSTLY_RIGHT, TRAINER, FILES)
    def each(slice_name, found, trainer, file):
        words = [
            "--slice",
            slice_name,
            "--arch",
            "resnet50",
            *(word for words in found for word in words),
            *trainer,
        ]
        rendered[check(words, file)] += 1

    each()
    assert min(rendered) > 2000, rendered  # both ends are reached, not one of them only

"""YAML that people write: as it is spelled, each key once, bounded; each wrong value with its line."""

import os
import time

import pytest

from launcher.cli import main
from launcher.errors import RequestError
from launcher.request import sources
from launcher.request.job import TrainingJob


def read(folder, text):
    path = folder / "resnet-launch.yaml"
    path.write_text(text)
    return sources.file(path)


def problems(folder, text):
    with pytest.raises(RequestError) as caught:
        read(folder, text)
    return caught.value.messages()


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("env: {VERSION: 1.10}", "env", "VERSION=1.10"),
        ("env: {PORT: 0x10}", "env", "PORT=0x10"),
        ("env: {MODE: 010}", "env", "MODE=010"),
        ("env: {COUNT: 1_000}", "env", "COUNT=1_000"),
        ("env: {TIME: 12:30:45}", "env", "TIME=12:30:45"),
        ("env: {DAY: 2026-01-31}", "env", "DAY=2026-01-31"),
        ("env: {GIT_SHA: 25921e05}", "env", "GIT_SHA=25921e05"),
        ("env: {1: x}", "env", "1=x"),
        ("env: {on: x}", "env", "on=x"),
        ('env: {DEBUG: "yes"}', "env", "DEBUG=yes"),
        ("env: {EMPTY: ''}", "env", "EMPTY="),
        ("label: {version: 1.10}", "label", "version=1.10"),
        ("set: {data.flip: true}", "set", "data.flip=true"),
        ("set: {optim.lr: 1.0}", "set", "optim.lr=1.0"),
        ("x: &x {A: b}\nenv: {A: b}", None, None),
        ("env: {A: &a b, B: *a}", "env", "B=b"),
        ("env: {<<: {A: b, B: c}, A: d}", "env", "A=d"),
    ],
)
def test_values_stay_as_they_are_spelled(tmp_path, text, name, value):
    if name is None:  # an unknown key is refused whatever it is for
        assert "must have known keys, got 'x' in line 1" in problems(tmp_path, text)[0][0]
        return
    values, _ = sources.merge(read(tmp_path, text))
    assert value in values[name]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("jobset-version: 0.10", "jobset_version", (0, 10)),
        ("num-slices: 2", "num_slices", 2),
        ("epochs: 1.5", "epochs", 1.5),
        ("spot: true", "spot", True),
        ("deadline: 90", "deadline", 90),
        ("image: r/i:1", "image", "r/i:1"),
        ("queue: ~", "queue", None),
    ],
)
def test_other_fields_are_read_as_their_kind(tmp_path, text, field, value):
    values, _ = sources.merge(read(tmp_path, text))
    assert getattr(TrainingJob(slice="v4-32", arch="resnet18", bucket="b-1", **values), field) == value


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "env:\n  DEBUG: yes",
            "env must hold text, got a boolean in line 2: DEBUG: yes",
            'quote it: DEBUG: "yes"',
        ),
        (
            "env: {EMPTY: null}",
            "env must hold text, got null in line 1: EMPTY: null",
            'quote it: EMPTY: "null"',
        ),
        ("env: {EMPTY: }", "env must hold text, got null in line 1: EMPTY: ", 'quote it: EMPTY: ""'),
        ("env: {LIST: [a]}", "env must hold text, got a list in line 1: LIST", ""),
        ("env: {MAP: {a: b}}", "env must hold text, got a mapping in line 1: MAP", ""),
        (
            "label:\n  a: b\n  on: off",
            "label must hold text, got a boolean in line 3: on: off",
            'quote it: on: "off"',
        ),
        ("mount:\n- yes", "mount must hold text, got a boolean in line 2: yes", 'quote it: "yes"'),
        ("set: {data.flip: null}", "set must hold text, got null in line 1: data.flip: null", None),
        ("bucket: a\nqueue: q\nbucket: b", "must have each key once, got 'bucket' in lines 1 and 3", None),
        ("env: {A: b, A: c}", "must have each key once, got 'A' in lines 1 and 1", None),
        ("patch: {spec: {a: 1, 'a': 2}}", "must have each key once, got 'a' in lines 1 and 1", None),
        ("bucket: b\nbukcet: c", "must have known keys, got 'bukcet' in line 2", "did you mean bucket?"),
        ("env: &e {A: *e}", "must not contain itself, got an alias to line 1 within it", None),
        ("? [a]\n: b", "must have keys of one word", None),
        ("a: !!python/name:os.system ''", "got 'tag:yaml.org,2002:python/name:os.system' in line 1", None),
        ("a: !!binary YQ==", "must be YAML: text, numbers, lists and mappings", None),
        ("env: {<<: 3}", "must merge mappings with <<", None),
        ("a: 1\n---\nb: 2", "must be YAML", None),
    ],
)
def test_what_is_not_as_it_looks_is_refused_with_its_line(tmp_path, text, message, hint):
    [(shown, shown_hint)] = problems(tmp_path, text)[:1]
    assert message in shown
    assert shown.startswith(str(tmp_path / "resnet-launch.yaml"))
    assert hint is None or shown_hint == hint


def laughs(levels):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "aliases": laughs(9),
    "aliases in a patch": "patch:\n" + "".join(f"  {line}\n" for line in laughs(9).splitlines()),
    "merges": "a0: &a0 {k: v}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)),
    "depth": "patch: " + "[" * 100_000,
    "depth of mappings": "patch: " + "{a: " * 50_000,
    "depth of a block": "".join(" " * n + "a:\n" for n in range(900)),
    "many values": "mount: [" + "a, " * 100_000 + "]",
    "size": "# " + "x" * (1 << 21),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_at_once(tmp_path, text):
    begun = time.process_time()
    assert problems(tmp_path, text)
    with pytest.raises(RequestError):
        sources.configmap("the ConfigMap", {"resnet-launch.yaml": text})
    assert time.process_time() - begun < 5


def test_only_regular_files_are_read(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("patch")
    for path in ("patch", "/dev/zero", "/dev/stdin", str(tmp_path)):
        assert main(["render", "--slice=v4-32", "--arch=resnet18", f"--patch={path}"]) == 2
        assert "error: patch: must be a " in capsys.readouterr().err


WRONG = ["--slice=v4-32", "--arch=resnet18", "--bucket=b-1", "--image=r/i:1", "--data=digits"]


@pytest.mark.parametrize(
    ("text", "environment", "flags", "place"),
    [
        ("queue: q\nbatch: 33\n", {}, [], "{file}:2"),
        ("queue: Q_\n", {}, [], "{file}:1"),
        ("env:\n  A: b\n  2B: c\n", {}, [], "{file}:3"),
        ("mount:\n- pvc/a:/a\n- pvc/b\n", {}, [], "{file}:3"),
        ("env: {A: b}\n", {"ENV": "=c"}, [], "RESNET_LAUNCH_ENV"),
        ("", {"SPOT": "maybe"}, [], "RESNET_LAUNCH_SPOT"),
        ("flex: 1h\n", {"FLEX": "x"}, [], "RESNET_LAUNCH_FLEX"),
        ("batch: 32\n", {"BATCH": "33"}, [], "RESNET_LAUNCH_BATCH"),
        ("batch: 33\n", {}, ["--batch=35"], ""),
        ("label: {a: b}\n", {}, ["--label=_=c"], ""),
        ("namespace: N\n", {}, [], "{file}:1"),
    ],
)
def test_a_wrong_value_says_where_it_stands(tmp_path, monkeypatch, capsys, text, environment, flags, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet-launch.yaml").write_text(text)
    for name, value in environment.items():
        monkeypatch.setenv(f"RESNET_LAUNCH_{name}", value)
    assert main(["render", *WRONG, *flags]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    if place:
        assert line.endswith(f" (from {place.format(file=tmp_path / 'resnet-launch.yaml')})")
    else:
        assert "(from " not in line


def test_a_patch_stands_beside_the_file_that_names_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "resnet-launch.yaml").write_text("patch: team/patch.yaml\n")
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "patch.yaml").write_text("metadata: {annotations: {day: 2026-01-31}}\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert main(["render", *WRONG]) == 0
    assert "day: '2026-01-31'" in capsys.readouterr().out
    (tmp_path / "team" / "patch.yaml").unlink()
    assert main(["render", *WRONG]) == 2
    error = capsys.readouterr().err
    assert f"got '{tmp_path}/team/patch.yaml'" in error
    assert f"(from {tmp_path}/resnet-launch.yaml:1)" in error


@pytest.mark.parametrize(
    "data",
    [
        {"patch": "/etc/passwd"},
        {"patch": "patch.yaml"},
        {"resnet-launch.yaml": "patch: patch.yaml\n"},
        {"resnet-launch.yaml": "patch: '../patch.yaml'\n"},
    ],
)
def test_a_cluster_names_no_file_of_this_machine(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patch.yaml").write_text("metadata: {annotations: {secret: here}}\n")
    with pytest.raises(RequestError, match=r"the ConfigMap: must have a mapping as patch, got '.*'"):
        sources.configmap("the ConfigMap", data)


def test_a_cluster_s_patch_is_a_mapping():
    patch = {"spec": {"suspend": False}}
    for data in (
        {"patch": "spec: {suspend: false}"},
        {"resnet-launch.yaml": "patch: {spec: {suspend: false}}"},
    ):
        assert sources.configmap("the ConfigMap", data).values == {"patch": patch}


def test_a_configmap_s_wrong_values_name_it():
    source = sources.configmap(
        "ConfigMap x", {"resnet-launch.yaml": "image: r/i:1\nenv:\n  2A: b\n", "spot": "maybe"}
    )
    assert source.place("env") == "ConfigMap x, resnet-launch.yaml line 3"
    assert source.place("spot") == "ConfigMap x, spot"
    with pytest.raises(RequestError, match="must have known keys, got 'bukcet'"):
        sources.configmap("ConfigMap x", {"bukcet": "b"})
    with pytest.raises(
        RequestError, match=r"must have each key once, got 'image' also in resnet-launch\.yaml"
    ):
        sources.configmap("ConfigMap x", {"resnet-launch.yaml": "image: r/i:1\n", "image": "r/i:2"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: 010", "--seed '10'"),
        ("steps: 0100", "--steps '100'"),
        ("seed: +07", "--seed '7'"),
        ("seed: 1_000", "--seed '1000'"),
        ("ttl: 0090", "ttlSecondsAfterFinished: 90"),
        ("ttl: 1:30", "ttl: must be a duration such as 90s, 10m, 2h or 7d, got '1:30'"),
        ("seed: 1:30", "seed: must be a whole number of at least 0, got '1:30'"),
        ("epochs: 1:30.5", "epochs: must be a number above zero, got '1:30.5'"),
        ("num-slices: 190:20:30", "num-slices: must be a whole number from 1 to 4096, got '190:20:30'"),
        ("patch: {metadata: {annotations: {a: 1:30}}}", "a: '1:30'"),
    ],
)
def test_numbers_are_those_that_are_written(tmp_path, monkeypatch, capsys, text, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet-launch.yaml").write_text(text + "\n")
    code = main(["render", "--slice=v5e-16", "--arch=resnet18"])
    printed = capsys.readouterr()
    output = printed.err if "must be" in expected else " ".join(printed.out.replace("- ", "").split())
    assert (code, expected in output) == (2 if "must be" in expected else 0, True), output

"""Where values come from and which wins."""

import json

import pytest

from launcher.cli import main
from launcher.errors import RequestError
from launcher.request import sources


def test_the_first_source_wins_and_repeated_fields_add_up(tmp_path):
    (tmp_path / "resnet-launch.yaml").write_text(
        "bucket: from-file\nqueue: from-file\nnum_slices: 2\nenv: {A: file, B: 1}\nset: [optim.lr=1]\n"
    )
    values, where = sources.merge(
        sources.flags({"bucket": "from-flag", "env": ("A=flag",), "spot": None, "mount": ()}),
        sources.environment(
            {"RESNET_LAUNCH_QUEUE": "from-env", "RESNET_LAUNCH_SET": "data.flip=true,optim.lr=2"}
        ),
        sources.file(tmp_path / "resnet-launch.yaml"),
        sources.configmap("defaults", {"image": "r/i:1", "queue": "from-map", "bucket": "x"}),
    )
    assert values == {
        "bucket": "from-flag",
        "queue": "from-env",
        "num_slices": 2,
        "image": "r/i:1",
        "env": ["A=file", "B=1", "A=flag"],  # the last of a name wins
        "set": ["optim.lr=1", "data.flip=true", "optim.lr=2"],
    }
    assert where["queue"] == "environment"
    assert where["image"] == "defaults"
    assert where["env"] == f"{tmp_path / 'resnet-launch.yaml'}, flag"


def test_no_queue_leaves_the_team_s_queue_and_what_belongs_to_it():
    team = sources.Source("team", {"queue": "team", "priority": "low", "bucket": "b-1"})
    flag = sources.Source("flag", {"queue": sources.NOTHING})
    assert sources.merge(flag, team) == ({"bucket": "b-1"}, {"bucket": "team"})
    # What is asked for beside --no-queue is kept, so that it can be refused.
    both = sources.Source("flag", {"queue": sources.NOTHING, "priority": "high"})
    assert sources.merge(both, team)[0] == {"bucket": "b-1", "priority": "high"}


def test_no_queue_is_a_flag_of_every_verb_with_a_queue(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_LAUNCH_QUEUE", "team")
    monkeypatch.setenv("RESNET_LAUNCH_PRIORITY", "low")
    line = ["render", "--slice", "v4-32", "--arch", "resnet50", "--data", "digits"]
    assert main(line) == 0
    assert "kueue.x-k8s.io/queue-name: team" in capsys.readouterr().out
    assert main([*line, "--no-queue"]) == 0
    assert "kueue" not in capsys.readouterr().out
    assert main([*line, "--no-queue", "--queue", "other"]) == 2
    assert capsys.readouterr().err.startswith("error: no-queue: must not be used with --queue other\n")


def test_the_nearest_file_is_used(tmp_path):
    (tmp_path / "resnet-launch.yaml").touch()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert sources.find_file(inner) == tmp_path / "resnet-launch.yaml"
    (inner / "resnet-launch.yaml").touch()
    assert sources.find_file(inner) == inner / "resnet-launch.yaml"


def test_a_configmap_can_hold_the_file():
    source = sources.configmap("defaults", {"resnet-launch.yaml": "bucket: b-1\nlabel: {team: vision}\n"})
    assert source.values == {"bucket": "b-1", "label": {"team": "vision"}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bukcet: x", "must have known keys, got 'bukcet'"),
        ("name: x", "must have known keys, got 'name'"),  # a name is one run's
        ("[]", "must be a mapping"),
        ("a: [", "must be YAML"),
        ("a: !!python/object:os.system x", "must be YAML"),
        ("\0", "must be YAML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, words):
    path = tmp_path / "resnet-launch.yaml"
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        sources.file(path)
    assert caught.value.problems[0].field == str(path)
    assert words in str(caught.value)


def test_config_shows_values_and_sources(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_LAUNCH_QUEUE", "team")
    (tmp_path / "resnet-launch.yaml").write_text("bucket: b-1\n")
    assert main(["config", "--slice", "v4-32", "--json"]) == 0
    rows = {row["field"]: (row["value"], row["about"]) for row in json.loads(capsys.readouterr().out)}
    assert rows["slice"] == ("v4-32", "flag")
    assert rows["queue"] == ("team", "environment")
    assert rows["bucket"] == ("b-1", str(tmp_path / "resnet-launch.yaml"))
    assert rows["max-restarts"] == (10, "built-in")
    assert "image" not in rows


def test_config_lists_the_trainer_s_settings(capsys):
    assert main(["config", "--train"]) == 0
    assert "optim.lr" in capsys.readouterr().out


def test_a_file_gives_two_flags_the_rest(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet-launch.yaml").write_text(
        "bucket: b-1\nimage: r/i:1\nqueue: team\ndata: digits\nnamespace: vision\n"
        "secret-env: {WANDB_API_KEY: wandb/key}\ntoleration: [dedicated]\npatch: {spec: {suspend: false}}\n"
    )
    assert main(["render", "--slice", "v4-32", "--arch", "resnet50"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith(
        f"using {tmp_path / 'resnet-launch.yaml'} for bucket, image, queue, data, namespace, "
    )
    assert len(err.splitlines()) == 1
    for line in ("namespace: vision", "kueue.x-k8s.io/queue-name: team", "image: r/i:1", "suspend: false"):
        assert line in out

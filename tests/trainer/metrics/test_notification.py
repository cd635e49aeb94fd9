"""Messages about a run: which are sent, by whom, and what they hold."""

import subprocess
import sys

import pytest
from metrics.webhooks import PATH, receiving
from train_runs import QUICK, environment

from trainer.errors import ExitCode
from trainer.metrics.notification import Notifier

HOSTS = {"RESNET_PLATFORM": "cpu", "RESNET_SLICES": "2", "RESNET_HOSTS_PER_SLICE": "2"}


def sent(act, every=1, form="auto", **env):
    """Return the documents that a notifier sends while `act` is done with it."""
    with receiving() as receiver:
        variables = {"RESNET_NOTIFY_URL": receiver.url, **env}
        notifier = Notifier(variables, ["--name", "a<b", "--run-dir=/runs/x"])
        assert "RESNET_NOTIFY_URL" not in variables
        if every is not None:
            notifier.configure("a<b", "/runs/x", every, form)
        act(notifier)
        notifier.close()
    return receiver.documents


def start(notifier):
    notifier.event({"name": "start", "restart": 6, "before_step": 40})


def end(notifier):
    notifier.saw({"step": 90, "steps": 100, "loss": 0.1})
    notifier.event({"name": "end", "step": 100, "accuracy": 0.7613, "goodput": 0.931})


def test_the_end_has_the_figures():
    [document] = sent(end)
    assert document.pop("at") > 1.7e9
    assert document == {
        "text": "a<b has finished: 100 steps, accuracy 76.13%, goodput 93%",
        "event": "end",
        "run": "a<b",
        "run_dir": "/runs/x",
        "restart": 0,
        "step": 100,
        "steps": 100,
        "accuracy": 0.7613,
        "goodput": 0.931,
    }


def test_slack_gets_a_text_alone():
    text = "a&lt;b has finished: 100 steps, accuracy 76.13%, goodput 93%"
    assert sent(end, form="slack") == [{"text": text}]


@pytest.mark.parametrize(("every", "count"), [(1, 1), (2, 1), (3, 1), (4, 0), (0, 0), (7, 0)])
def test_every_nth_restart_has_a_message(every, count):
    documents = sent(start, every, RESNET_RESTART="6")
    assert len(documents) == count
    for document in documents:
        assert document["text"] == "a<b has been restarted 6 times; the last attempt had reached step 40"
        assert (document["event"], document["restart"], document["step"]) == ("restart", 6, 40)


def test_the_first_start_has_none():
    assert not sent(start, RESNET_RESTART="0")


@pytest.mark.parametrize(
    ("code", "restart", "text"),
    [
        (ExitCode.FATAL, 0, "a<b has failed (cannot succeed): bad"),
        (ExitCode.FATAL, 1, "a<b has failed after 1 restart (cannot succeed): bad"),
        (ExitCode.RETRY, 3, "a<b has failed after 3 restarts (failed, may be retried): bad"),
        (ExitCode.HUNG, 4, "a<b has failed after 4 restarts (hung): bad"),
        (ExitCode.RETRY, 2, None),
        (ExitCode.PREEMPTED, 3, None),
        (ExitCode.FINISHED, 3, None),
    ],
)
def test_a_failure_that_no_restart_follows_has_a_message(code, restart, text):
    env = {"RESNET_RESTART": str(restart), "RESNET_MAX_RESTARTS": "3"}
    documents = sent(lambda notifier: notifier.failed(code, "bad\nhint: x"), every=None, **env)
    assert [document["text"] for document in documents] == ([text] if text else [])
    for document in documents:
        assert (document["run"], document["exit_code"], document["reason"]) == ("a<b", code, "bad\nhint: x")


@pytest.mark.parametrize(
    ("env", "first"),
    [
        (HOSTS | {"RESNET_SLICE_INDEX": "0", "JOB_COMPLETION_INDEX": "0"}, True),
        (HOSTS | {"RESNET_SLICE_INDEX": "0", "JOB_COMPLETION_INDEX": "1"}, False),
        (HOSTS | {"RESNET_SLICE_INDEX": "1", "JOB_COMPLETION_INDEX": "0"}, False),
        ({"RESNET_PLATFORM": "tpu", "TPU_WORKER_ID": "0", "JOB_COMPLETION_INDEX": "0"}, True),
        ({"RESNET_PLATFORM": "tpu", "TPU_WORKER_ID": "3"}, False),
        ({"RESNET_PLATFORM": "tpu", "TPU_WORKER_ID": "0", "MEGASCALE_SLICE_ID": "1"}, False),
        ({}, True),
    ],
)
def test_the_first_host_sends(env, first):
    assert len(sent(end, **env)) == first


@pytest.mark.parametrize("url", ["ftp://h/x", "a-secret", "http://"])
def test_no_url_is_a_warning_that_does_not_show_it(url, capsys):
    notifier = Notifier({"RESNET_NOTIFY_URL": url})
    end(notifier)
    notifier.close()
    error = "warning: RESNET_NOTIFY_URL: must be an http:// or https:// URL; no message is sent\n"
    assert capsys.readouterr().err == error


def trained(run_dir, *arguments, **env):
    command = [sys.executable, "-m", "trainer", "--run-dir", str(run_dir), *QUICK, *arguments]
    return subprocess.run(command, env=environment() | env, capture_output=True, text=True, timeout=200)


def test_a_run_sends_its_restart_and_its_end_and_leaves_the_url_nowhere(tmp_path):
    place = {"RESNET_PLATFORM": "cpu", "RESNET_COORDINATOR": "127.0.0.1:1", "RESNET_HOSTS_PER_SLICE": "1"}
    place |= {"RESNET_SLICES": "1", "RESNET_SLICE_INDEX": "0", "JOB_COMPLETION_INDEX": "0"}
    place |= {"RESNET_HOSTS": "1", "RESNET_DEVICES": "1", "RESNET_RESTART": "2"}
    with receiving(500) as receiver:
        done = trained(tmp_path / "run", "--name", "first", **place, RESNET_NOTIFY_URL=receiver.url)
    assert done.returncode == 0, done.stderr
    assert [(row["event"], row["run"]) for row in receiver.documents] == [
        ("restart", "first"),
        ("restart", "first"),
        ("end", "first"),
    ]
    assert receiver.documents[2]["step"] == 6
    assert PATH not in done.stdout + done.stderr
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 4
    assert not [path for path in files if b"a-secret" in path.read_bytes()]


def test_a_wrong_setting_is_a_message_before_any_is_read(tmp_path):
    with receiving() as receiver:
        done = trained(tmp_path, "--set", "optim.lr=x", RESNET_NOTIFY_URL=receiver.url)
    assert done.returncode == ExitCode.FATAL
    [document] = receiver.documents
    assert document["text"] == "run has failed (cannot succeed): optim.lr: must be a number, got 'x'"


def test_a_closed_port_changes_no_exit_code(tmp_path):
    done = trained(tmp_path, "--set", "optim.lr=x", RESNET_NOTIFY_URL="http://127.0.0.1:9/a-secret")
    assert done.returncode == ExitCode.FATAL
    assert done.stderr.splitlines()[-1] == "warning: notify: a message was not sent: Connection refused"

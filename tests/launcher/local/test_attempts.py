"""`local` with real processes: environment, logs, failure policy, signals. The pods run small scripts."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from launcher import TrainingJob, render
from launcher.errors import ActionError, RequestError
from launcher.local import attempts
from launcher.runs import trainer_log

# Each script sees `place` (slice, index), `attempt` and `folder`.
PRELUDE = """
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
place = (int(os.environ["RESNET_SLICE_INDEX"]), int(os.environ["JOB_COMPLETION_INDEX"]))
attempt = int(os.environ["RESNET_RESTART"])
(folder / f"{attempt}-{place[0]}-{place[1]}").write_text(json.dumps(dict(os.environ)))
"""


def jobset(folder, script, **fields):
    [rendered] = render(
        TrainingJob(**{"slice": "cpu-2x1", "arch": "resnet18", "platform": "local", **fields})
    )
    pod = rendered["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    pod["containers"][0]["command"] = ["python", "-c", PRELUDE + textwrap.dedent(script), str(folder)]
    return rendered


def marks(folder):
    return sorted(path.name for path in folder.iterdir())


def environments(folder, attempt=0):
    return {path.name[2:]: json.loads(path.read_text()) for path in folder.glob(f"{attempt}-*")}


def test_every_pod_gets_its_place(tmp_path):
    assert attempts.run(jobset(tmp_path, "", num_slices=2, slice="cpu-2x3", env=["A=b"]), os.environ) == 0
    pods = environments(tmp_path)
    assert sorted(pods) == ["0-0", "0-1", "1-0", "1-1"]
    assert len({env["RESNET_COORDINATOR"] for env in pods.values()}) == 1
    assert pods["0-0"]["RESNET_COORDINATOR"].startswith("127.0.0.1:")
    assert len({env["RESNET_OWNER"] for env in pods.values()}) == 1
    last = pods["1-1"]
    assert last["RESNET_POD"] == "resnet18-cpu-2x3-slice-1-1"
    assert (last["RESNET_HOSTS"], last["RESNET_DEVICES"], last["RESNET_HOSTS_PER_SLICE"]) == ("4", "12", "2")
    assert (last["JAX_NUM_CPU_DEVICES"], last["JAX_PLATFORMS"], last["A"]) == ("3", "cpu", "b")
    assert last.get("HOME") == os.environ.get("HOME")


def test_each_submission_is_another_owner(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        attempts.run(jobset(tmp_path / name, ""), os.environ)
    owners = [environments(tmp_path / name)["0-0"]["RESNET_OWNER"] for name in ("a", "b")]
    assert owners[0] != owners[1]


def test_lines_are_prefixed_and_keep_their_stream(tmp_path, capfd):
    script = """
    print("first"); print("second", end="")
    print("to stderr", file=sys.stderr)
    """
    attempts.run(jobset(tmp_path, script), os.environ)
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == [
        "slice-0-0 | first",
        "slice-0-0 | second",
        "slice-0-1 | first",
        "slice-0-1 | second",
    ]
    assert sorted(err.splitlines()) == ["slice-0-0 | to stderr", "slice-0-1 | to stderr"]


def test_lines_are_written_for_people_where_they_are_asked_for(tmp_path, capfd):
    script = """
    print("progress step=40 steps=269 loss=2.2123"); print("prose = here", file=sys.stderr)
    """
    attempts.run(jobset(tmp_path, script), os.environ, trainer_log.for_people)
    out, err = capfd.readouterr()
    assert "slice-0-0 | step 40/269  loss 2.21\n" in out
    assert "slice-0-1 | prose = here\n" in err


@pytest.mark.parametrize("code", [43, 45, 1])
def test_a_failure_restarts_all_pods_and_counts(tmp_path, code):
    script = f"""
    if attempt == 0 and place == (0, 1):
        while not (folder / "0-0-0").exists():  # a pod that fails at once may end the other before it begins
            time.sleep(0.01)
        sys.exit({code})
    """
    assert attempts.run(jobset(tmp_path, script, max_restarts=1), os.environ) == 1
    assert marks(tmp_path) == ["0-0-0", "0-0-1", "1-0-0", "1-0-1"]


def test_gives_up_after_max_restarts(tmp_path):
    with pytest.raises(ActionError, match="ended with exit code 43 and no restart is left after 2"):
        attempts.run(jobset(tmp_path, "sys.exit(43)", slice="cpu-1x1", max_restarts=2), os.environ)
    assert marks(tmp_path) == ["0-0-0", "1-0-0", "2-0-0"]


def test_preemption_does_not_count(tmp_path):
    script = "sys.exit(42 if attempt < 3 else 0)"
    assert attempts.run(jobset(tmp_path, script, slice="cpu-1x1", max_restarts=0), os.environ) == 3


def test_44_fails_at_once(tmp_path):
    with pytest.raises(ActionError, match="pod slice-0-1 ended with exit code 44, which no restart can fix"):
        attempts.run(jobset(tmp_path, "place == (0, 1) and sys.exit(44); time.sleep(60)"), os.environ)
    assert {name[0] for name in marks(tmp_path)} == {"0"}


def test_44_decides_even_after_another_code(tmp_path):
    script = """
    if place == (0, 1):
        signal.signal(signal.SIGTERM, lambda *_: os._exit(44))
        (folder / "ready").touch()
    while not (folder / "ready").exists() or place == (0, 1):
        time.sleep(0.05)
    sys.exit(43)
    """
    with pytest.raises(ActionError, match="pod slice-0-1 ended with exit code 44"):
        attempts.run(jobset(tmp_path, script), os.environ)


def test_a_killed_pod_counts_as_failed(tmp_path):
    script = "attempt or os.kill(os.getpid(), signal.SIGKILL)"
    assert attempts.run(jobset(tmp_path, script, slice="cpu-1x1"), os.environ) == 1


def test_the_other_pods_get_a_sigterm_and_then_a_sigkill(tmp_path):
    script = """
    if attempt == 0 and place == (0, 0):
        signal.signal(signal.SIGTERM, lambda *_: (folder / "sigterm").touch())  # and goes on, as if stuck
        (folder / "ready").touch()
        while True:
            time.sleep(0.05)
    while attempt == 0 and not (folder / "ready").exists():
        time.sleep(0.05)
    sys.exit(0 if attempt else 43)
    """
    started = time.monotonic()
    assert attempts.run(jobset(tmp_path, script), os.environ) == 1
    assert attempts.PEER_SECONDS <= time.monotonic() - started < attempts.PEER_SECONDS + 10
    assert (tmp_path / "sigterm").exists()


def test_a_secret_is_taken_from_this_environment(tmp_path):
    rendered = jobset(tmp_path, "", secret_env=["TOKEN=secret/key"])
    with pytest.raises(RequestError, match="must find TOKEN"):
        attempts.run(rendered, {key: value for key, value in os.environ.items() if key != "TOKEN"})
    attempts.run(rendered, {**os.environ, "TOKEN": "x"})
    assert environments(tmp_path)["0-0"]["TOKEN"] == "x"


def test_the_url_of_messages_is_taken_from_this_environment(tmp_path):
    rendered = jobset(tmp_path, "", notify="chat/url")
    without = {key: value for key, value in os.environ.items() if key != "RESNET_NOTIFY_URL"}
    with pytest.raises(RequestError, match=r"^notify: must find RESNET_NOTIFY_URL in this environment"):
        attempts.run(rendered, without)
    attempts.run(rendered, without | {"RESNET_NOTIFY_URL": "http://127.0.0.1:1/x"})
    assert environments(tmp_path)["0-0"]["RESNET_NOTIFY_URL"] == "http://127.0.0.1:1/x"


def launch(folder, script, **fields):
    """The same as a process of its own, so that it can be signalled."""
    text = json.dumps(jobset(folder, script, **fields))
    code = """
    import json, os, sys
    from launcher.local import attempts
    from launcher.errors import ActionError
    try:
        attempts.run(json.loads(sys.argv[1]), os.environ)
    except ActionError as error:
        sys.exit(str(error))
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), text], stderr=subprocess.PIPE)


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


SAVER = """
def save(*_):
    time.sleep(0.3)
    (folder / f"saved-{place[1]}").touch()
    os._exit(42)
signal.signal(signal.SIGTERM, save)
(folder / f"pid-{place[1]}").write_text(str(os.getpid()))
while True:
    time.sleep(0.05)
"""


def pids(folder):
    texts = [path.read_text() for path in folder.glob("pid-*")]
    return [int(text) for text in texts if text]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_forwarded_and_waited_for(tmp_path, number):
    process = launch(tmp_path, SAVER)
    wait_for(lambda: len(pids(tmp_path)) == 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.decode().splitlines()[-1] == "interrupted"
    assert {"saved-0", "saved-1"} <= set(marks(tmp_path))
    assert not any(name.startswith("1-") for name in marks(tmp_path))  # no restart


def test_a_second_signal_kills_at_once(tmp_path):
    stuck = SAVER.replace("os._exit(42)", "time.sleep(600)")
    process = launch(tmp_path, stuck)
    wait_for(lambda: len(pids(tmp_path)) == 2)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: (tmp_path / "saved-0").exists())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 1
    assert not any(alive(pid) for pid in pids(tmp_path))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_pods_die_with_a_killed_launcher(tmp_path):
    process = launch(tmp_path, SAVER)
    wait_for(lambda: len(pids(tmp_path)) == 2)
    process.kill()
    process.communicate(timeout=10)
    wait_for(lambda: not any(alive(pid) for pid in pids(tmp_path)))


def test_pods_end_when_nobody_reads_their_lines(tmp_path):
    noisy = SAVER.replace("time.sleep(0.05)", "time.sleep(0.05); print('line', flush=True)")
    text = json.dumps(jobset(tmp_path, noisy))
    imports = "import json, os, sys; from launcher.local import attempts"
    code = f"{imports}; attempts.run(json.loads(sys.argv[1]), os.environ)"
    command = [sys.executable, "-c", code, text]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(pids(tmp_path)) == 2)
    process.stdout.close()
    assert process.wait(timeout=20) != 0
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_a_signal_while_the_others_are_waited_for_kills_them(tmp_path):
    script = """
    if place == (0, 1):
        while not (folder / "ready").exists():
            time.sleep(0.05)
        sys.exit(42)
    signal.signal(signal.SIGTERM, lambda *_: (folder / "sigterm").touch())
    (folder / "pid-0").write_text(str(os.getpid()))
    (folder / "ready").touch()
    while True:
        time.sleep(0.05)
    """
    process = launch(tmp_path, script)
    wait_for(lambda: (tmp_path / "sigterm").exists())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 1
    assert not any(alive(pid) for pid in pids(tmp_path))

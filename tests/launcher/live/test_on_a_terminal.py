"""`watch` on a pseudo-terminal, against a server whose watches stay open: keys, sizes, ends."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pseudo_terminal import Terminal
from streaming_server import StreamingServer, jobset, pod, progress

COMMAND = [sys.executable, "-m", "launcher", "watch"]


def environ(**more):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return {**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1", **more}


def start(server, folder: Path, *arguments: str, size=(100, 30), **more: str) -> Terminal:
    config = server.kubeconfig(folder)
    command = [*COMMAND, *arguments, "--kubeconfig", str(config)]
    return Terminal(command, folder, size[0], size[1], environ(**more))


def two_runs() -> StreamingServer:
    server = StreamingServer(
        jobsets=[jobset("first"), jobset("second", shape="v5e-16", hosts=4)],
        pods=[pod("first"), pod("second")],
    )
    server.say(pod("first")["metadata"]["name"], "hello", *(progress(step) for step in range(1, 41)))
    server.say(pod("second")["metadata"]["name"], progress(7), "evaluate step=7 accuracy=0.5 loss=1")
    return server


def test_runs_are_drawn_in_place_and_q_gives_the_terminal_back(tmp_path):
    with two_runs() as server, start(server, tmp_path, "--price", "2") as terminal:
        complete = ("step 40/100", "step 7/100", "50.00 %", "waiting for data   cost so far ")
        terminal.until(lambda screen: all(words in screen.text for words in complete))
        assert terminal.alternate
        assert terminal.modes() == (False, False)
        assert terminal.lines[0].startswith("2 runs in namespace ")
        block = terminal.lines[terminal.lines.index("second  Running  resnet50, v5e-16, 4 hosts") :]
        assert "7 %" in block[1]
        assert block[1].endswith("1 min 30 s left")
        assert "accuracy ▁ 50.00 %" in block[2]
        rate, _, cost = block[3].partition("   cost so far ")
        assert rate == "  62.5 images/s per chip, 3 % of the time waiting for data"
        assert 2.6 < float(cost.split()[0]) < 3.2  # 16 chips for 300 s at 2 per hour, and while the test runs
        server.say(pod("second")["metadata"]["name"], progress(8))
        terminal.until(lambda screen: "step 8/100" in screen.text and "step 7/100" not in screen.text)
        terminal.press("q")
        assert terminal.ends() == 0
        assert not terminal.alternate
        assert terminal.modes() == (True, True)
        assert "\x1b[?25h" in terminal.raw


def test_a_run_that_comes_appears_and_one_that_goes_is_called_deleted(tmp_path):
    with two_runs() as server, start(server, tmp_path) as terminal:
        terminal.until(lambda screen: "2 runs" in screen.lines[0])
        server.put("jobsets", jobset("third", ready=0, suspend=True))
        terminal.until(lambda screen: "third  Suspended" in screen.text)
        server.remove("jobsets", "second")
        terminal.until(lambda screen: "second  Deleted" in screen.text)
        assert terminal.lines[0].startswith("3 runs in namespace default: 1 ")
        terminal.press("q")
        assert terminal.ends() == 0


@pytest.mark.parametrize("size", [(60, 20), (200, 60), (20, 3)])
def test_it_follows_the_size_of_the_window(tmp_path, size):
    with two_runs() as server, start(server, tmp_path) as terminal:
        terminal.until(lambda screen: "step 40/100" in screen.text)
        terminal.resize(*size)
        drawn = len(terminal.raw)
        terminal.until(lambda screen: f"\x1b[{size[1]};1H" in screen.raw[drawn:] or size[1] > 30)
        terminal.forget()  # what was drawn before the change arrives after it
        terminal.press("j")
        terminal.until(lambda screen: screen.lines[0].startswith("2 runs in names"))
        terminal.until(lambda screen: screen.lines[-1].startswith("q ends") or size[1] < 5)
        assert max(row for row, _ in terminal.cells) < size[1]
        assert max(column for _, column in terminal.cells) < size[0]
        terminal.press("q")
        assert terminal.ends() == 0


def test_thirty_runs_are_one_line_each_and_keys_choose_the_one_that_is_shown_whole(tmp_path):
    runs = [f"run-{number:02d}" for number in range(30)]
    with StreamingServer(
        jobsets=[jobset(name) for name in runs], pods=[pod(name) for name in runs]
    ) as server:
        for number, name in enumerate(runs):
            server.say(pod(name)["metadata"]["name"], progress(number + 1))
        with start(server, tmp_path, size=(60, 24)) as terminal:
            terminal.until(lambda screen: "> run-29" in screen.text and "30 %" in screen.text)
            assert "run-29  Running" in terminal.text  # its block
            terminal.press("\x1b[B\x1b[B")
            terminal.until(lambda screen: "> run-27" in screen.text and "step 28/100" in screen.text)
            terminal.press("G")
            terminal.until(lambda screen: "> run-00" in screen.text and "step 1/100" in screen.text)
            terminal.press("\x1b[5~")
            terminal.until(lambda screen: "> run-10" in screen.text)
            terminal.press("\x1b")  # Escape alone means nothing
            terminal.press("q")
            assert terminal.ends() == 0


def test_named_runs_that_are_over_end_it_and_their_results_stay(tmp_path):
    with two_runs() as server, start(server, tmp_path, "second") as terminal:
        terminal.until(lambda screen: "step 7/100" in screen.text)
        assert "first" not in terminal.text
        done = {"type": "Completed", "status": "True", "lastTransitionTime": "2026-01-01T02:00:00Z"}
        server.put("jobsets", jobset("second", shape="v5e-16", hosts=4, conditions=[done]))
        assert terminal.ends() == 0
        assert not terminal.alternate
        assert "second  Completed  resnet50, v5e-16, 4 hosts" in terminal.text
        assert terminal.modes() == (True, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(tmp_path, number):
    with two_runs() as server, start(server, tmp_path) as terminal:
        terminal.until(lambda screen: "step 40/100" in screen.text)
        terminal.signal(number)
        assert terminal.ends() == 0
        assert not terminal.alternate
        assert terminal.modes() == (True, True)


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash, whose job control stops and continues")
def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_draws_again(tmp_path):
    with two_runs() as server:
        line = shlex.join([*COMMAND, "--kubeconfig", str(server.kubeconfig(tmp_path))])
        shell = ["/usr/bin/env", "bash", "--norc", "--noprofile", "-i"]
        with Terminal(shell, tmp_path, 100, 30, environ(PS1="ready> ")) as terminal:
            terminal.until(lambda screen: "ready> " in screen.raw)
            terminal.press(f"{line}\n")
            for _ in range(2):
                terminal.until(lambda screen: screen.alternate and "step 40/100" in screen.text)
                assert terminal.modes() == (False, False)
                read = len(terminal.raw)
                terminal.press("\x1a")
                terminal.until(lambda screen, read=read: "Stopped" in screen.raw[read:])
                assert not terminal.alternate
                last = terminal.raw[read:].partition("Stopped")[0]
                assert "\x1b[?25h" in last  # the cursor, and the first screen, before the shell speaks
                assert "\x1b[?1049l" in last
                terminal.press("fg\n")
            terminal.until(lambda screen: screen.alternate and "step 40/100" in screen.text)
            terminal.press("q")
            terminal.until(lambda screen: not screen.alternate)
            terminal.press("exit\n")
            terminal.ends()


def test_no_color_has_no_colour_and_says_the_same(tmp_path):
    with two_runs() as server, start(server, tmp_path, NO_COLOR="1") as terminal:
        terminal.until(lambda screen: "first  Running" in screen.text)
        styles = re.findall(r"\x1b\[([0-9;]*)m", terminal.raw)
        assert styles  # bold and dim
        assert {part for style in styles for part in style.split(";")} <= {"", "0", "1", "2"}
        terminal.press("q")
        assert terminal.ends() == 0


def test_control_characters_of_others_are_shown_and_not_obeyed(tmp_path):
    with two_runs() as server, start(server, tmp_path) as terminal:
        other = jobset("third")
        other["metadata"]["annotations"]["resnet-launch/arch"] = "x\x1b]0;title\x07\x1b[2J"
        server.put("jobsets", other)
        terminal.until(lambda screen: "third  Running" in screen.text)
        assert r"x\x1b]0;title\x07\x1b[2J" in terminal.text
        assert "\x1b]0;" not in terminal.raw
        terminal.press("q")
        assert terminal.ends() == 0


@pytest.mark.parametrize("more", [{"TERM": "dumb"}, {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}])
def test_a_terminal_that_can_less(tmp_path, more):
    with two_runs() as server, start(server, tmp_path, **more) as terminal:
        terminal.until(lambda screen: "step 40/100" in screen.text)
        assert terminal.alternate == (more.get("TERM") != "dumb")
        assert "\ufffd" not in terminal.text
        terminal.press("q" if terminal.alternate else "\x03")
        assert terminal.ends() == 0


def test_without_a_terminal_it_prints_a_line_when_a_run_changes(tmp_path):
    with two_runs() as server:
        config = server.kubeconfig(tmp_path)
        process = subprocess.Popen(
            [*COMMAND, "first", "second", "--kubeconfig", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ(),
        )
        assert process.stdout
        lines: list[str] = []
        while not ("step 40/100" in "".join(lines) and "step 7/100" in "".join(lines)):
            lines.append(process.stdout.readline().split(" ", 1)[1])
        done = {"type": "Completed", "status": "True", "lastTransitionTime": "2026-01-01T02:00:00Z"}
        failed = {**done, "type": "Failed", "reason": "ReachedMaxRestarts", "message": "reached max restarts"}
        server.put("jobsets", jobset("first", conditions=[done]))
        server.put("jobsets", jobset("second", conditions=[failed]))
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    lines += [line.split(" ", 1)[1] for line in out.splitlines()]
    assert any(line.startswith("first: Running, step 40/100, 1 min 30 s left, loss 2.1") for line in lines)
    assert any(line.startswith("first: Completed, step 40/100, loss 2.1") for line in lines)
    assert any(line.startswith("second: Failed, step 7/100") for line in lines)
    assert "\x1b" not in out
    assert len(lines) <= 10

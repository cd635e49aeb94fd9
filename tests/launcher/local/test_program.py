"""Programs of the user's own under `resnet-launch local`: joining, exit codes, their own folder."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = str(Path(sys.executable).with_name("resnet-launch"))
PLAIN = """
import neighbour
import jax
jax.distributed.initialize()
import jax.numpy as jnp
from jax.experimental import multihost_utils
ranks = multihost_utils.process_allgather(jnp.array(jax.process_index()))
print("joined", jax.process_index(), jax.process_count(), jax.device_count(), jax.local_device_count(),
      ranks.tolist(), neighbour.NAME)
"""
JOIN = """
from trainer.runtime import join
import sys
assert "jax" not in sys.modules
place = join()
assert join() == place
import jax
print("joined", place.process_id, place.hosts, place.slice_index, jax.process_index(), jax.device_count(),
      place.run_dir)
"""
TORCH = """
import os, socket, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
assert os.environ["NODE_RANK"] == os.environ["JAX_PROCESS_ID"] == str(rank)
assert (os.environ["LOCAL_RANK"], os.environ["LOCAL_WORLD_SIZE"]) == ("0", "1")
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(address) as server:
        guests = [server.accept()[0] for _ in range(world - 1)]
        ranks = sorted(int(guest.recv(9)) for guest in guests)
        print("ranks", [rank, *ranks], "of", world, flush=True)
else:
    deadline = time.time() + 60
    while True:
        try:
            with socket.create_connection(address) as host:
                host.sendall(str(rank).encode())
            break
        except OSError:
            assert time.time() < deadline
            time.sleep(0.05)
"""


def local(folder, command, *flags, slice="cpu-2x1", path=""):
    variables = ("RESNET_", "JAX_", "OMPI_", "MASTER_", "XLA_FLAGS")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(variables)}
    environ["PATH"] = path or f"{Path(sys.executable).parent}:{environ['PATH']}"
    arguments = ["local", "--slice", slice, "--name", "mine", "--command", command, *flags]
    return subprocess.run(
        [LAUNCH, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=240
    )


def test_plain_jax_joins_without_arguments_and_imports_its_neighbours(tmp_path):
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "neighbour.py").write_text("NAME = 'next door'\n")
    done = local(tmp_path, "python plain.py", slice="cpu-2x2")
    assert done.returncode == 0, done.stderr
    lines = sorted(line for line in done.stdout.splitlines() if "joined" in line)
    assert lines == [
        "slice-0-0 | joined 0 2 4 2 [0, 1] next door",
        "slice-0-1 | joined 1 2 4 2 [0, 1] next door",
    ]
    assert "mine finished in" in done.stderr
    assert "resnet-train" not in done.stderr


def test_join_on_two_slices(tmp_path):
    (tmp_path / "joins.py").write_text(JOIN)
    done = local(tmp_path, "python joins.py", "--num-slices", "2", slice="cpu-1x1")
    assert done.returncode == 0, done.stderr
    lines = sorted(line for line in done.stdout.splitlines() if "joined" in line)
    assert lines == [
        f"slice-0-0 | joined 0 2 0 0 2 {tmp_path}/runs/mine",
        f"slice-1-0 | joined 1 2 1 1 2 {tmp_path}/runs/mine",
    ]


@pytest.mark.parametrize(("slice", "slices", "world"), [("cpu-3x1", 1, 3), ("cpu-2x1", 2, 4)])
def test_pytorch_s_variables(tmp_path, slice, slices, world):
    (tmp_path / "torchlike.py").write_text(TORCH)
    done = local(tmp_path, "python torchlike.py", "--num-slices", str(slices), slice=slice)
    assert done.returncode == 0, done.stderr
    assert f"slice-0-0 | ranks {[*range(world)]} of {world}" in done.stdout.splitlines()


COUNTING = """n=$(cat n 2> /dev/null || echo 0); echo $((n + 1)) > n; [ $n = {until} ] || exit {code}"""


def failing(code, until):
    return f"sh -c {shlex.quote(COUNTING.format(code=code, until=until))}"


@pytest.mark.parametrize(
    ("flags", "code", "ended", "message"),
    [
        ("--exit-codes preempted=9", 9, 0, "ended with exit code 9: restart 2 (does not count)"),
        ("--exit-codes preempted=9", 42, 1, "ended with exit code 42 and no restart is left after 0"),
        ("--exit-codes fatal=9", 9, 1, "ended with exit code 9, which no restart can fix"),
        ("--exit-codes fatal=9", 44, 1, "ended with exit code 44 and no restart is left after 0"),
        ("--exit-codes retry=42 --max-restarts 2", 42, 0, "restart 2 (2 of 2 counted)"),
        ("", 42, 0, "restart 2 (does not count)"),
        ("", 44, 1, "ended with exit code 44, which no restart can fix"),
        ("", 1, 1, "no restart is left after 0"),
    ],
)
def test_exit_codes(tmp_path, flags, code, ended, message):
    flags = flags.split() if "--max-restarts" in flags else [*flags.split(), "--max-restarts", "0"]
    done = local(tmp_path, failing(code, until=2), *flags, slice="cpu-1x1")
    assert done.returncode == ended, done.stderr
    assert message in done.stderr


def test_a_working_directory(tmp_path):
    (tmp_path / "sub").mkdir()
    done = local(tmp_path, "pwd", "--workdir", "sub", slice="cpu-1x1")
    assert f"slice-0-0 | {tmp_path}/sub" in done.stdout.splitlines()
    missing = local(tmp_path, "pwd", "--workdir", "none", slice="cpu-1x1")
    assert missing.returncode == 2
    assert f"error: workdir: must be a directory of this machine, got '{tmp_path}/none'" in missing.stderr
    assert not (tmp_path / "none").exists()


def test_python_is_found_where_the_path_has_none(tmp_path):
    for name in ("sh", "env"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    done = local(tmp_path, "python -c 'import sys; print(sys.flags.safe_path)'", path=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| False") == 2


def test_a_program_that_does_not_exist(tmp_path):
    done = local(tmp_path, "no-such-program x")
    assert done.returncode == 1
    assert "error: cannot start no-such-program: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_variables_of_kubernetes_are_replaced(tmp_path):
    done = local(tmp_path, "echo $(RESNET_RUN_DIR) $(RANK) $(NOTHING)", slice="cpu-2x1")
    lines = sorted(done.stdout.splitlines())
    assert lines[0] == f"slice-0-0 | {tmp_path}/runs/mine 0 $(NOTHING)"
    assert lines[1] == f"slice-0-1 | {tmp_path}/runs/mine 1 $(NOTHING)"

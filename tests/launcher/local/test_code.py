"""`local --code`: the processes run the packed tree, not the live directory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = [str(Path(sys.executable).with_name("resnet-launch"))]
LINE = "local --slice cpu-2x1 --arch resnet-tiny --data digits --steps 2 --batch 32 --name r"


@pytest.mark.slow
def test_the_packed_tree_runs_although_the_live_one_changes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "word.py").write_text("WORD = 'packed'\n")
    (tree / "sitecustomize.py").write_text(
        "import os\n"
        "if 'RESNET_CODE' in os.environ:\n"
        f"    open({str(tree / 'word.py')!r}, 'w').write('WORD = \"live\"')\n"
        "    import word\n"
        "    print('WORD', word.WORD, os.path.basename(os.getcwd()), flush=True)\n"
    )
    command = [*LAUNCH, *LINE.split(), "--set", "model.width=8", "--code", str(tree)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "own")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for pod in ("slice-0-0", "slice-0-1"):
        assert f"{pod} | WORD packed code" in done.stdout
    [row] = [json.loads(line) for line in (tmp_path / "runs/r/attempts.jsonl").read_text().splitlines()]
    digest = row["code"]["digest"]
    assert os.listdir(tmp_path / "runs/r/code") == [f"{digest}.tar.gz"]  # what was unpacked is gone
    assert f"code, sha256:{digest[:12]}, 1 kB" in done.stderr


def test_a_changed_archive_in_the_run_directory_is_an_error(tmp_path: Path) -> None:
    from launcher.code import archive, bucket
    from launcher.errors import ActionError

    (tmp_path / "a.py").touch()
    code = archive.pack(tmp_path)
    path = bucket.keep_here(code, str(tmp_path / "run"))
    assert bucket.keep_here(code, str(tmp_path / "run")) == path
    path.write_bytes(b"x")
    with pytest.raises(ActionError, match=r"tar\.gz was changed: it has 1 bytes with the MD5 .*nothing was"):
        bucket.keep_here(code, str(tmp_path / "run"))
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize("code", ["none", "a.py", "empty"])
def test_a_directory_that_cannot_be_packed_starts_nothing(tmp_path: Path, code: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.py").touch()
    command = [*LAUNCH, *LINE.split(), "--code", str(tmp_path / code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: code: must ")
    assert not (tmp_path / "runs").exists()

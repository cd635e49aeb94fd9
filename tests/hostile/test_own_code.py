"""A run directory or a weights file that names a module runs none that lies beside it, and none unasked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from trainer import cli
from trainer.config import ModelConfig, resolve
from trainer.errors import ConfigError
from trainer.models import network

EVIL = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nnet = lambda *_: None\n"
MAIN = "import sys; from trainer import cli; sys.exit(cli.main())"


@pytest.fixture
def folder(tmp_path):
    """A run directory of somebody else, with the module that its settings name."""
    (tmp_path / "evil.py").write_text(EVIL)
    (tmp_path / "config.json").write_text(json.dumps({"name": "run", "model": {"arch": "evil:net"}}))
    inputs = {"class_names": [*"0123456789"], "image_size": 8, "mean": [0.5], "std": [0.5], "crop": 1.0}
    (tmp_path / "dataset.json").write_text(json.dumps(inputs))
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / "events.jsonl").write_text("")
    fields = {"model": {"arch": "evil:net"}, **inputs}
    arrays = {"head.kernel": np.zeros((1, 10), np.float32), "head.bias": np.zeros(10, np.float32)}
    save_file(arrays, str(tmp_path / "w.safetensors"), {"resnet-launch": json.dumps(fields)})
    return tmp_path


def resnet_train(
    folder: Path, *arguments: str, start: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command with the folder as its current directory, which ``-c`` and ``-m`` put on sys.path."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    command = [sys.executable, *(start or ["-c", MAIN]), *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "w.safetensors", "--data", "digits"],
        ["export", "w.safetensors", "w.onnx", "--to", "onnx"],
        ["predict", "w.safetensors", "evil.py"],
        ["report", ".", "--arch", "evil:net"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_module_beside_the_run_is_not_imported(folder, arguments):
    done = resnet_train(folder, *arguments)
    assert not (folder / "ran").exists()
    assert "Traceback" not in done.stderr
    if arguments[0] != "report":  # whose page is written without the mistakes
        assert done.returncode == 2
        assert "model.arch: evil cannot be imported: ModuleNotFoundError: no module named evil" in done.stderr


@pytest.mark.slow
def test_a_trainer_that_is_started_in_the_run_directory_imports_nothing_of_it(folder):
    start = ["-m", "trainer", "--run-dir", str(folder / "run"), "--data", "digits", "--steps", "1"]
    done = resnet_train(folder, start=[*start, "--arch", "evil:net"])
    assert done.returncode == 44
    assert not (folder / "ran").exists()
    assert "error: model.arch: evil cannot be imported: ModuleNotFoundError" in done.stderr


def test_a_report_imports_the_network_only_where_a_person_names_it(folder, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(folder))  # as if it were installed
    sys.modules.pop("evil", None)
    assert cli.main(["report", str(folder), "--out", str(folder / "page.html")]) == 0
    assert not (folder / "ran").exists()
    assert "its network is code that the run names: evil:net" in capsys.readouterr().err
    assert cli.main(["report", str(folder), "--json"]) == 0
    assert not (folder / "ran").exists()


def test_a_file_that_names_a_module_is_announced(folder, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("evil", None)
    assert cli.main(["evaluate", str(folder / "w.safetensors"), "--data", "digits"]) == 2
    err = capsys.readouterr().err
    assert "w.safetensors names the network evil:net, whose module is imported from this installation" in err
    assert "model.arch: evil:net must be an Architecture, got a function" in err


@pytest.mark.parametrize(
    "arch",
    ["os:abort", "sys:exit", "shutil:rmtree", "antigravity:geohash", "trainer.cli:main", "launcher.cli:main"],
)
def test_only_an_architecture_is_called_and_no_module_of_python_is_imported(arch):
    with pytest.raises(ConfigError, match=r"model\.arch: must name a module of your own, got "):
        network.build(ModelConfig(arch=arch), 2, 1, 8, "cpu")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "arch",
    ["../evil:net", "/tmp/evil:net", "evil:net\n", "evil:net;import os", "évil:net", "evil:net" + "\x00"],
)
def test_a_path_or_a_statement_is_no_module(arch):
    with pytest.raises(ConfigError, match=r"model\.arch: must be one of "):
        resolve("", "", "", {"model.arch": arch})

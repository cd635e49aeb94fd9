"""Every command of the documentation is one that exists, and what can run here runs.

A block marked ``sh`` is run, page by page and from top to bottom, in a folder of its own. A block marked
``console`` needs a cluster, a cloud, a TPU compiler or minutes: its page is in NOT_RUN with the reason, and
its commands are parsed instead. ``text`` is output, ``yaml`` and ``python`` are parsed.
"""

import ast
import contextlib
import importlib
import io
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from markdown_pages import CHECKOUT, Block, blocks, commands, inline_code, pages, read
from PIL import Image
from quick_programs import QUICKLY_COMPILED
from train_runs import COMPILED

from launcher.cli import VERBS, main, options
from trainer import cli as resnet_train
from trainer.arguments import parser as trainer_parser
from trainer.config import ModelConfig, schema
from trainer.data.__main__ import parser as data_parser
from trainer.weights import file as weights_file
from trainer.weights import torch_import

FIRST_RUN = "docs/guides/first-run.md"  # makes the run that other pages look at
CLUSTER, CLOUD, MINUTES, COMPILER = "a cluster", "a cloud project", "minutes", "the TPU compiler"
# page: what its `console` blocks need
NOT_RUN = {
    "CONTRIBUTING.md": MINUTES,
    "README.md": f"{CLUSTER}, {MINUTES}",
    "docs/explanations/batchnorm-folding.md": COMPILER,
    "docs/explanations/depth.md": MINUTES,
    "docs/explanations/test-cluster.md": MINUTES,
    "docs/explanations/trainer.md": MINUTES,
    "docs/guides/check.md": f"{COMPILER}, {CLUSTER}",
    "docs/guides/data.md": f"{CLUSTER}, {CLOUD}",
    "docs/guides/equilibrium.md": MINUTES,
    "docs/guides/fine-tune.md": f"{CLUSTER}, weights of torchvision",
    "docs/guides/families.md": COMPILER,
    "docs/guides/first-run.md": MINUTES,
    "docs/guides/helm.md": CLUSTER,
    "docs/guides/image.md": f"{CLOUD}, {MINUTES}",
    "docs/guides/install-gke.md": f"{CLOUD}, {CLUSTER}",
    "docs/guides/install-kind.md": "docker, kind",
    "docs/guides/many-runs.md": f"{CLOUD}, {MINUTES}",
    "docs/guides/notify.md": CLOUD,
    "docs/guides/resize.md": CLOUD,
    "docs/guides/own-code.md": f"{CLOUD}, {CLUSTER}",
    "docs/guides/report.md": CLOUD,
    "docs/guides/resume.md": CLUSTER,
    "docs/guides/several-slices.md": COMPILER,
    "docs/guides/smoke.md": CLUSTER,
    "docs/guides/submit.md": CLUSTER,
    "docs/guides/upgrade.md": CLUSTER,
    "examples/fine-tune/README.md": f"{CLUSTER}, weights of torchvision",
    "examples/own-network/README.md": f"{CLUSTER}, {COMPILER}",
    "examples/plain-jax/README.md": CLUSTER,
    "examples/plain-pytorch/README.md": CLUSTER,
    "helm/resnet-platform/README.md": CLUSTER,
    "helm/resnet-train/README.md": CLUSTER,
}
PLACEHOLDERS = {"REGISTRY": "registry.example", "PROJECT": "my-project", "BUCKET": "my-bucket"}
# Programs of others, whose flags are theirs.
OTHERS = {"docker", "gcloud", "git", "kind", "kubectl", "pip"}
SHELL = {"cd", "do", "done", "echo", "for", "mkdir", "source"}
ASSIGNMENT = re.compile(r"[A-Z_]+=")  # a variable for one command, before its program
# Flags in code style that belong to other programs.
FOREIGN = {
    "--base-docker-image", "--base-image", "--build-arg", "--build-context", "--compute-type", "--dry-run",
    "--dry-run-out", "--dryrun", "--fail-cgroupv1", "--filename", "--force-conflicts",
    "--gke-nap-provisioning", "--gke-nap-reservation", "--implementation", "--max_retries", "--no-deps",
    "--no-index", "--only-binary", "--pathways", "--provenance", "--python-version",
    "--restart-on-exit-codes", "--restarts", "--script-dir", "--tpu-type", "--use-pathways", "--wait",
}  # fmt: skip
SETTING = re.compile(r"(?<![\w-])((?:model|data|optim|augment|train|checkpoint|log)\.[a-z]\w+)\b(?!\()")
SETTINGS = {row["field"] for row in schema()}


def pages_with(*languages: str) -> list[str]:
    return [page for page in pages() if blocks(page, *languages)]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A shell's environment without a cluster, a configuration or a cache of anyone's."""
    home = tmp_path_factory.mktemp("home")
    others = ("RESNET_", "KUBE", "JAX_", "XLA_")  # of tests in this process, too
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RESNET_CACHE": str(home / "cache"),
        # Runs of all pages share their compiled programs.
        "RESNET_LAUNCH_SET": f"log.wandb=off,train.compile_cache={COMPILED}",
        "XLA_FLAGS": QUICKLY_COMPILED,
    }


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """The folder in which the commands of the first page have run."""
    folder = tmp_path_factory.mktemp("first-run")
    for block in blocks(FIRST_RUN, "sh"):
        run(block, folder, environment)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("sh"))
def test_commands_run(
    page: str, tmp_path: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    if page == FIRST_RUN or any(re.search(r" runs\b", block.text) for block in blocks(page, "sh")):
        first_run: Path = request.getfixturevalue("first_run")
        shutil.copytree(first_run / "runs", tmp_path / "runs")
    if page == FIRST_RUN:
        return  # the fixture has run it
    if page.startswith("examples/"):
        shutil.copytree((CHECKOUT / page).parent, tmp_path, dirs_exist_ok=True)
        environment = environment | for_an_example(page, tmp_path)
    else:
        write_pictures(tmp_path)
    for block in blocks(page, "yaml"):
        name = re.match(r"# ([\w-]+\.yaml)", block.text)
        if name:
            (tmp_path / name[1]).write_text(filled(block.text))
    write_modules(page, tmp_path)
    for block in blocks(page, "sh"):
        run(block, tmp_path, environment)


def for_an_example(page: str, folder: Path) -> dict[str, str]:
    """Return the variables of an example's commands: few steps, and a python3 that has PyTorch."""
    if "pytorch" not in page:
        return {"STEPS": "40"}
    python = "/usr/bin/python3"  # of Debian's package python3-torch
    if subprocess.run([python, "-c", "import torch.distributed"], capture_output=True).returncode:
        pytest.skip("no PyTorch in the system's Python: apt-get install python3-torch")
    programs = folder.with_name(f"{folder.name}-programs")
    programs.mkdir()
    (programs / "python3").symlink_to(python)
    paths = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {"STEPS": "40", "PATH": os.pathsep.join(paths)}


@pytest.mark.slow
def test_examples_of_help_run(tmp_path: Path, environment: dict[str, str]) -> None:
    """The examples of `resnet-train --help`, in their order, on a few pictures and a file of torchvision."""
    write_pictures(tmp_path)
    shutil.copy(tmp_path / "photos/train/cat/1.jpg", tmp_path / "cat.jpg")
    write_resnet18(tmp_path / "resnet18.pth")
    block = Block("resnet-train --help", 1, "sh", resnet_train.EXAMPLES.partition("\n")[2])
    # `depth` takes minutes: tests/trainer/lesson runs it with small networks.
    verbs = {command.split()[1] for command in commands(block)} | {"depth"}
    assert verbs == {"train", *resnet_train.VERBS}
    run(block, tmp_path, environment | {"WANDB_MODE": "disabled", "JAX_PLATFORMS": "cpu"})
    written = ["first.html", "first.onnx", "first.pth", "resnet18.safetensors", "runs/tuned/report.html"]
    assert [name for name in written if not (tmp_path / name).is_file()] == []


@pytest.mark.slow
def test_every_file_of_a_run_is_in_the_reference(first_run: Path) -> None:
    page = read("docs/reference/run-directory.md")
    names = [f"{path.name}/" if path.is_dir() else path.name for path in (first_run / "runs/first").iterdir()]
    assert "events.jsonl" in names
    assert [name for name in names if f"`{name}`" not in page] == []


def run(block: Block, folder: Path, environment: dict[str, str]) -> None:
    """Run one block as a script that ends at its first failure."""
    done = subprocess.run(
        ["bash", "-eu", "-c", filled(block.text)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{block}\n{block.text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def write_modules(page: str, folder: Path) -> None:
    """Write the blocks of Python that begin with the path of their module, such as `# birds/nets.py`."""
    for block in blocks(page, "python"):
        if name := re.match(r"# ([\w/]+\.py)\n", block.text):
            path = folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


def write_pictures(folder: Path) -> None:
    """Write the pictures that pages take for granted: photos of two classes."""
    for split, count in (("train", 6), ("val", 2)):
        for label in ("cat", "dog"):
            for i in range(count):
                path = folder / "photos" / split / label / f"{i}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                colour = (20 * i, 200 if label == "cat" else 30, 100 if split == "val" else 50)
                Image.new("RGB", (80, 64), colour).save(path)


def write_resnet18(path: Path) -> None:
    """Write a ResNet-18 for ten classes as PyTorch does, with torchvision's names; all values are 0.01."""
    model = ModelConfig(arch="resnet18", stem="imagenet")
    _, shapes = weights_file.describe(model, 10, 3, 224, "cpu")
    weights = weights_file.Weights(
        model=model,
        class_names=[f"class {i}" for i in range(10)],
        image_size=224,
        mean=weights_file.IMAGENET_MEAN,
        std=weights_file.IMAGENET_STD,
        arrays={name: np.full(shape, 0.01, np.float32) for name, shape in shapes.items()},
    )
    torch_import.save_torch(weights, path)


def filled(text: str) -> str:
    """Return a text with what a reader puts in for the words in capitals."""
    for word, value in PLACEHOLDERS.items():
        text = re.sub(rf"\b{word}\b", value, text)
    return text


def test_what_is_not_run_has_a_reason() -> None:
    assert set(pages_with("console")) == set(NOT_RUN)


@pytest.mark.parametrize("page", pages())
def test_every_block_has_a_known_language(page: str) -> None:
    languages = {"sh", "console", "text", "yaml", "python"}
    assert [(str(b), b.language) for b in blocks(page) if b.language not in languages] == []


@pytest.mark.parametrize("page", pages_with("console"))
def test_commands_that_are_not_run_exist(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.startswith("examples/"):
        shutil.copytree((CHECKOUT / page).parent, tmp_path, dirs_exist_ok=True)
    if page == "README.md":  # a person's own files
        (tmp_path / "train.py").write_text("print('progress step=1')\n")
        (tmp_path / "birds.yaml").write_text("train.epochs: 3\n")
    monkeypatch.chdir(tmp_path)  # no resnet-launch.yaml of someone's
    for block in blocks(page, "console"):
        for command in commands(block):
            for part in re.split(r"&&|\|\||;|\|", filled(command)):
                check(shlex.split(part), str(block))


def check(words: list[str], where: str) -> None:
    """Check one command: its program, its verb, its flags, the files that it names."""
    program, *rest = itertools.dropwhile(ASSIGNMENT.match, words)
    if program == "resnet-launch":
        check_launcher(rest, where)
    elif program == "resnet-train":
        resnet_train.parser().parse_args(rest)
    elif program == "make":
        check_target(next(word for word in rest if "=" not in word), where)
    elif program == "python" and rest[0] == "-m":
        assert rest[1] == "trainer", where
        trainer_parser().parse_args(rest[2:])
    elif program == "helm":
        charts = [word for word in rest if word.startswith("helm/")]
        assert all((CHECKOUT / chart).is_dir() for chart in charts), where
    elif "/" in program or program == "python":
        assert (CHECKOUT / (rest[0] if program == "python" else program)).is_file(), where
    else:
        assert program in OTHERS | SHELL, f"{where}: {program}"


def check_launcher(words: list[str], where: str) -> None:
    """Parse a command of the launcher; a request is rendered, so that its values are checked too."""
    verb, rest = ("submit", words) if words[0].startswith("-") else (words[0], words[1:])
    assert verb in VERBS, where
    if verb == "data":
        data_parser().parse_args(without_need(rest))
        return
    command = importlib.import_module(f"launcher.cli.verbs.{verb}").command
    before, _, _ = shlex.join(rest).partition(" -- ")
    with command.make_context(verb, shlex.split(before)) as context:
        given = context.params
    if verb in ("submit", "check"):
        networks = (given.get("compare_archs") or "").split(",")  # of which each is a request
        given = {name: value for name, value in given.items() if name in options.ALL and value != "auto"}
        if networks[0]:
            given["arch"] = networks[0].partition("@")[0]
        assert render(given) == 0, where


def render(values: dict[str, object]) -> int:
    """Return the exit code of `render` for these flags."""
    flags: list[str] = []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else (value,):
            flags += [] if one is None else [flag] if one is True else [flag, str(one)]
    with contextlib.redirect_stdout(io.StringIO()):
        return main(["render", *flags])


def without_need(words: list[str]) -> list[str]:
    """Return a `data` command without the two flags that the launcher takes for `bench`."""
    pairs = iter(words)
    return [word for word in pairs if not (word in ("--slice", "--arch") and next(pairs))]


def check_target(target: str, where: str) -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"{where}: make {target}"


def known_flags() -> Iterator[str]:
    """Yield every flag of every verb and program of this repository."""
    for verb in VERBS:
        command = importlib.import_module(f"launcher.cli.verbs.{verb}").command
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
    for parser in (resnet_train.parser(), data_parser(), trainer_parser()):
        yield from parser._option_string_actions
        for action in parser._actions:
            for verb_parser in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
                yield from verb_parser._option_string_actions
    yield from ("--debug", "--version", "--help")
    for path in (*CHECKOUT.glob("bench/*.py"), CHECKOUT / "tests/cluster/testcluster/__main__.py"):
        yield from re.findall(r'"(--[a-z-]+)"', path.read_text())


@pytest.mark.parametrize("page", [page for page in pages() if page != "CHANGELOG.md"])
def test_flags_exist(page: str) -> None:
    """Flags in code style are flags of this repository, or listed as another program's."""
    known = {*known_flags()} | FOREIGN
    named = {flag for text in inline_code(page) for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", text)}
    assert sorted(named - known) == []


@pytest.mark.parametrize("page", pages())
def test_settings_exist(page: str) -> None:
    named = {name for text in inline_code(page) if "/" not in text for name in SETTING.findall(text)}
    files = {"config.json", "train.csv", "train.py", "data.yaml", "log.jsonl"}
    assert sorted(named - SETTINGS - files) == []


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_yaml_parses(page: str) -> None:
    assert all(yaml.safe_load(block.text) for block in blocks(page, "yaml"))


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_imports(page: str) -> None:
    """Blocks of Python compile, and what they import exists."""
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names), str(block)

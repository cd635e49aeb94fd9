"""Code of other packages in a request: its syntax is checked, nothing is imported, names become modules."""

import subprocess
import sys

import pytest

from launcher import TrainingJob
from launcher.errors import RequestError
from launcher.request import imports, summary

OWN = {"arch": "own.nets:Small.b16", "data": "own.data:birds", "recipe": "own.recipes.fast"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that installs the metadata of a package, whose code would end the process."""

    def install(name: str, groups: dict[str, dict[str, str]]) -> None:
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[{g}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items()) for g, rows in groups.items()]
        (folder / "entry_points.txt").write_text("\n".join(lines))
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(3)\n")

    monkeypatch.syspath_prepend(str(tmp_path))
    return install


def test_names_that_packages_add_become_modules(package):
    package("vision", {
        "resnet_launch.archs": {"small": "vision:small", "tiny": "vision:Tiny.make [extra]"},
        "resnet_launch.datasets": {"birds": "vision:birds"},
        "resnet_launch.recipes": {"fast": "vision.recipes"},
    })  # fmt: skip
    job = TrainingJob(slice="v4-32", arch="small", data="birds", recipe="fast", set=["model.arch=tiny"])
    assert (job.arch, job.data, job.recipe) == ("vision:small", "vision:birds", "vision.recipes")
    assert job.set == ("model.arch=vision:Tiny.make",)
    assert job.name == "small-v4-32"
    assert imports.names("archs")[-2:] == ["small", "tiny"]


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        (
            {"a": "vision:a", "b": "other:a"},
            "must have one meaning, and installed packages give it other:a and",
        ),
        ({"a": "vision", "b": "vision"}, "must stand for package.module:name in the package that adds net"),
    ],
)
def test_a_name_with_two_meanings_or_another_form_is_refused(package, groups, problem):
    for name, value in groups.items():
        package(f"p{name}", {"resnet_launch.archs": {"net": value}})
    with pytest.raises(RequestError, match=problem):
        TrainingJob(slice="v4-32", arch="net")


def test_a_name_of_the_trainer_stays_its_own(package):
    package("vision", {"resnet_launch.archs": {"resnet18": "vision:other"}})
    assert TrainingJob(slice="v4-32", arch="resnet18").arch == "resnet18"


def test_what_was_not_checked_is_said():
    job = TrainingJob(slice="cpu-2x1", **OWN, bucket="b-1", image="r/i:1")
    [warning] = [line for line in summary.warnings(job) if line.startswith("not checked")]
    for name in OWN.values():
        assert name in warning
    assert list(summary.imported(TrainingJob(slice="cpu-2x1", arch="resnet18", data="digits"))) == []


@pytest.mark.parametrize(("slice", "name"), [("v4-32", "b16-v4-32"), ("cpu-2x4", "b16-cpu-2x4")])
def test_the_run_is_named_after_the_last_word(slice, name):
    assert TrainingJob(slice=slice, **OWN).name == name


def test_the_batch_of_a_recipe_that_only_the_pods_read_is_no_warning():
    job = TrainingJob(slice="v4-32", **OWN)
    assert job.recipe_settings is None
    assert not any("of the recipe does not divide" in line for line in summary.warnings(job))


def test_a_file_of_settings_is_read_and_sent(tmp_path):
    (tmp_path / "mine.yaml").write_text("recipe: digits\noptim: {lr: 0.5}\ntrain.batch: 64\n")
    (tmp_path / "resnet-launch.yaml").write_text("recipe: mine.yaml\n")
    (tmp_path / "below").mkdir()
    command = [sys.executable, "-m", "launcher", "render", "--slice", "cpu-2x1", "--arch", "resnet18"]
    for flags, folder in ((["--recipe", "mine.yaml"], tmp_path), ([], tmp_path / "below")):
        done = subprocess.run([*command, *flags], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert '"name": "mine.yaml"' in done.stdout
        assert '"optim.lr": 0.5' in done.stdout


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("optim.rate: 1\n", "recipe: must name a field of the trainer, got 'optim.rate'"),
        ("- 1\n", "recipe: must be a file of settings such as optim.lr: 0.1"),
        ("a: b: c\n", "recipe: must be YAML"),
        (None, "recipe: must be a readable file"),
    ],
)
def test_a_file_that_is_wrong_is_one_error(tmp_path, text, problem):
    if text is not None:
        (tmp_path / "mine.yaml").write_text(text)
    command = [sys.executable, "-m", "launcher", "render", "--slice", "cpu-2x1", "--arch", "resnet18"]
    done = subprocess.run(
        [*command, "--recipe", "mine.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configmap_names_no_file_of_this_machine():
    from launcher.request import sources

    with pytest.raises(RequestError, match=r"must name a recipe, got the file '/etc/passwd.yaml'"):
        sources.configmap("ConfigMap x", {"recipe": "/etc/passwd.yaml"})

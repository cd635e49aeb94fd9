"""resnet-train on a real run: evaluate, predict, export, report, fine-tune, and errors of wrong requests."""

import json
import subprocess
import sys

import board_runs
import cv2
import numpy as np
import pytest
from pages import Page
from train_runs import environment, finish, rows, start

from trainer import cli
from trainer.config import DataConfig
from trainer.data.formats import digits
from trainer.weights.file import load

RUN = ["--arch", "resnet-tiny", "--data", "digits", "--steps", "60", "--set", "model.width=8"]
RUN += ["--set", "log.wandb=off", "--set", "train.eval_every_epochs=0", "--set", "optim.warmup_epochs=0"]

# resnet-train, with a library in C++ that prints to file descriptor 1 when jax is loaded.
NOISY = """
import os, sys
from importlib.abc import MetaPathFinder
class Printing(MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "jax":
            os.write(1, b"I am a library in C++\\n")
sys.meta_path.insert(0, Printing())
from trainer import cli
sys.exit(cli.main())
"""
REPORT_AGAIN = "`resnet-train report` on this run's directory adds it."


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained")
    code, _, err = finish(start(path, *RUN))
    assert code == 0, err
    return path


@pytest.fixture(scope="module")
def exported(run_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "w.safetensors"
    assert cli.main(["export", str(run_dir), str(path), "--to", "safetensors"]) == 0
    return path


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_stdout_is_data_only_and_stderr_is_free_of_noise(run_dir, tmp_path, verb):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    images = [str(tmp_path / "a.png")] if verb == "predict" else []
    command = [sys.executable, "-c", NOISY, verb, str(run_dir), *images]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=200)
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert set(json.loads(line)) >= ({"image", "top"} if verb == "predict" else {"accuracy", "examples"})
    assert done.stderr == "I am a library in C++\n"


@pytest.mark.slow
def test_evaluate_gives_the_accuracy_of_the_run_for_it_and_its_export(run_dir, exported, capsys):
    [evaluation_row] = [row for row in rows(run_dir) if row["kind"] == "evaluate"]
    for arguments in ([str(run_dir)], [str(exported), "--data", "digits"]):
        assert cli.main(["evaluate", *arguments]) == 0
        evaluation = json.loads(capsys.readouterr().out)
        assert evaluation["examples"] == 360
        assert evaluation["accuracy"] == pytest.approx(evaluation_row["accuracy"], abs=1e-9)
        assert evaluation["loss"] == pytest.approx(evaluation_row["loss"], abs=1e-5)


@pytest.mark.slow
def test_predictions_of_image_files_equal_those_of_the_dataset(run_dir, exported, tmp_path, capsys):
    images, labels = digits.load("test", DataConfig(name="digits")).gather(np.arange(360))
    paths = [str(tmp_path / f"{i}.png") for i in range(360)]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(path, image)
    assert cli.main(["predict", str(exported), *paths, "--top", "3"]) == 0
    predictions = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in predictions] == paths
    probabilities = [[candidate["probability"] for candidate in row["top"]] for row in predictions]
    assert all(len(p) == 3 and p == sorted(p, reverse=True) for p in probabilities)
    hits = sum(row["top"][0]["class"] == str(label) for row, label in zip(predictions, labels, strict=True))
    [evaluation_row] = [row for row in rows(run_dir) if row["kind"] == "evaluate"]
    assert hits == round(360 * evaluation_row["accuracy"])


@pytest.mark.slow
def test_a_second_report_adds_the_confusion_matrix_and_mistakes(run_dir, tmp_path, capsys):
    first = Page((run_dir / "report.html").read_text())
    assert ("p", f"No confusion matrix: {REPORT_AGAIN}") in first.texts
    out = tmp_path / "page.html"
    assert cli.main(["report", str(run_dir), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    page = Page(out.read_text())
    confusion = np.array([[int(cell or 0) for cell in row[1:]] for row in page.tables["confusion"][1:]])
    [evaluation_row] = [row for row in rows(run_dir) if row["kind"] == "evaluate"]
    assert confusion.sum() == 360
    assert np.trace(confusion) == round(360 * evaluation_row["accuracy"])
    assert len(page.loads) == 24  # images embedded in the page
    assert all(address.startswith("data:image/png;base64,") for address in page.loads)
    assert cli.main(["report", str(run_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best_accuracy"] == evaluation_row["accuracy"]


def test_several_runs_and_folders_of_runs_have_a_page_each(tmp_path, capsys):
    one, two = board_runs.make(tmp_path / "runs" / "a" / "one"), board_runs.make(tmp_path / "runs" / "two")
    pages = tmp_path / "pages"
    assert cli.main(["report", str(tmp_path / "runs"), "--out", str(pages)]) == 2
    error = f"error: --out: must be an existing folder for 2 runs, got {pages}\n"
    assert capsys.readouterr() == ("", error)
    pages.mkdir()
    assert cli.main(["report", str(tmp_path / "runs"), str(one), "--out", str(pages)]) == 0
    assert capsys.readouterr().out == f"{pages}/a-one.html\n{pages}/two.html\n"
    assert cli.main(["report", str(one), str(two), "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["run", "run"]
    (two / "config.json").write_text("{")
    assert cli.main(["report", str(one), str(two)]) == 1
    out, err = capsys.readouterr()
    assert out == f"{one}/report.html\n"
    assert err.splitlines()[-2].startswith(f"error: {two}: {two}: must be the directory of a run")
    assert err.splitlines()[-1] == "error: 1 of 2 runs have no page"


@pytest.mark.slow
def test_the_page_of_predictions_shows_24_pictures_and_the_mistakes(run_dir, exported, tmp_path, capsys):
    images, _ = digits.load("test", DataConfig(name="digits")).gather(np.arange(26))
    for i, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{i:02}.png"), image)
    (tmp_path / "99.png").write_bytes(b"no image")
    out = tmp_path / "page.html"
    assert cli.main(["predict", str(run_dir), str(tmp_path), "--explain", "--out", str(out)]) == 1
    printed = capsys.readouterr()
    predictions = [json.loads(line) for line in printed.out.splitlines()]
    assert len(predictions) == 26
    assert f"{out}: where the network looked" in printed.err
    page = Page(out.read_text())
    explained = page.loads[:48]
    assert ("h2", "Where the network looked: 24 pictures") in page.texts
    assert ("p", "Classified and not drawn: 2") in page.texts
    assert len(page.loads) == 96  # each of 24 pictures and 24 mistakes, and where the network looked in it
    assert all(address.startswith("data:image/png;base64,") for address in page.loads)
    named = [text for tag, text in page.texts if tag == "span" and text.endswith(".png")]
    assert named == [row["image"] for row in predictions[:24]]
    assert page.facts()["steps"] == "60"
    one, report = str(tmp_path / "00.png"), run_dir / "report.html"
    before = report.read_bytes()
    assert cli.main(["predict", str(exported), one, "--explain", "--out", str(out)]) == 0
    assert Page(out.read_text()).loads == explained[:2]  # a file shows what the run shows
    assert cli.main(["predict", str(run_dir), str(tmp_path / "99.png"), "--explain"]) == 1
    assert report.read_bytes() == before  # no picture, no page
    assert cli.main(["predict", str(run_dir), one, "--explain"]) == 0
    assert Page(report.read_text()).loads[:2] == explained[:2]
    report.write_bytes(before)


@pytest.mark.slow
def test_a_report_without_the_data_says_why(run_dir, tmp_path, capsys):
    lacking = tmp_path / "run"
    lacking.mkdir()
    config = json.loads((run_dir / "config.json").read_text())
    config["data"]["name"] = "/nowhere/at/all"
    (lacking / "config.json").write_text(json.dumps(config))
    (lacking / "events.jsonl").write_text((run_dir / "events.jsonl").read_text())
    assert cli.main(["report", str(lacking)]) == 0
    reason = "data: /nowhere/at/all must be a dataset, got nothing there"
    assert f"warning: the report has no confusion matrix: {reason}" in capsys.readouterr().err
    assert ("p", f"No confusion matrix: {reason}") in Page((lacking / "report.html").read_text()).texts


@pytest.mark.slow
def test_a_pth_export_is_a_file_of_pytorch_and_classes_are_renamed_from_a_file(exported, tmp_path, capsys):
    there, back, names = tmp_path / "w.pth", tmp_path / "w.safetensors", tmp_path / "names.txt"
    names.write_text("\n".join(f"digit {i}" for i in range(10)))
    assert cli.main(["export", str(exported), str(there), "--to", "torchvision"]) == 0
    assert there.read_bytes()[:4] == b"PK\x03\x04"
    of_network = [
        "--from",
        "torchvision",
        "--arch",
        "resnet-tiny",
        "--image-size",
        "8",
        "--set",
        "model.width=8",
    ]
    assert cli.main(["import", str(there), str(back), *of_network, "--classes", str(names)]) == 2
    assert "conv1.weight must be (3, 3, 3, 8) in our layout, got (3, 3, 1, 8)" in capsys.readouterr().err
    renamed = tmp_path / "renamed.safetensors"
    arguments = ["export", str(exported), str(renamed), "--to", "safetensors", "--classes", str(names)]
    assert cli.main(arguments) == 0
    assert load(renamed).class_names == names.read_text().splitlines()
    names.write_text("one\ntwo")
    assert cli.main(arguments) == 2
    assert "--classes: must name the 10 classes of the network, got 2 names" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_from_a_weights_file_changes_only_what_is_not_frozen(exported, tmp_path):
    arguments = [
        *RUN,
        "--set",
        f"train.init={exported}",
        "--set",
        "train.freeze=stem,blocks",
        "--set",
        "optim.ema=0.5",
    ]
    code, _, err = finish(start(tmp_path / "tuned", *arguments))
    assert code == 0, err
    out = tmp_path / "tuned.safetensors"
    assert cli.main(["export", str(tmp_path / "tuned"), str(out), "--to", "safetensors"]) == 0
    before, after = load(exported).arrays, load(out).arrays
    changed = {name for name in before if not np.allclose(before[name], after[name], rtol=1e-6, atol=1e-7)}
    assert changed == {"head.kernel", "head.bias"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["predict", "/nowhere", "a.png"],
            2,
            "error: /nowhere: must be the directory of a run, got no config",
        ),
        (["predict", "{file}", "/nowhere.png"], 1, "error: /nowhere.png: must be an image, got"),
        (["predict", "{file}", "a.png", "--top", "0"], 2, "error: --top: must be at least 1, got 0"),
        (
            ["predict", "{file}", "a.png", "--out", "a.html"],
            2,
            "error: --out: must be beside --explain, got none",
        ),
        (["predict", "{file}", "a.png", "--data", "digits"], 2, "error: --data: must be beside --explain"),
        (
            ["predict", "{file}", "a.png", "--explain"],
            2,
            "error: --out: must be a page to write for a weights file, got none\nhint: --out FILE.html",
        ),
        (
            ["predict", "{file}", "a.png", "--explain", "--out", "/nowhere/x.html"],
            2,
            "error: --out: must be in an existing folder, got /nowhere/x.html",
        ),
        (["report", "{file}", "--json", "--explain"], 2, "error: --explain: must be without --json"),
        (["report", "/nowhere"], 2, "error: /nowhere: must be the directory of a run, got no config"),
        (["evaluate", "{file}"], 2, "error: --data: must be a dataset for a weights file, got none"),
        (
            ["evaluate", "{file}", "--data", "synthetic"],
            2,
            "data: images must be 8x8 pixels with 1 channel, got 8x8 pixels with 3 channels",
        ),
        (
            ["export", "{file}", "/nowhere/x.onnx", "--to", "onnx"],
            2,
            "/nowhere/x.onnx: must be in an existing",
        ),
        (["export", "{file}", "x.pth", "--to", "onnx"], 2, "x.pth: must end with .onnx for onnx, got '.pth'"),
        (["report", "{file}", "--out", "x.pdf"], 2, "x.pdf: must end with .html or .htm for report"),
        (["evaluate", "{file}", "--data", "digits", "--classes", "/no"], 2, "--classes: /no must be a file"),
        (
            ["import", "{file}", "x.safetensors", "--from", "timm", "--arch", "resnet18"],
            2,
            "must hold a network with a tensor named layer1.0.conv1.weight, got blocks.0",
        ),
        (
            ["import", "{file}", "x.pth", "--from", "timm", "--arch", "resnet18"],
            2,
            "x.pth: must end with .safetensors",
        ),
        (
            ["import", "{file}", "x.safetensors", "--from", "timm", "--arch", "resnet19"],
            2,
            "did you mean resnet1",
        ),
        (
            ["report", "gs://no-such-bucket/run"],
            1,
            "error: gs://no-such-bucket/run cannot be reached: no.invalid: ",
        ),
        (
            ["paint"],
            2,
            "VERB: must be train, predict, evaluate, report, compare, import, export or depth, got 'paint'",
        ),
        (["reprot"], 2, "hint: did you mean report?"),
        ([], 2, "error: VERB: must be given\n"),
        (["predict"], 2, "error: RUN, IMAGE: must be given\nhint: resnet-train predict --help"),
        (["predict", "a", "b", "--tpo", "3"], 2, "got '--tpo'\nhint: did you mean --to"),
        (["predict", "a", "b", "--top", "x"], 2, "error: --top: must be a whole number, got 'x'\n"),
        (["evaluate", "a", "b"], 2, "arguments: must be no more than the command takes, got 'b' too"),
        (["evaluate", "a", "--data"], 2, "error: --data: must have a value, got none\n"),
    ],
)
def test_a_wrong_request_is_one_error(exported, capsys, monkeypatch, arguments, code, message):
    monkeypatch.setattr("trainer.rundir.reachable.HOST", "no.invalid")  # as where there is no network
    assert cli.main([argument.format(file=exported) for argument in arguments]) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "train.freeze=neck",
            "train.freeze: must name parts of the network (blocks, head, stem), got 'neck'",
        ),
        ("train.init=/nowhere", "error: /nowhere: must be the directory of a run, got no config"),
    ],
)
def test_a_wrong_start_ends_the_run_before_its_first_step(tmp_path, setting, message):
    code, out, err = finish(start(tmp_path, *RUN, "--set", setting))
    assert code == 44
    assert message in err
    assert "first_step" not in out

"""A run keeps its classes: it needs its dataset no more, and labels of another one are matched by name."""

import io
import json
import shutil
import tarfile

import cv2
import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from pages import Page
from pictures import jpeg
from squares import BLUE, GREEN, RED, folder, square
from train_runs import COMPILED, finish, start

from trainer import cli
from trainer.config import DataConfig, parse_setting, resolve
from trainer.data.source import from_arrays
from trainer.data.tools.pack import pack
from trainer.data.tools.pack_image import Packing
from trainer.devices import state_sharding
from trainer.devices.mesh import make_mesh
from trainer.program import make_program
from trainer.weights.file import load
from trainer.weights.initial import start_from

COLOURS = {"a r\u00e9d, dark": RED, "b_green": GREEN, "c_blue": BLUE}
SETTINGS = ["--arch", "resnet-tiny", "--batch", "16"]
for setting in (
    *("log.wandb=off", "data.image_size=32", "model.width=8", "optim.warmup_epochs=0", "optim.lr=0.5"),
    *("train.eval_every_epochs=0", f"train.compile_cache={COMPILED}"),
):
    SETTINGS += ["--set", setting]


def train(run_dir, data, *arguments):
    return finish(start(run_dir, *SETTINGS, "--data", str(data), *arguments))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("squares") / "rgb", COLOURS)


@pytest.fixture(scope="module")
def run_dir(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("classes") / "run"
    code, _, err = train(path, data, "--steps", "24")
    assert code == 0, err
    return path


@pytest.fixture(scope="module")
def alone(run_dir, tmp_path_factory):
    """The run where its dataset is not."""
    path = tmp_path_factory.mktemp("alone") / "run"
    shutil.copytree(run_dir, path)
    config = json.loads((path / "config.json").read_text())
    config["data"]["name"] = "/nowhere/at/all"
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def exported(alone, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "rgb.safetensors"
    assert cli.main(["export", str(alone), str(path), "--to", "safetensors"]) == 0
    return path


def evaluated(capsys, network, data):
    code = cli.main(["evaluate", str(network), "--data", str(data)])
    captured = capsys.readouterr()
    return code, json.loads(captured.out or "null"), captured.err


@pytest.mark.slow
def test_a_run_without_its_dataset_predicts_exports_and_reports(alone, exported, tmp_path, capsys):
    for number, colour in enumerate(COLOURS.values()):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(square(colour, 99)))
    (tmp_path / "0 bad.jpg").write_bytes(b"\xff\xd8\xff")
    assert cli.main(["predict", str(alone), str(tmp_path), "--top", "1"]) == 1
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [row["top"][0]["class"] for row in rows] == list(COLOURS)
    assert f"error: {tmp_path}/0 bad.jpg: " in captured.err
    assert "error: 1 of 4 pictures could not be classified" in captured.err
    weights = load(exported)
    assert (weights.class_names, weights.image_size, weights.crop) == (list(COLOURS), 32, 0.875)
    assert weights.mean == (0.485, 0.456, 0.406)
    assert cli.main(["report", str(alone), "--out", str(tmp_path / "page.html")]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "lacking"),
    [
        (["b_green", "c_blue"], "'a r\u00e9d, dark'"),
        (["c_blue"], "'a r\u00e9d, dark', 'b_green'"),
        (["a r\u00e9d, dark", "c_blue"], "'b_green'"),
    ],
)
def test_a_dataset_of_fewer_classes_is_evaluated_by_name(
    run_dir, exported, tmp_path, capsys, classes, lacking
):
    fewer = folder(tmp_path / "fewer", {name: COLOURS[name] for name in classes}, train=1)
    shutil.rmtree(fewer / "train")
    for network in (run_dir, exported):
        code, result, err = evaluated(capsys, network, fewer)
        assert (code, result["accuracy"], result["examples"]) == (0, 1.0, 8 * len(classes))
        assert result["classes"] == len(classes)
        text = f"warning: the data has {len(classes)} of the network's 3 classes; it lacks {lacking}\n"
        assert err == text


@pytest.mark.slow
def test_images_that_cannot_be_read_are_counted_apart(exported, data, tmp_path, capsys):
    root = tmp_path / "rgb"
    shutil.copytree(data, root)
    for name in ("b_green/0.jpg", "c_blue/7.jpg"):
        (root / "val" / name).write_bytes(b"\xff\xd8\xff")
    code, result, err = evaluated(capsys, exported, root)
    assert (code, result["accuracy"], result["examples"], result["damaged"]) == (0, 1.0, 22, 2)
    assert f"{root}/val/b_green/0.jpg: " in err
    for path in (root / "val").glob("*/*.jpg"):
        if path.name != "0.jpg" or path.parent.name == "c_blue":
            path.unlink()
        else:
            path.write_bytes(b"\xff\xd8\xff")
    code, result, err = evaluated(capsys, exported, root)
    assert (code, result) == (1, None)
    assert "error: data: none of the 2 test images of 'folder' can be read" in err


def shards(root, classes):
    """Write tar shards whose labels count the classes of a list."""
    root.mkdir()
    (root / "classes.txt").write_text("\n".join(classes) + "\n")
    for split in ("train", "val"):
        with tarfile.open(root / f"{split}-000000.tar", "w") as file:
            for label, name in enumerate(classes):
                for suffix, content in (
                    ("jpg", jpeg(square(classes[name], 7))),
                    ("cls", str(label).encode()),
                ):
                    info = tarfile.TarInfo(f"{label}.{suffix}")
                    info.size = len(content)
                    file.addfile(info, io.BytesIO(content))
    return root


@pytest.mark.slow
def test_shards_and_packs_in_another_order_are_evaluated_by_name(run_dir, exported, tmp_path, capsys):
    decomposed = "a re\u0301d, dark"  # as macOS writes it
    tar = shards(tmp_path / "tar", {"c_blue": BLUE, decomposed: RED, "b_green": GREEN})
    pack(str(tar), str(tmp_path / "packed"), Packing(quality=100), DataConfig(), lambda images: None)
    for network in (run_dir, exported):
        for dataset in (tar, tmp_path / "packed"):
            code, result, err = evaluated(capsys, network, dataset)
            assert (code, result["accuracy"], result["examples"], err) == (0, 1.0, 3, "")


@pytest.mark.slow
def test_a_renamed_class_is_refused_in_evaluation_and_on_resume(run_dir, data, tmp_path, capsys):
    root, run = tmp_path / "rgb", tmp_path / "run"
    shutil.copytree(run_dir, run)
    shutil.copytree(data, root)
    for split in ("train", "val"):
        (root / split / "b_green").rename(root / split / "z_green")
    code, result, err = evaluated(capsys, run, root)
    assert (code, result) == (2, None)
    assert "got 'z_green', class 2 of 3" in err
    assert "did you mean 'b_green'?" in err
    config = json.loads((run / "config.json").read_text())
    config["data"]["name"] = str(root)
    (run / "config.json").write_text(json.dumps(config))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    code, out, err = train(run, root, "--steps", "26")
    assert code == 44
    assert (
        f"error: run directory {run} holds a run of other classes: class 1 of 3 is 'b_green', got 'c_blue'"
        in err
    )
    assert "first_step" not in out
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_a_run_of_an_older_version_takes_the_names_of_its_dataset_and_says_so(
    run_dir, data, tmp_path, capsys
):
    run = tmp_path / "run"
    shutil.copytree(run_dir, run)
    (run / "dataset.json").unlink()
    image = data / "val" / "c_blue" / "0.jpg"
    assert cli.main(["predict", str(run), str(image), "--top", "1"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["top"][0]["class"] == "c_blue"
    assert (
        "kept no class names; those of its dataset now are assumed: 'a r\u00e9d, dark', 'b_green'"
        in captured.err
    )
    code, _, err = train(run, data, "--steps", "24")
    assert code == 0, err
    assert "it is assumed to be trained for those of its dataset now" in err
    assert (run / "dataset.json").read_bytes() == (run_dir / "dataset.json").read_bytes()


def started_from(run_dir, class_names):
    """Return the parameters of a fresh run for some classes that starts from another run."""
    settings = dict(parse_setting(text) for text in SETTINGS[5::2])
    config = resolve("tuned", "", "", {"model.arch": "resnet-tiny", "train.batch": 16}, settings)
    images = np.zeros((16, 32, 32, 3), np.uint8)
    source = from_arrays("squares", images, np.arange(16) % len(class_names), class_names, 0.5, 0.25)
    program = make_program(config, source, source, "cpu")
    state, devices = jax.jit(program.init_state)(program.key), make_mesh(1, jax.devices()[:1])
    shardings = state_sharding.of_state(devices, program.shapes, "none")
    return start_from(str(run_dir), program, class_names, state, shardings).params


@pytest.mark.slow
def test_a_run_that_starts_from_another_keeps_its_head_by_name(run_dir, exported, capsys):
    head = load(exported).arrays["head.kernel"]
    reordered = started_from(run_dir, ["c_blue", "a re\u0301d, dark", "b_green"])
    np.testing.assert_array_equal(reordered["head.kernel"], head[:, [2, 0, 1]])
    assert capsys.readouterr().err == ""
    others = started_from(exported, ["a r\u00e9d, dark", "b_green", "d_white"])
    assert not np.isin(head, others["head.kernel"]).any()
    np.testing.assert_array_equal(others["stem.conv.kernel"], reordered["stem.conv.kernel"])
    assert capsys.readouterr().err == (
        f"warning: train.init: the head starts afresh, not from {exported}: class 2 of 3 is 'c_blue', "
        "got 'd_white' of 3\n"
    )


@pytest.mark.slow
def test_onnx_carries_what_a_picture_is_prepared_with(alone, exported, tmp_path, capsys):
    out = tmp_path / "rgb.onnx"
    assert cli.main(["export", str(alone), str(out), "--to", "onnx"]) == 0
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), cv2.resize(square(GREEN, 5), (60, 44))[..., ::-1])
    assert cli.main(["predict", str(exported), str(path)]) == 0
    [line] = capsys.readouterr().out.splitlines()
    properties = {p.key: json.loads(p.value) for p in onnx.load(out).metadata_props}
    assert properties == {
        "class_names": list(COLOURS),
        "image_size": 32,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "crop": 0.875,
    }
    image = cv2.imread(str(path))[..., ::-1]
    side = round(properties["crop"] * min(image.shape[:2]))
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    part = np.ascontiguousarray(image[top : top + side, left : left + side])
    size = (properties["image_size"],) * 2
    pixels = cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    values = (pixels - np.float32(properties["mean"])) / np.float32(properties["std"])
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {"images": values.transpose(2, 0, 1)[None]})
    probabilities = np.exp(np.asarray(logits)[0]) / np.exp(np.asarray(logits)[0]).sum()
    for row in json.loads(line)["top"]:
        position = properties["class_names"].index(row["class"])
        assert row["probability"] == pytest.approx(float(probabilities[position]), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "library"), [("rgb.pth", "torchvision"), ("rgb.safetensors", "timm")])
def test_weights_for_a_library_leave_their_classes_beside_them(exported, tmp_path, capsys, name, library):
    out, back = tmp_path / name, tmp_path / "back.safetensors"
    assert cli.main(["export", str(exported), str(out), "--to", library]) == 0
    assert f"{out}.json: its class names, mean, deviation, image size and crop\n" in capsys.readouterr().err
    assert json.loads((tmp_path / f"{name}.json").read_text()) == {
        "class_names": list(COLOURS),
        "image_size": 32,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "crop": 0.875,
    }
    arguments = ["--from", library, "--arch", "resnet-tiny", "--image-size", "32", "--set", "model.width=8"]
    assert cli.main(["import", str(out), str(back), *arguments, "--classes", f"{out}.json"]) == 0
    assert load(back).class_names == list(COLOURS)


@pytest.mark.slow
def test_a_report_names_the_files_of_its_mistakes(run_dir, tmp_path, data, capsys):
    wrong = tmp_path / "rgb"
    shutil.copytree(data, wrong)
    (wrong / "val" / "b_green" / "7.jpg").write_bytes(jpeg(square(BLUE, 7)))
    run = tmp_path / "run"
    shutil.copytree(run_dir, run)
    config = json.loads((run / "config.json").read_text())
    config["data"]["name"] = str(wrong)
    (run / "config.json").write_text(json.dumps(config))
    assert cli.main(["report", str(run)]) == 0
    texts = [text for _, text in Page((run / "report.html").read_text()).texts]
    assert "val/b_green/7.jpg" in texts
    assert "Mistakes of the best checkpoint: 1 of 24 test images" in texts


def test_data_of_one_class_is_a_warning(tmp_path):
    """The run is refused right after its data are opened, so that nothing is compiled."""
    only = folder(tmp_path / "one", {"cat": RED}, train=1, val=1)
    code, _, err = train(tmp_path / "run", only, "--set", "augment.resolution=64")
    assert code == 44
    assert (
        "warning: data: 'folder' has one class, 'cat': whatever the network learns, its accuracy is 100 %"
        in err
    )

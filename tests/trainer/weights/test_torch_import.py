"""Weights of other libraries: which network of a file is read, what is refused, what is written."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from torch_files import Made, Name, legacy_file, ordered, tensor, zip_file

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.weights import class_names, outputs, torch_file, torch_import, torch_names
from trainer.weights import state_dict as state_dicts
from trainer.weights.file import IMAGENET_MEAN, IMAGENET_STD, Weights, describe, load
from trainer.weights.initial import fitting_arrays

MODEL, SIZE = ModelConfig(arch="resnet-tiny", width=8, stem="imagenet"), 64
ANCHOR = "layer1.0.conv1.weight"


@pytest.fixture(scope="module")
def network():
    """Random arrays of a network of three classes, under torchvision's names."""
    _, shapes = describe(MODEL, 3, 3, SIZE, "cpu")
    stream = np.random.RandomState(0)
    arrays = {name: stream.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    return torch_names.write(MODEL, arrays) | {"bn1.num_batches_tracked": np.array(7)}


def dictionary(arrays):
    return ordered({name: tensor(array) for name, array in arrays.items()})


def prefixed(prefix, arrays):
    return {prefix + name: array for name, array in arrays.items()}


def read(path, **options):
    return torch_import.load_torch(path, MODEL, SIZE, **options)


def same(imported, network):
    written = torch_names.write(MODEL, imported.weights.arrays)
    assert written.keys() | {"bn1.num_batches_tracked"} == network.keys()
    for name, array in written.items():
        np.testing.assert_array_equal(array, network[name], err_msg=name)


@pytest.mark.parametrize("suffix", [".pth", ".legacy.pth", ".safetensors", ".bin"])
@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "model.", "ema.", "net.0."]
)
def test_a_wrapper_of_the_names_is_taken_off_in_every_format(tmp_path, network, prefix, suffix):
    path = tmp_path / f"a{suffix}"
    arrays = prefixed(prefix, network)
    if suffix in (".pth", ".legacy.pth"):
        (zip_file if suffix == ".pth" else legacy_file)(path, dictionary(arrays))
    else:
        save_file(arrays, path)
    imported = read(path)
    same(imported, network)
    assert imported.notes == []
    assert imported.weights.class_names == ["class 0", "class 1", "class 2"]


def checkpoint(network, average):
    """Return what timm, torchvision's references and Lightning save during training, by library."""
    optimizer = {
        "state": {0: {"momentum_buffer": tensor(np.ones(4, np.float32))}},
        "param_groups": [{"lr": 0.1}],
    }
    args = Made(Name("argparse", "Namespace"), state={"lr": 0.1})
    averaged = {"n_averaged": np.array(3)} | prefixed("module.", average)
    loss = {"criterion.weight": np.ones(3, np.float32)}
    return {
        "timm": {
            "epoch": 3,
            "arch": "resnet18",
            "state_dict": dictionary(network),
            "optimizer": optimizer,
            "args": args,
            "state_dict_ema": dictionary(average),
        },
        "torchvision": {
            "model": dictionary(network),
            "optimizer": optimizer,
            "args": args,
            "model_ema": dictionary(averaged),
        },
        "lightning": {
            "state_dict": dictionary(
                prefixed("model.", network) | prefixed("ema_model.module.", average) | loss
            ),
            "hyper_parameters": Made(Name("lightning.fabric.utilities.data", "AttributeDict"), state={}),
            "optimizer_states": [optimizer],
        },
    }


@pytest.mark.parametrize("write", [zip_file, legacy_file])
@pytest.mark.parametrize(
    ("library", "plain", "average"),
    [
        ("timm", "state_dict", "state_dict_ema"),
        ("torchvision", "model", "model_ema"),
        ("lightning", "state_dict.model", "state_dict.ema_model"),
    ],
)
def test_a_training_checkpoint_is_read_and_its_average_by_choice(
    tmp_path, network, write, library, plain, average
):
    other = {name: array + 1 for name, array in network.items()}
    path = write(tmp_path / "a.pth", checkpoint(network, other)[library])
    first = read(path)
    same(first, network)
    [note] = first.notes
    assert note.startswith(f"read {plain}; the file also holds {average}")
    same(read(path, part=average), other)
    same(read(path, part=plain), network)
    with pytest.raises(ConfigError, match=f"one network under --state ema, got .*{plain}"):
        read(path, part="ema")


def test_two_networks_of_one_rank_need_a_choice(tmp_path, network):
    path = zip_file(tmp_path / "a.pth", {"encoder_q": dictionary(network), "encoder_k": dictionary(network)})
    with pytest.raises(ConfigError, match="a choice by --state, got encoder_k, encoder_q"):
        read(path)
    same(read(path, part="encoder_q."), network)


def test_a_file_without_a_head_starts_one_afresh(tmp_path, network):
    body = {name: array for name, array in network.items() if not name.startswith("fc.")}
    imported = read(zip_file(tmp_path / "a.pth", dictionary(body)))
    assert imported.weights.class_names == []
    assert [note[:14] for note in imported.notes] == ["it has no head"]
    out = tmp_path / "a.safetensors"
    imported.weights.save(out)
    _, shapes = describe(MODEL, 7, 3, SIZE, "cpu")
    blank = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
    fitting = fitting_arrays(load(out, head=False), str(out), blank, MODEL, SIZE)
    assert blank.keys() - fitting.keys() == {"head.kernel", "head.bias"}
    with pytest.raises(ConfigError, match="must have a head for its classes, got none"):
        load(out)


@pytest.mark.parametrize(
    "write", [zip_file, legacy_file, lambda path, arrays: save_file(arrays, path) or path]
)
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (ANCHOR, lambda a: np.where(a > 0.5, np.nan, a), "must be finite in float32, got nan in"),
        (
            "fc.bias",
            lambda a: np.where(a == a[1], -np.inf, a),
            "must be finite in float32, got -inf in 1 of 3",
        ),
        (
            "bn1.running_mean",
            lambda a: a.astype(np.float64) + 1e200,
            "must be finite in float32, got inf in 8 of 8",
        ),
        ("bn1.running_var", lambda a: -a, "must be at least 0, got -0"),
        (ANCHOR, lambda a: np.ones(a.shape, np.int8), "must be of a floating-point type, got int8"),
        ("fc.weight", lambda a: a[0], r"fc.weight must be \[classes, features\], got \["),
        ("fc.weight", lambda a: a[:0], r"fc.weight must be \[classes, features\], got \[0, "),
        ("bn1.weight", lambda a: a[:5], r"bn1.weight must be \(8,\) in our layout, got \(5,\)"),
    ],
    ids=["nan", "inf", "overflow", "variance", "integers", "one-dimensional", "no-classes", "shape"],
)
def test_a_tensor_that_no_network_can_have_is_named(tmp_path, network, write, name, change, message):
    arrays = network | {name: np.ascontiguousarray(change(network[name])).astype(change(network[name]).dtype)}
    value = arrays if write not in (zip_file, legacy_file) else dictionary(arrays)
    with pytest.raises(ConfigError, match=rf"a\.x: .*{message}") as caught:
        read(write(tmp_path / "a.x", value))
    assert name in str(caught.value)


@pytest.mark.parametrize("kind", ["_rebuild_qtensor", "_rebuild_sparse_tensor"])
def test_a_tensor_of_another_kind_is_named(tmp_path, network, kind):
    value = {name: tensor(array) for name, array in network.items()}
    value[ANCHOR] = Made(Name("torch._utils", kind), 1)
    with pytest.raises(ConfigError, match=f"{ANCHOR} must be an ordinary tensor, got torch._utils.{kind}"):
        read(zip_file(tmp_path / "a.pth", value))


def test_a_file_of_something_else_is_named(tmp_path):
    (tmp_path / "page.pth").write_text("<html>404</html>" * 30)
    with pytest.raises(ConfigError, match=r"page\.pth: must be weights of PyTorch .* got a file of another"):
        read(tmp_path / "page.pth")
    with pytest.raises(ConfigError, match=r"none\.pth: must be a file that can be read, got No such file"):
        read(tmp_path / "none.pth")
    path = zip_file(tmp_path / "vit.pth", {"blocks.0.attn\x1b]0;": tensor(np.ones(1))})
    with pytest.raises(ConfigError, match=rf"a tensor named {ANCHOR}, got blocks\.0\.attn\\x1b\]0;"):
        read(path)


def test_class_names_come_from_a_file(tmp_path, network):
    path = zip_file(tmp_path / "a.pth", dictionary(network))
    (tmp_path / "names.txt").write_bytes("\ufeffrose\r\ntulip, red\r\nlöwenzahn\r\n\r\n".encode())
    (tmp_path / "names.json").write_text('["rose", "tulip, red", "löwenzahn"]', encoding="utf-8")
    for file in ("names.txt", "names.json"):
        names = class_names.read(tmp_path / file)
        assert read(path, class_names=names).weights.class_names == ["rose", "tulip, red", "löwenzahn"]
    with pytest.raises(ConfigError, match=r"--classes: must name the 3 classes of .*, got 2 names"):
        read(path, class_names=["rose", "tulip"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"rose\n\ntulip\n", "must hold a name at 2, got ''"),
        ("a.txt", b"rose\nrose\n", "must hold each name once, got 'rose' 2 times"),
        ("a.txt", b"", "must hold a name at 1, got ''"),
        ("a.txt", b"ros\x1be\n", r"must hold a name at 1, got 'ros\\x1be'"),
        ("a.txt", b"\xff\xfe", "must hold names in UTF-8, got"),
        ("a.json", b'{"0": "rose"}', "must be a list of names, got other JSON"),
        ("a.json", b"[]", "must be a list of names, got an empty one"),
        ("a.json", b"[" * 100_000, "must hold names in UTF-8"),
    ],
)
def test_a_wrong_file_of_class_names_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"--classes: .*{message}"):
        class_names.read(tmp_path / name)


@pytest.fixture(scope="module")
def weights(network):
    arrays = torch_names.read(MODEL, network, describe(MODEL, 3, 3, SIZE, "cpu")[1])
    names = ["a", "b", "c"]
    return Weights(
        model=MODEL, class_names=names, image_size=SIZE, mean=IMAGENET_MEAN, std=IMAGENET_STD, arrays=arrays
    )


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".PTH", ".safetensors"])
def test_an_export_is_what_its_name_says(tmp_path, weights, network, suffix):
    path = tmp_path / f"a{suffix}"
    torch_import.save_torch(weights, path)
    if suffix == ".safetensors":
        written = load_file(path)
    else:
        assert path.read_bytes()[:4] == b"PK\x03\x04"
        written = {name: r() for name, r in state_dicts.flatten(torch_file.read(path)).items()}
    assert written.keys() == network.keys() - {"bn1.num_batches_tracked"}
    for name, array in written.items():
        np.testing.assert_array_equal(array, network[name], err_msg=name)
    same(read(path), network)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, f"{path.name}.json"]


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("a.pth", "safetensors", r"must end with \.safetensors for safetensors, got '\.pth'"),
        ("a.safetensors", "onnx", r"must end with \.onnx for onnx, got '\.safetensors'"),
        ("a", "timm", r"must end with \.pth or \.pt or \.safetensors for timm, got ''"),
        ("a.pdf", "report", r"must end with \.html or \.htm for report, got '\.pdf'"),
        ("no/a.pth", "torchvision", "must be in an existing folder"),
        ("folder.pth", "torchvision", "must be a file, got a folder"),
    ],
)
def test_a_name_of_another_format_is_refused(tmp_path, name, target, message):
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(ConfigError, match=message):
        outputs.check_name(tmp_path / name, target)


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"old")

    def fail():
        with outputs.replaced(tmp_path / "a.pth") as temporary:
            temporary.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match=r"a\.pth: cannot be written: No space left on device"):
        fail()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.pth", b"old")]

"""The reader of PyTorch's files: every kind of tensor that torch.save writes, and files that are refused."""

import io
import itertools
import os
import pickle
import pickletools
import random
import resource
import struct
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch_files
from torch_files import Made, Name, Storage, legacy_file, ordered, pickled, tensor, zip_file, zip_parts

from trainer import pickled as reader
from trainer.weights import state_dict, torch_file

WRITERS = [zip_file, legacy_file]


def arrays(path):
    """Read every tensor of a file by its dotted name."""
    return {name: read() for name, read in state_dict.flatten(torch_file.read(path)).items()}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_dtype_and_shape_is_read(tmp_path, write, protocol):
    values = {
        "float32": np.array([[1.5, -2.0, 3.0]], np.float32),
        "float64": np.array([1e300, -0.1]),
        "float16": np.array([0.5, 65504], np.float16),
        "bfloat16": np.array([1.0, -3.0], ml_dtypes.bfloat16),
        "int64": np.array(-(2**62)),
        "int8": np.array([[-128], [127]], np.int8),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 3), np.float32),
        "empty_at_the_end": np.zeros((2, 0), np.float16),
    }
    path = write(tmp_path / "a.pth", ordered({n: tensor(a) for n, a in values.items()}), protocol=protocol)
    read = arrays(path)
    assert list(read) == list(values)
    for name, value in values.items():
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value, err_msg=name)


def test_a_big_endian_file_is_read(tmp_path):
    values = {
        "a": np.array([1.5, -2], np.float32),
        "b": np.array([3], ml_dtypes.bfloat16),
        "c": np.array([7]),
    }
    path = zip_file(tmp_path / "a.pth", {n: tensor(a) for n, a in values.items()}, byteorder="big")
    for name, array in arrays(path).items():
        np.testing.assert_array_equal(array, values[name])


@pytest.mark.parametrize("write", WRITERS)
def test_views_of_one_storage_are_read(tmp_path, write):
    base = Storage(np.arange(12, dtype=np.float32))
    blank = np.empty(1, np.float32)
    path = write(
        tmp_path / "a.pth",
        {
            "transposed": tensor(blank, base, 1, (2, 3), (1, 2)),
            "column": tensor(blank, base, 2, (3,), (4,)),
            "last": tensor(blank, base, 11, (1, 1), (99, 10**12)),
            "scalar": tensor(blank, base, 5, (), ()),
        },
    )
    read = arrays(path)
    np.testing.assert_array_equal(read["transposed"], [[1, 3, 5], [2, 4, 6]])
    np.testing.assert_array_equal(read["column"], [2, 6, 10])
    np.testing.assert_array_equal(read["last"], [[11]])
    np.testing.assert_array_equal(read["scalar"], 5)


def test_a_legacy_view_of_a_part_of_a_storage_is_read(tmp_path):
    base = Storage(np.arange(12, dtype=np.float32), view=("7", 4, 3))
    path = legacy_file(tmp_path / "a.pth", {"w": tensor(np.empty(1, np.float32), base, 1, (2,), (1,))})
    np.testing.assert_array_equal(arrays(path)["w"], [5, 6])
    base.view = ("7", 4, 9)
    with pytest.raises(ValueError, match="a view of the elements 4 to 13 of 12"):
        torch_file.read(
            legacy_file(tmp_path / "b.pth", {"w": tensor(np.empty(1, np.float32), base, 0, (1,), (1,))})
        )


def test_unknown_objects_are_inert(tmp_path):
    """Training checkpoints of timm and Lightning hold arguments and functions beside the weights."""
    parameter = Made(Name("torch._utils", "_rebuild_parameter"), tensor(np.ones(2, np.float32)), True)
    value = {
        "args": Made(Name("argparse", "Namespace"), state={"lr": 0.1, "model": "resnet50"}),
        "callbacks": [Made(Name("somewhere", "Callback"), 1, "x"), {("a", 1): None, 3: 2.5, None: b"x"}],
        "exit": Made(Name("os", "_exit"), 7),
        "function": Name("builtins", "eval"),
        "seen": {1, 2},
        "model": ordered({"w": parameter}),
    }
    for protocol in (2, 4):
        read = arrays(zip_file(tmp_path / "a.pth", value, protocol=protocol))
        assert list(read) == ["model.w"]
        np.testing.assert_array_equal(read["model.w"], [1, 1])


def test_nothing_that_a_pickle_names_is_called(tmp_path):
    class Attack:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/ran",))

    path = tmp_path / "a.pth"
    for content in (pickle.dumps({"w": Attack()}), pickle.dumps(Attack())):
        read = torch_file.read(torch_files.ZipFile(content).write(path))
        assert "posix.system" in str(read)
    assert not (tmp_path / "ran").exists()


HUGE = 2**33  # elements: 32 GiB of float32


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("offset", "size", "stride", "message"),
    [
        (0, (3,), (-1,), "at least 0, got 0, (3,) and (-1,)"),
        (-4, (3,), (1,), "at least 0, got -4, (3,) and (1,)"),
        (0, (-1, -3), (1, 1), "at least 0, got 0, (-1, -3) and (1, 1)"),
        (7, (2,), (1,), "within its 8 stored elements, got element 8"),
        (0, (2, 2), (1, 7), "within its 8 stored elements, got element 8"),
        (8, (), (), "within its 8 stored elements, got element 8"),
        (0, (HUGE,), (0,), f"at most as many elements as are stored, 8, got {HUGE}"),
        (0, (3, 3), (0, 0), "at most as many elements as are stored, 8, got 9"),
        (0, (0, HUGE**3), (1, 1), f"below {2**48}, got {HUGE**3}"),
        (0, (2, 2), (1,), "as many strides as dimensions, at most 16, got 1 and 2"),
        (0, (1,) * 60, (1,) * 60, "at most 16, got 60 and 60"),
        (2**62, (2,), (2**62,), f"below {2**48}, got {2**62}"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, write, offset, size, stride, message):
    base = Storage(np.arange(8, dtype=np.float32))
    path = write(tmp_path / "a.pth", {"w": tensor(np.empty(1, np.float32), base, offset, size, stride)})
    with pytest.raises(ValueError, match=r"^must ") as caught:
        arrays(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("count", [7, 9, 2**40])
def test_a_storage_of_another_length_than_stated_is_refused(tmp_path, count):
    base = Storage(np.arange(8, dtype=np.float32), count=count)
    value = {"w": tensor(np.empty(1, np.float32), base, 0, (2,), (1,))}
    with pytest.raises(
        ValueError, match=rf"must have {count} elements in {4 * count} bytes, got 32|above 28"
    ):
        arrays(zip_file(tmp_path / "a.pth", value))
    with pytest.raises(ValueError, match=f"of 8 elements instead of {count}|cut off before"):
        arrays(legacy_file(tmp_path / "b.pth", value))


def limited(function, *arguments):
    """Call a function with 1 GiB more address space than the process has now."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), limits[1]))
    try:
        return function(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def levels(count, width):
    """Return a pickle of dicts, each of which holds the one before `width` times."""
    content = b"\x80\x02}q\x00"
    for level in range(count):
        entries = b"".join(text(b"%d" % i) + b"h" + bytes([level]) for i in range(width))
        content += b"}(" + entries + b"uq" + bytes([level + 1])
    return content + b"."


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


BOMBS = {
    "memo": (b"\x80\x02}r\xff\xff\xff\x7f.", "entry 2147483647 of its memo"),
    "integer": (
        b"\x80\x02\x8b" + struct.pack("<I", 1 << 20) + b"\x01" * (1 << 20) + b".",
        "an integer of 8388601 bits",
    ),
    "claimed bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.", "expected 1099511627776 bytes"),
    "operations": (b"\x80\x02" + b"(" * 1_500_000 + b".", "more than 1000000 operations"),
    "deep": (b"\x80\x02)" + b"\x85" * 900_000 + b".", "a tuple instead of tensors by name"),
    "deep key": (b"\x80\x02})" + b"\x85" * 500_000 + b"Ns.", None),
    "doubled key": (b"\x80\x02}(" + b")" + b"2\x86" * 60 + b"Nu.", None),
    "nested": (b"\x80\x02" + b"}" + (text(b"a") + b"}") * 200_000 + b"s" * 200_000 + b".", None),
    "shared dicts": (levels(20, 40), "more than 100000 entries"),
    "empty stack": (b"\x80\x02R.", "takes more than it holds"),
    "no end": (b"\x80\x02}", "pickle exhausted before seeing STOP"),
    "unknown": (b"\x80\x02\x82\x01.", "the operation EXT1"),
    "call of text": (b"\x80\x02" + text(b"x") + b")R.", "calls 'x' with a tuple"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="limits its address space as Linux counts it")
@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_that_would_cost_much_is_refused_soon(tmp_path, name):
    content, message = BOMBS[name]
    path = torch_files.ZipFile(content).write(tmp_path / "a.pth")
    if message is None:
        assert limited(arrays, path) == {}
        return
    with pytest.raises(ValueError, match=r".") as caught:
        limited(arrays, path)
    assert message in str(caught.value)


def test_the_reader_reads_what_pickle_reads():
    """Every operation that pickle has for plain values gives the same value as pickle's own reader."""
    value = [
        1,
        -1,
        2**31,
        2**70,
        1.5,
        True,
        None,
        "text",
        "ü",
        b"bytes",
        (),
        (1,),
        (1, 2, 3, 4),
        [],
        [[1]],
        {"a": {"b": 2}},
    ]
    value += [value[:3], ("long " * 100, b"x" * 300)]
    used = set()
    for protocol in range(6):
        content = pickle.dumps(value, protocol)
        used |= {opcode.name for opcode, *_ in pickletools.genops(content)}
        if protocol < 3:  # bytes are written as a call
            content = pickle.dumps([v for v in value[:-1] if not isinstance(v, bytes)], protocol)
        assert reader.read(io.BytesIO(content), {}, lambda pid: None) == pickle.loads(content)
    assert len(used) > 30


def test_a_compressed_member_is_refused(tmp_path):
    parts = zip_parts({"w": tensor(np.zeros(1 << 20, np.float32))})
    parts.compression = zipfile.ZIP_DEFLATED
    with pytest.raises(
        ValueError, match=r"'archive/.*' compressed or encrypted, which torch.save never does"
    ):
        arrays(parts.write(tmp_path / "a.pth"))


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """Each entry of the directory names the same megabyte, so that a file of one megabyte would have nine."""
    parts = zip_parts({str(i): tensor(np.zeros(1 << 18, np.float32)) for i in range(9)})
    parts.storages |= {str(i): b"" for i in range(1, 9)}
    content = bytearray(parts.write(tmp_path / "a.pth").read_bytes())
    entries = [content.rindex(b"archive/data/%d" % i) - 46 for i in range(9)]
    for entry in entries[1:]:
        for field in (slice(16, 28), slice(42, 46)):  # checksum and sizes; where the member begins
            content[entry + field.start : entry + field.stop] = content[entries[0] :][field]
    (tmp_path / "b.pth").write_bytes(content)
    with pytest.raises(ValueError, match="of 1048576 bytes, which the file does not have"):
        arrays(tmp_path / "b.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04", "a damaged zip file: File is not a zip file"),
        (b"not a zip", "a file of another format"),
        (pickle.dumps({"w": 1}), "a pickle that torch.save did not write"),
        (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(7, 2), "version 7 instead of 1001"),
        (
            b"storages".ljust(257, b"\0") + b"ustar" + b"\0" * 300,
            "a tar file, as PyTorch wrote before version 0.2",
        ),
    ],
)
def test_a_file_that_is_not_of_pytorch_is_refused(tmp_path, content, message):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r".") as caught:
        torch_file.read(tmp_path / "a.pth")
    assert message in str(caught.value)


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "a folder"),
        (tmp_path / "pipe", "no regular file"),
        ("/dev/zero", "no regular"),
    ):
        with pytest.raises(ValueError, match=message):
            torch_file.read(path)


def test_a_wrong_checksum_is_refused(tmp_path):
    content = bytearray(zip_file(tmp_path / "a.pth", {"w": tensor(np.ones(50, np.float32))}).read_bytes())
    content[content.index(np.ones(50, np.float32).tobytes()) + 3] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match="'archive/data/0' with a wrong checksum: copy the file again"):
        arrays(tmp_path / "a.pth")


def test_a_memory_mapped_file_costs_no_memory_for_what_is_not_read(tmp_path):
    path = zip_file(
        tmp_path / "a.pth", {"w": tensor(np.ones(2, np.float32)), "o": tensor(np.zeros(1 << 24, np.float32))}
    )
    reads = state_dict.flatten(torch_file.read(path))
    np.testing.assert_array_equal(reads["w"](), [1, 1])
    assert not reads["o"]().flags.owndata


def test_the_pickle_of_a_module_is_named(tmp_path):
    content, _ = pickled(Made(Name("torchvision.models.resnet", "ResNet"), state={"x": 1}))
    path = torch_files.ZipFile(content).write(tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"an object of torchvision\.models\.resnet\.ResNet instead of"):
        arrays(path)


def elements(count, offset, size, stride):
    """Return the indices of a view, in its order, by the definition of strides alone."""
    places = itertools.product(*map(range, size))
    return [offset + sum(i * s for i, s in zip(place, stride, strict=True)) for place in places]


@pytest.mark.parametrize("write", WRITERS)
def test_random_views_are_what_strides_say_or_refused(tmp_path, write):
    chance, views, base = random.Random(4), {}, Storage(np.arange(24, dtype=np.float32))
    for number in range(400):
        size = tuple(chance.choice([0, 1, 2, 3, 4]) for _ in range(chance.randrange(4)))
        stride = tuple(chance.choice([-1, 0, 1, 2, 3, 6, 12, 24]) for _ in size)
        views[str(number)] = chance.choice([-1, 0, 0, 1, 5, 23, 24]), size, stride
    value = {name: tensor(np.float32([0]), base, *view) for name, view in views.items()}
    reads = state_dict.flatten(torch_file.read(write(tmp_path / "a.pth", value)))
    read = 0
    for name, (offset, size, stride) in views.items():
        inside = elements(24, offset, size, stride)
        if min(offset, *stride, 0) < 0 or any(i >= 24 for i in inside) or len(inside) > 24:
            with pytest.raises(ValueError, match=r"^must (have|lie)"):
                reads[name]()
            continue
        read += 1
        np.testing.assert_array_equal(reads[name](), np.float32(inside).reshape(size))
    assert read > 50

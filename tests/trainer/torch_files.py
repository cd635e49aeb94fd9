"""Files of PyTorch without PyTorch: pickles of any value, zip and legacy files that `torch.load` reads."""

import io
import pickle
import zipfile
from dataclasses import dataclass, field

import numpy as np

KINDS = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class Name:
    """A class or function of a module that need not exist."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("only its name is written")


class Made:
    """An object that a function makes from arguments when it is read."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


@dataclass(eq=False)
class Storage:
    """A row of elements; `kind`, `count` and `view` can be made to lie."""

    data: np.ndarray
    kind: str = ""
    count: int | None = None
    view: tuple | None = None

    def fields(self, key, legacy):
        kind = Name("torch", self.kind or KINDS[self.data.dtype.name])
        count = self.data.size if self.count is None else self.count
        return ("storage", kind, key, "cpu", count, *([self.view] if legacy else []))


def tensor(array, storage=None, offset=0, size=None, stride=None):
    """Return a tensor; with a storage, the view of it that offset, size and stride describe."""
    array = np.asarray(array)
    if storage is None:
        storage = Storage(np.ascontiguousarray(array).ravel())
    size = array.shape if size is None else size
    stride = (
        tuple(s // array.itemsize for s in np.empty(array.shape, array.dtype).strides)
        if stride is None
        else stride
    )
    hooks = Made(Name("collections", "OrderedDict"))
    return Made(Name("torch._utils", "_rebuild_tensor_v2"), storage, offset, size, stride, False, hooks)


def ordered(values):
    """Return an OrderedDict of values as a state dict is written, with its attribute _metadata."""
    return _Ordered(values)


class _Ordered:
    def __init__(self, values):
        self.values = values

    def __reduce__(self):
        state = {"_metadata": {"": {"version": 1}}}
        return Name("collections", "OrderedDict"), (), state, None, iter(self.values.items())


class _Pickler(pickle._Pickler):
    def __init__(self, file, protocol, legacy=False):
        super().__init__(file, protocol)
        self.legacy, self.storages = legacy, {}

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        key = self.storages.setdefault(id(obj), (str(len(self.storages)), obj))[0]
        return obj.fields(key, self.legacy)

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Name):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        else:
            super().save(obj, save_persistent_id)


def pickled(value, protocol=2, legacy=False):
    """Return (pickle, storages in the order of their keys)."""
    file = io.BytesIO()
    pickler = _Pickler(file, protocol, legacy)
    pickler.dump(value)
    return file.getvalue(), [storage for _, storage in pickler.storages.values()]


@dataclass
class ZipFile:
    """The members of a zip file of torch.save, to be changed before it is written."""

    pickle: bytes
    storages: dict = field(default_factory=dict)
    byteorder: bytes = b"little"
    compression: int = zipfile.ZIP_STORED

    def write(self, path):
        with zipfile.ZipFile(path, "w", self.compression) as file:
            file.writestr("archive/data.pkl", self.pickle)
            if self.byteorder:
                file.writestr("archive/byteorder", self.byteorder)
            for key, data in self.storages.items():
                file.writestr(f"archive/data/{key}", data)
            file.writestr("archive/version", b"3\n")
        return path


def zip_parts(value, protocol=2, byteorder="little"):
    content, storages = pickled(value, protocol)
    order = "<" if byteorder == "little" else ">"
    data = {}
    for key, storage in enumerate(storages):
        words = storage.data.view(f"u{storage.data.itemsize}")
        data[str(key)] = words.astype(f"{order}u{words.itemsize}").tobytes()
    return ZipFile(content, data, byteorder.encode())


def zip_file(path, value, **options):
    """Write a value as torch.save does since PyTorch 1.6."""
    return zip_parts(value, **options).write(path)


def legacy_file(path, value, protocol=2):
    """Write a value as torch.save did before PyTorch 1.6."""
    content, storages = pickled(value, protocol, legacy=True)
    system = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
    keys = pickle.dumps([str(key) for key in range(len(storages))], 2)
    rows = [np.int64(s.data.size).tobytes() + s.data.tobytes() for s in storages]
    path.write_bytes(b"".join([*head, content, keys, *rows]))
    return path

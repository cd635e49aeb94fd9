"""The bytes of a layer depend on paths, contents and links only, whatever the files are like here."""

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

from launcher.image import layer
from launcher.image.layer import Layer, Member, write


def written(*members: Member) -> tuple[Layer, bytes]:
    file = io.BytesIO()
    made = write(members, file)
    return made, file.getvalue()


MEMBERS = (
    Member(path="opt/app/b.py", content=b"b"),
    Member(path="opt/app/a/run", content=b"#!", executable=True),
    Member(path="opt/app/link", target="a/run"),
    Member(path="opt/ü", content=b""),
)


def test_digest_size_and_diff_id_are_those_of_the_bytes() -> None:
    made, data = written(*MEMBERS)
    assert made.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert made.size == len(data)
    assert made.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}"


def test_a_layer_is_owned_by_root_and_has_no_times() -> None:
    _, data = written(*MEMBERS)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        entries = {entry.name: entry for entry in archive}
        assert archive.extractfile("opt/app/b.py").read() == b"b"  # type: ignore[union-attr]
    assert [*entries] == [
        "opt",
        "opt/app",
        "opt/app/a",
        "opt/app/a/run",
        "opt/app/b.py",
        "opt/app/link",
        "opt/ü",
    ]
    assert {(entry.uid, entry.gid, entry.mtime, entry.uname) for entry in entries.values()} == {(0, 0, 0, "")}
    modes = {name: oct(entry.mode) for name, entry in entries.items()}
    assert modes["opt"] == modes["opt/app/a/run"] == "0o755"
    assert modes["opt/app/b.py"] == "0o644"
    assert entries["opt/app/link"].linkname == "a/run"


def test_neither_order_nor_files_attributes_count(tmp_path: Path) -> None:
    first, _ = written(*MEMBERS)
    assert written(*reversed(MEMBERS))[0] == first
    file = tmp_path / "b"
    for mode, time in ((0o600, 1), (0o777, 2_000_000_000)):
        file.write_bytes(b"b")
        file.chmod(mode)
        os.utime(file, (time, time))
        assert written(Member(path="opt/app/b.py", content=file), *MEMBERS[1:])[0] == first


def test_large_layers_are_whole_and_the_same_on_any_number_of_processors(monkeypatch) -> None:
    content = os.urandom(layer.CHUNK_BYTES) + b"\0" * 3 * layer.CHUNK_BYTES + b"end"
    results = set()
    for processors in (1, 2, 7):
        monkeypatch.setattr(os, "cpu_count", lambda count=processors: count)
        made, data = written(Member(path="a", content=content))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert archive.extractfile("a").read() == content  # type: ignore[union-attr]
        results.add(made)
    assert len(results) == 1


def test_a_layer_of_nothing_is_an_archive() -> None:
    _, data = written()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == []

"""Names that data gives stay in the folder they are used in; class names are compared in one normal form."""

import pytest

from trainer.data.names import class_name, plain_name, printable
from trainer.data.storage import Place
from trainer.errors import DataError

OUTSIDE = {
    "absolute": "/etc/cron.d/x",
    "above": "../x",
    "above, deep": "a/../../x",
    "above, at the end": "a/..",
    "here": "./x",
    "here, deep": "a/./x",
    "hidden": ".ssh/authorized_keys",
    "hidden, deep": "a/.bashrc",
    "empty": "",
    "empty part": "a//x",
    "folder": "a/",
    "zero byte": "a\0b",
    "long part": "a" * 256,
    "long": "/".join(["a" * 100] * 60),
    "number": 7,
    "none": None,
    "list": ["x"],
}


@pytest.mark.parametrize("name", OUTSIDE.values(), ids=OUTSIDE)
def test_a_name_that_leads_out_of_its_folder_is_refused(name):
    with pytest.raises(DataError, match=r"data: photos must hold plain relative names, got .*\nhint: names"):
        plain_name(name, "photos")


@pytest.mark.parametrize("name", OUTSIDE.values(), ids=OUTSIDE)
def test_no_folder_reads_or_writes_such_a_name(tmp_path, name):
    if name and isinstance(name, str):  # "" is the folder itself
        for place in (Place(str(tmp_path)), Place("gs://bucket/photos")):
            with pytest.raises(DataError, match="must hold plain relative names"):
                place.read(name)


@pytest.mark.parametrize(
    "name", ["a", "a.jpg", "train/a b/ü.jpg", "a..b", "~", "a\\b", "C:x", "caf\udce9.jpg", "a" * 255, "-"]
)
def test_a_plain_name_is_returned(name):
    assert plain_name(name, "photos") == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("caf\udce9", r"caf\xe9"),
        ("a\x1b]52;c;eA==\x07", r"a\x1b]52;c;eA==\x07"),
        ("x\nprogress step=9", r"x\x0aprogress step=9"),
        ("a\u2028b\x85", r"a\u2028b\x85"),
        ("Mädchen 漢字 🐈", "Mädchen 漢字 🐈"),
    ],
)
def test_a_name_is_shown_without_control_characters(name, text):
    assert printable(name) == text


def test_a_class_name_has_one_normal_form():
    assert class_name("cafe\u0301", "x") == class_name("caf\u00e9", "x") == "caf\u00e9"


@pytest.mark.parametrize("name", ["caf\udce9", "a\nb", "a\x1b[2J", " ", "\ud800"])
def test_a_class_name_that_cannot_be_written_is_refused(name):
    with pytest.raises(DataError, match="photos/x must be a class name in UTF-8 without control"):
        class_name(name, "photos/x")

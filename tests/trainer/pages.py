"""A record of a run, and a parser of its report page."""

import html.parser

from trainer.config import resolve
from trainer.rundir.record import Record

CONFIG = resolve("a<b>&co", "/d", "digits", {"model.arch": "resnet18", "data.name": "digits"})
TRAIN = [
    {"kind": "train", "step": 1, "epoch": 0.1, "loss": 2.5, "accuracy": 0.1, "lr": 0.0, "at": 1010.0},
    {"kind": "train", "step": 10, "epoch": 1.0, "loss": 1.5, "accuracy": 0.5, "lr": 0.1, "at": 1020.0}
    | {"images_per_second": 640.0},
    {"kind": "train", "step": 20, "epoch": 2.0, "loss": 0.5, "accuracy": 0.9, "lr": 0.05, "at": 1030.0}
    | {"images_per_second": 660.0},
]
EVALUATE = [
    {"kind": "evaluate", "step": 10, "epoch": 1.0, "accuracy": 0.625, "loss": 1.25, "examples": 8},
    {"kind": "evaluate", "step": 20, "epoch": 2.0, "accuracy": 0.5, "loss": 1.0, "examples": 8},
]
EVENTS = [
    {"name": "start", "at": 1000.0, "hosts": 1, "devices": 4, "device_kind": "TPU v4"},
    {"name": "opened", "at": 1002.0},
    {"name": "compiled", "at": 1010.0, "seconds": 8.0},
    {"name": "save", "at": 1030.0, "step": 20, "seconds": 1.5, "waited_seconds": 0.5},
    {"name": "end", "at": 1032.0, "step": 20, "seconds": 2.0, "waited_seconds": 0.5},
]
RECORD = Record(config=CONFIG, metrics=[*TRAIN[:2], EVALUATE[0], TRAIN[2], EVALUATE[1]], events=EVENTS)


class Page(html.parser.HTMLParser):
    """The texts of a page with their elements, the rows of its tables, and the addresses it would load."""

    VOID = ("meta", "img", "br", "line")

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.tables, self.loads, self.drawn = [], [], {}, [], {}
        self.feed(text)
        assert self.open == []  # every element is closed

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.loads += [values[key] for key in ("src", "href") if key in values]
        if tag == "table":
            self.rows = self.tables.setdefault(values["class"], [])
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "svg":
            self.figure = self.drawn.setdefault(values["aria-label"], [])
        if tag == "polyline":
            self.figure.append(len(values["points"].split()))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def facts(self):
        names = [text for tag, text in self.texts if tag == "dt"]
        return dict(zip(names, [text for tag, text in self.texts if tag == "dd"], strict=True))

"""The pages that ``resnet-train`` writes: of a run with its mistakes, and of where a network looks."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from etils import epath

from trainer import imports
from trainer.arguments import warn_of_folder
from trainer.config import DataConfig, TrainConfig, resolve
from trainer.errors import ConfigError, TrainError
from trainer.report import page
from trainer.rundir import directory, files, record
from trainer.weights import confusion, inference, outputs
from trainer.weights.explanation import Explainer
from trainer.weights.looks import Looks

if TYPE_CHECKING:
    from trainer.report.mistakes import ErrorAnalysis
    from trainer.weights.file import Weights


class ExplainedPage:
    """The page of ``predict --explain``.

    Args:
      args: arguments of the verb.
      weights: the network that predicts.

    Attributes:
      looks: collects the pictures.

    Raises:
      ConfigError: there is no place for the page, or the network does not show where it looks.
    """

    def __init__(self, args: argparse.Namespace, weights: Weights):
        self._args, self._weights = args, weights
        self._run = None if is_file(args.network) else record.load(epath.Path(args.network))
        self._out = place(args.out, args.network)
        self._explainer = Explainer(weights)
        self.looks = Looks(self._explainer)

    def write(self) -> None:
        """Write the page, first without the mistakes, which may take long, and then with them."""
        explanation, run = self.looks.explanation(), self._run
        if run:
            save(
                self._out,
                page.render(run, "the search for mistakes was stopped", explanation),
                self._args.out,
            )
            mistakes = analysis(
                lambda: self._weights, lambda: data_of(run.config, self._args.data), lambda _: self._explainer
            )
            text = page.render(run, mistakes, explanation)
        else:
            facts = f"{self._weights.model.arch}, {len(self._weights.class_names):,} classes"
            data = self._args.data
            wrong = confusion.analyse_errors(self._weights, dataset(data), self._explainer) if data else None
            text = page.render_weights(epath.Path(self._args.network).name, facts, explanation, wrong)
        save(self._out, text, self._args.out)
        print(f"{self._out}: where the network looked", file=sys.stderr)


def is_file(network: str) -> bool:
    """Return whether a network is a weights file rather than the directory of a run."""
    return network.endswith(".safetensors") or epath.Path(network).is_file()


def place(out: str | None, network: str) -> epath.Path:
    """Return the page to write: the one that is named, or report.html in the directory of the run.

    Raises:
      ConfigError: it is no page, lies in no folder, or none is named for a weights file.
    """
    if out:
        outputs.check_suffix(out, "report")
    elif is_file(network):
        raise ConfigError("--out: must be a page to write for a weights file, got none", "--out FILE.html")
    path = epath.Path(out or epath.Path(network) / "report.html")
    if not path.parent.is_dir():
        raise ConfigError(f"--out: must be in an existing folder, got {path}")
    return path


def places(out: str | None, runs: Sequence[str]) -> list[str | None]:
    """Return what `place` gets for each run: the page that is named, or one of a folder for several runs.

    Args:
      out: value of ``--out``.
      runs: their directories, without a slash at the end.

    Raises:
      ConfigError: there are several runs, and it is no folder.
    """
    if out is None or len(runs) == 1:
        return [out] * len(runs)
    if not epath.Path(out).is_dir():
        raise ConfigError(f"--out: must be an existing folder for {len(runs):,} runs, got {out}")
    shared = os.path.commonpath([run.removeprefix("gs://") for run in runs])
    names = [run.removeprefix("gs://").removeprefix(shared).strip("/").replace("/", "-") for run in runs]
    return [f"{out}/{name}.html" for name in names]


def save(path: epath.Path, text: str, named: str | None) -> None:
    """Write a page; ``named`` is the reader's own file, which may be a link or a pipe."""
    if named:
        path.write_text(text)
    else:
        files.write(path, text)


def run_page(run: record.Record, data: str | None, arch: str | None, explain: bool) -> str:
    """Return the page of a run with the mistakes of its best checkpoint, as HTML.

    Args:
      run: the run.
      data: dataset for the mistakes; None: that of the run.
      arch: network of the run, if the request names it; a network of an own module is imported only then.
      explain: whether the mistakes show where the network looked.

    Raises:
      ConfigError: the network does not show where it looks.
    """
    config = run.config

    def weights() -> Weights:
        if arch not in (None, config.model.arch):
            raise ConfigError(f"--arch: must be the network of the run, {config.model.arch}, got {arch}")
        if imports.is_object(config.model.arch) and not arch:
            text = f"its network is code that the run names: {config.model.arch}"
            raise ConfigError(text, f"--arch {config.model.arch} imports it")
        return inference.load_best(config)

    explainer = Explainer if explain else None
    return page.render(run, analysis(weights, lambda: data_of(config, data), explainer))


def analysis(
    weights: Callable[[], Weights],
    data: Callable[[], DataConfig],
    explainer: Callable[[Weights], Explainer] | None,
) -> ErrorAnalysis | str:
    """Return the mistakes of a network, or the reason why there are none.

    A run whose checkpoint or data is missing here still has a page.
    """
    try:
        network, config = weights(), data()
    except TrainError as error:
        return _none(error)
    explained = explainer(network) if explainer else None  # a network that does not show it is an error
    try:
        return confusion.analyse_errors(network, config, explained)
    except TrainError as error:
        return _none(error)


def _none(error: TrainError) -> str:
    print(f"warning: the report has no confusion matrix: {error}", file=sys.stderr)
    return str(error).splitlines()[0]


def dataset(text: str) -> DataConfig:
    """Return the settings of the dataset that ``--data`` names."""
    warn_of_folder(text)
    return resolve("", "", "", {"data.name": text}).data


def data_of(config: TrainConfig, text: str | None) -> DataConfig:
    """Return the settings of the dataset that ``--data`` names, or of the run's own.

    Raises:
      ConfigError: there is no ``--data``, and the run's own data must be asked for.
    """
    if not text:
        return directory.data_at_hand(config)
    data = dataset(text)
    if data.name != config.data.name:
        return data
    kept = {name: getattr(config.data, name) for name in ("root", "subset", "val_share", "val_seed")}
    return dataclasses.replace(data, **kept)

"""``resnet-train depth``: what the lesson claims holds in its quick form, and its page is whole or absent."""

import math
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from browser import needs_browser

from trainer import cli
from trainer.lesson import command, findings, page, study, text
from trainer.lesson.networks import KINDS, Kind, logits, make
from trainer.lesson.progress import Bar
from trainer.lesson.study import QUICK, Size, Trained, ratio

PLAIN_NORM, RESIDUAL_NORM, SKIP_INIT = KINDS[1], KINDS[3], KINDS[4]


def measured(
    kind: Kind, layers: int, loss: float, first=(1.0, 1.0), last=(1.0, 1.0), steps: int = 60
) -> Trained:
    return Trained(
        kind=kind,
        layers=layers,
        steps=steps,
        losses=[loss] * steps,
        accuracies=[0.5] * steps,
        first=np.array(first),
        last=np.array(last),
        test_accuracy=0.5,
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The command in its quick form with two depths: (its output, its page, its measurements)."""
    out = tmp_path_factory.mktemp("depth") / "depth.html"
    patch = pytest.MonkeyPatch()
    kept: list[Trained] = []
    whole = study.study

    def recorded(*args):
        kept.extend(whole(*args))
        return kept

    patch.setattr(command, "study", recorded)
    patch.setattr(command, "KINDS", KINDS)
    with patch.context():
        command.run(str(out), "20,56", quick=True)
    patch.undo()
    return out, kept


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_only_without_shortcuts_do_more_layers_end_higher(quick):
    _, results = quick
    by_name = {(each.kind.name, each.layers): each for each in results}
    assert len(by_name) == 10
    plain, plain_deep = (by_name["plain + BatchNorm", n] for n in (20, 56))
    residual, residual_deep = (by_name["residual + BatchNorm", n] for n in (20, 56))
    assert findings.degrades(plain, plain_deep)
    assert not findings.degrades(residual, residual_deep)
    assert plain_deep.loss > residual_deep.loss + 0.2
    # At initialisation BatchNorm makes gradients explode without a shortcut (arXiv:1902.08129).
    assert ratio(plain_deep.first) > 50
    assert ratio(residual_deep.first) < 20
    for depth in (20, 56):  # a block of SkipInit is at first the identity
        np.testing.assert_allclose(by_name["SkipInit", depth].first, by_name["SkipInit", depth].first[-1])
    assert ratio(by_name["plain", 56].first) < 0.1


@pytest.mark.slow
@needs_browser
def test_the_page_is_whole_in_a_browser(quick, browser):
    path, _ = quick
    for dark in (False, True):
        browser.open(path, 1200, dark)
        assert browser.problems == []
        assert browser.requests == [path.as_uri()]
        figures = browser.evaluate("document.querySelectorAll('figure svg').length")
        assert figures == 2 + 2 + 2 + 1
        assert browser.evaluate("document.documentElement.scrollWidth") <= 1200
        assert browser.evaluate("document.querySelectorAll('table tr').length") == 11


def test_the_gradient_of_each_block_is_that_of_its_input():
    kind, blocks = PLAIN_NORM, 3
    params = make(kind, blocks, 4, 10, seed=0)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(6, 8, 8, 1)), jnp.float32)
    probes = jnp.zeros((blocks, 6, 4, 4, 4))

    def objective(probes):
        return jnp.sum(jnp.square(logits(kind, params, images, probes)))

    grads = jax.grad(objective)(probes)
    step = 1e-2
    direction = grads[1] / jnp.linalg.norm(grads[1])
    moved = (
        objective(probes.at[1].add(step * direction)) - objective(probes.at[1].add(-step * direction))
    ) / (2 * step)
    assert float(moved) == pytest.approx(float(jnp.linalg.norm(grads[1])), rel=0.02)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("21", "must be 2n + 2, 4 to 2,002, nearest 22, got 21"),
        ("2", "must be 2n + 2, 4 to 2,002, nearest 4, got 2"),
        ("5000", "must be 2n + 2, 4 to 2,002, nearest 2002, got 5000"),
        ("20,twenty", "must be numbers of layers, separated by commas, got '20,twenty'"),
        ("", "must be numbers of layers, separated by commas, got ''"),
        ("20,20", "must be different numbers of layers, got '20,20'"),
    ],
)
def test_wrong_layers_are_one_error_before_any_training(layers, message, tmp_path, capsys):
    out = tmp_path / "depth.html"
    assert cli.main(["depth", "--layers", layers, "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert f"error: --layers: {message}" in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []
    hint = printed.err.partition("hint: --layers ")[2].strip()
    command.read_layers(hint)


@pytest.mark.parametrize("out", ["depth.png", "nowhere/depth.html"])
def test_a_page_that_cannot_be_written_is_refused_before_any_training(out, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "study", lambda *args: pytest.fail("trained"))
    assert cli.main(["depth", "--layers", "20", "--out", str(tmp_path / out)]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_leaves_no_half_page(tmp_path):
    flags = ["depth", "--quick", "--layers", "4,6", "--out", str(tmp_path / "depth.html")]
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys; from trainer.cli import main; sys.exit(main({flags!r}))"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    ) as process:
        assert process.stderr
        first = process.stderr.readline()
        process.send_signal(2)
        out, err = process.communicate(timeout=120)
    assert first.startswith("1 of 10  plain, 4 layers: training loss ")
    assert process.returncode == 1
    assert re.search(
        r"^error: interrupted after \d+ of 10 networks; \S+depth.html was not written$", err, re.M
    )
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


# A relu, a sum or a largest value that leaves out what is not a number would hide it behind a loss of log 10
# and a gradient of 0.
@pytest.mark.parametrize("kind", [PLAIN_NORM, KINDS[2], SKIP_INIT], ids=lambda kind: kind.name)
def test_what_is_not_a_number_is_not_lost_on_the_way_to_the_loss(kind):
    step = study._make_step(kind, 1, Size(layers=(4,)), 0.1)  # smaller arrays go another way
    images = np.random.default_rng(0).normal(size=(64, 8, 8, 1)).astype(np.float32)
    for name, value in [("stem", np.nan), ("conv", np.inf), ("conv", -np.inf), ("head", np.nan)]:
        params = make(kind, 1, 16, 10, seed=0)
        if kind.gain:
            params["gain"] = jnp.ones(1)
        velocity = jax.tree.map(jnp.zeros_like, params)
        params[name] = params[name].at[(-1,) * params[name].ndim].set(value)
        _, _, (loss, _, norm, _) = step(params, velocity, images, np.full(64, 3))
        assert not np.isfinite([loss, norm]).any(), name
        assert math.isnan(study._test_accuracy(kind, params, images, np.zeros(64, int))), name


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3e30, 4e30], 5e30),
        ([2e38, 2e38], 2.8284271e38),
        ([3e-30, 4e-30, 0.0], 5e-30),
        ([1e-37], 1e-37),
        ([0.0, 0.0], 0.0),
        ([3.0, -4.0], 5.0),
        ([1.0, np.inf], np.inf),
        ([1e30, np.nan], np.nan),
        ([3e38, 3e38], np.inf),
    ],
)
def test_a_length_is_right_wherever_a_float32_holds_it(values, expected):
    computed = float(jax.jit(study.length)(jnp.asarray(values, jnp.float32)))
    np.testing.assert_allclose(computed, expected, rtol=1e-6)


def test_what_is_said_follows_from_the_numbers():
    size = Size(layers=(20, 56), **QUICK)
    results = [
        measured(PLAIN_NORM, 20, 0.5),
        measured(PLAIN_NORM, 56, 1.8, last=(20.0, 1.0)),
        measured(RESIDUAL_NORM, 20, 0.011),
        measured(RESIDUAL_NORM, 56, 0.012, last=(21.0, 1.0)),
    ]
    plain, residual = findings.shown(results)
    assert plain.startswith("plain + BatchNorm: training loss 0.5 with 20 layers, 1.8 with 56.")
    assert plain.endswith("With 56 layers it ends higher on the very images that it is trained on.")
    assert residual.endswith("More layers do not end higher.")
    hidden = "\n".join(findings.hidden(results, size))
    assert "56 layers the gradient at the first block is 20 times" in hidden
    assert "BatchNorm alone keeps it alive" in hidden
    results[1].last = np.array([1e9, 1.0])  # a gradient that is not alive
    assert "keeps it alive" not in "\n".join(findings.hidden(results[1:], size)).replace("20 layers", "")


@pytest.mark.slow
def test_a_network_that_is_not_finite_ends_at_once_and_counts_once(capsys):
    size = Size(layers=(1002,), width=8, batch=4, few_steps=5)
    bar, passed = Bar(1002 * 5, 1), []

    def report(layers, result):
        passed.append(layers)
        bar.advance(layers, result)

    images = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype(np.float32)
    labels = np.arange(8, dtype=np.int32)
    result = study._trained(KINDS[2], 1002, size, (images, labels), (images, labels), report)
    assert (result.is_finite, len(result.losses), sum(passed), bar.finished) == (False, 1, 1002 * 5, 1)
    assert capsys.readouterr().err == "1 of 1  residual, 1,002 layers: not finite\n"
    assert math.isnan(result.loss)
    assert math.isnan(result.test_accuracy)


def test_what_is_not_finite_is_named_and_has_no_line():
    broken = measured(KINDS[2], 56, 2.3, first=(math.inf, 1.0), last=(math.nan, 1.0))
    results = [measured(KINDS[2], 20, 0.4), broken]
    assert text.cells(broken)[2:] == ("overflows", "overflows", "not finite", "-", "50.0%")
    assert text.gradient(np.array([0.0, 0.0])) == "underflows"
    assert text.gradient(np.array([0.0, 1.0])) == "underflows"
    assert text.gradient(np.array([0.0, 0.0]), is_finite=False) == "overflows"
    assert text.gradient(np.array([1.0, 1.0])) == "1"
    html = page.render(results, Size(layers=(20, 56), **QUICK))
    assert "nan" not in html.replace("finance", "")
    assert "inf" not in re.sub(r"finite|information", "", html)
    assert html.count("<polyline") == 4  # two gradients of the network that has them, and the losses of both
    shallow = measured(KINDS[0], 56, 2.3, first=(0.0, 0.0), last=(1e-9, 1.0))
    html = page.render([*results, shallow, measured(KINDS[3], 56, 0.1)], Size(layers=(20, 56), **QUICK))
    assert re.findall(r"</i>(\w+ \(\w+\))", html) == [
        "plain (underflows)",
        "residual (overflows)",
        "residual (overflows)",
    ]
    assert "residual: training loss 0.4 with 20 layers, none (not finite) with 56." in html

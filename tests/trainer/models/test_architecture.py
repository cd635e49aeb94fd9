"""The contract of a network: each part that is not fulfilled is one error that names it."""

import functools
import sys
from pathlib import Path

import jax
import pytest

from trainer.config import ModelConfig, resolve
from trainer.errors import ConfigError
from trainer.models import network
from trainer.models.architecture import architecture

BROKEN = [
    ("undecorated", "must be an Architecture, got a function"),
    ("Foreign", "must be an Architecture, got type"),
    ("no_module", "must return an nnx.Module, got NoneType"),
    ("not_made", "cannot be made: RuntimeError: no 4 classes (FILE line 93)"),
    ("cache", "memory must be an nnx.Param or nnx.BatchStat, got Cache"),
    ("half", "half must be an nnx.Param or nnx.BatchStat of one float32 array, got bfloat16"),
    ("array", "table must be an nnx.Param or nnx.BatchStat, got"),
    ("shape", "must return logits [1, 4] (images, classes) of a float dtype, got float32[1,3]"),
    ("mapping", "must return logits [1, 4] (images, classes) of a float dtype, got dict"),
    ("penalty", "penalty 'rows' must be a scalar, got (1,)"),
    ("metric", "metric 'residual' must be a scalar, got (1,)"),
    ("unknown", "a metric must be one of residual, iterations, got 'depth'"),
    ("raises", "cannot be called with train=True: TypeError: dot_general requires"),
    ("no_train", "got an unexpected keyword argument 'train'"),
    ("missing", "must define missing, which it does not"),
]


def build(name: str, **settings):
    return network.build(ModelConfig(arch=f"own_code.nets:{name}", **settings), 4, 1, 8, "cpu")


@pytest.mark.parametrize(("name", "problem"), BROKEN, ids=[name for name, _ in BROKEN])
def test_a_part_that_is_not_fulfilled_is_named(name, problem):
    with pytest.raises(ConfigError) as error:
        build(name)
    file = str(Path(sys.modules["own_code.nets"].__file__ or ""))
    text = str(error.value).splitlines()[0]
    assert text.startswith("model.arch: own_code.nets")
    assert problem.replace("FILE", file) in text


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"blur": "after"}, "model.blur: must be 'off' for own_code.nets:mlp, got 'after'"),
        ({"stem": "deep"}, "model.stem: must be 'auto' for own_code.nets:mlp, got 'deep'"),
        ({"bn_group": 2}, "model.bn_group: must be 0 for own_code.nets:mlp, got 2"),
    ],
)
def test_a_setting_that_the_network_does_not_honour_is_refused(settings, problem):
    with pytest.raises(ConfigError) as error:
        build("mlp", width=8, **settings)
    assert str(error.value).startswith(problem)
    assert "the settings of own_code.nets:mlp: model.dtype, model.width" in str(error.value)


def test_a_setting_that_nobody_has_cannot_be_honoured():
    with pytest.raises(
        ConfigError, match=r"^model.arch: the settings of \S+:\S+<lambda> must be of .*, got 'layers'"
    ):
        architecture(settings=["layers"])(lambda inputs, rngs: None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("name", ["mlp", "attention"])
def test_what_is_drawn_is_a_function_of_the_key(name):
    net, init = build(name, width=8)
    params, stats = init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
    assert net.draws

    @functools.partial(jax.jit, static_argnums=0)
    def logits(train, key=None):
        return net.apply(params, stats, images, train, key)[0]

    first, again, other = (logits(True, jax.random.key(seed)) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert (logits(False) == logits(False)).all()


def test_penalties_are_added_to_the_loss_alone(monkeypatch):
    from own_code import nets
    from step_runs import Run

    from trainer.models.architecture import Outputs

    settings = {"model.arch": "own_code.nets:mlp", "model.width": 8}
    run = Run(1, **settings)
    penalty = 1e-4 * float((run.state.params["hidden.kernel"] ** 2).sum())
    with_penalty = run.losses(1)
    called = nets.MLP.__call__

    def without(self, images, train):
        return Outputs(called(self, images, train).logits, {})

    monkeypatch.setattr(nets.MLP, "__call__", without)
    assert with_penalty[0] - Run(1, **settings).losses(1)[0] == pytest.approx(penalty, rel=1e-3)


@pytest.mark.parametrize(
    ("arch", "problem"),
    [
        ("nothing.here:net", "nothing.here cannot be imported: ModuleNotFoundError: no module named nothing"),
        (
            "own_code.none:net",
            "own_code.none cannot be imported: ModuleNotFoundError: no module named own_code.none",
        ),
        ("os:abort", "must name a module of your own, got os"),
        ("trainer.cli:main", "must name a module of your own, got trainer.cli"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(arch, problem):
    with pytest.raises(ConfigError) as error:
        network.find(arch)
    assert f"model.arch: {problem}" in str(error.value)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import missing_library", "ModuleNotFoundError: no module named missing_library"),
        ("def f(:", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: division by zero (FILE line 1)"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_a_module_that_fails_is_named_with_its_reason(code, problem, tmp_path, monkeypatch):
    name = f"failing_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError) as error:
        network.find(f"{name}:net")
    text = str(error.value)
    assert f"model.arch: {name} cannot be imported: " in text
    assert problem.replace("FILE", str(tmp_path / f"{name}.py")) in text


@pytest.mark.parametrize(
    "arch", ["own:", "own.nets", ":net", "own nets:net", "own/nets:net", "", "own.nets:net()"]
)
def test_what_is_no_name_is_refused_before_anything_is_imported(arch):
    with pytest.raises(ConfigError, match=r"model.arch: must be one of resnet18, .* or package.module:name"):
        resolve("r", "/d", "", {"model.arch": arch})

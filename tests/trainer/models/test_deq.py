"""Equilibrium networks: as deep as their iterations say, in memory that does not know how deep that is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from step_runs import SETTINGS

from trainer.config import ModelConfig, resolve
from trainer.cost.estimate import estimate, loop_factor
from trainer.data import datasets, pipeline
from trainer.devices import compilation, mesh, state_sharding
from trainer.errors import ConfigError
from trainer.models import deq, network
from trainer.models.architecture import Inputs
from trainer.models.layers import LayerConfig
from trainer.program import make_program

SIZES = deq.DeqConfig(widths=(4, 8), readout=(2, 4), features=8, groups=2, halvings=0)
# Without optimised machine code a program of this size compiles in seconds.
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def net():
    """A network of two small resolutions, and images for it."""
    inputs = Inputs(
        model=ModelConfig(arch="deq-tiny"),
        classes=3,
        channels=1,
        image_size=8,
        dtype=jnp.dtype("float32"),
        stem="small",
        layers=LayerConfig(),
    )
    graphdef, shapes = nnx.split(nnx.eval_shape(lambda: deq.Deq(SIZES, search(), inputs, rngs=nnx.Rngs(0))))
    rng = np.random.default_rng(0)
    flat = {
        path: v.replace(drawn(rng, path[-1], v.get_value().shape)) for path, v in nnx.to_flat_state(shapes)
    }
    return graphdef, nnx.from_flat_state(flat), rng.normal(size=(4, 8, 8, 1)).astype(np.float32)


def drawn(rng, name, shape):
    """Values of a parameter or a statistic, which take no time to compile."""
    if name == "kernel":
        return rng.normal(scale=np.sqrt(2 / np.prod(shape[:-1])), size=shape).astype(np.float32)
    return np.full(shape, name in ("scale", "gain", "var"), np.float32)


def search(**changes):
    model = ModelConfig(arch="deq-tiny", **{"solver": "plain", "iterations": 4} | changes)
    return deq.search_of(SIZES, model)


def loss(net, how):
    """A function of the arrays: a loss of the logits, which the network finds as `how` says."""
    graphdef, state, images = net

    def of(state):
        module = nnx.merge(graphdef, state)
        module.search = how
        return jnp.sum(jnp.sin(module(images, train=True).logits)), ()

    return of, state


def tied(net, layers, damped_layers=0, share=1.0, first_is_fixed=False):
    """The same loss of a plain network: its layer `layers` times, then some more with a skip connection."""
    graphdef, state, images = net

    def of(state):
        module = nnx.merge(graphdef, state)
        x = images
        for unit in module.stem:
            x = unit(x, True)
        _, cell = nnx.split(module.layer)
        cell = nnx.merge(nnx.split(module.layer)[0], deq.normalised(cell))
        z = (jnp.zeros((4, 8, 8, 4)), jnp.zeros((4, 4, 4, 8)))
        for _ in range(layers):
            z = cell(z, x)
        z = jax.lax.stop_gradient(z) if first_is_fixed else z
        for _ in range(damped_layers):
            z = tuple(share * new + (1 - share) * old for old, new in zip(z, cell(z, x), strict=True))
        return jnp.sum(jnp.sin(module.head(module.readout(z, True)))), ()

    return of, state


def value_and_grad(of, state):
    (value, _), grads = quick(jax.value_and_grad(of, has_aux=True, allow_int=True))(state)
    return {"loss": value, **{".".join(map(str, p)): g.get_value() for p, g in nnx.to_flat_state(grads)}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "like"),
    [
        ({"fixed_point_gradient": "unrolled"}, {"layers": 4}),
        ({"fixed_point_gradient": "unrolled", "remat": "full"}, {"layers": 4}),
        (
            {"gradient_iterations": 2, "damping": 0.999999},
            {"layers": 4, "damped_layers": 2, "first_is_fixed": True},
        ),
    ],
    ids=str,
)
def test_so_many_iterations_are_a_network_of_so_many_equal_layers(net, settings, like):
    got, expected = value_and_grad(*loss(net, search(**settings))), value_and_grad(*tied(net, **like))
    assert got.keys() == expected.keys()
    scale = max(float(jnp.abs(a).max()) for name, a in expected.items() if "layer" in name)
    assert scale > 0
    for name, array in expected.items():
        if jnp.issubdtype(array.dtype, jnp.floating):
            np.testing.assert_allclose(got[name], array, rtol=1e-3, atol=2e-5 * max(scale, 1), err_msg=name)


def temporaries(net, **settings):
    of, state = loss(net, search(**settings))
    program = quick(jax.grad(of, has_aux=True, allow_int=True)).lower(state).compile()
    return program.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["phantom", "implicit"])
def test_memory_does_not_grow_with_the_iterations(net, gradient):
    few, many = (temporaries(net, iterations=n, fixed_point_gradient=gradient) for n in (4, 64))
    assert many <= 1.01 * few


@pytest.mark.slow
def test_the_memory_of_an_unrolled_network_grows_with_them(net):
    few, many = (temporaries(net, iterations=n, fixed_point_gradient="unrolled") for n in (4, 64))
    assert many > 5 * few


def losses_in_float64(devices, divided):
    """Losses of four steps of a network of one resolution on devices that share a batch of 8.

    Args:
      devices: how many there are.
      divided: whether they also divide the parameters.
    """
    config = LayerConfig(dtype=jnp.dtype("float64"))
    sizes = deq.DeqConfig(widths=(8,), readout=(4,), features=16, groups=4, halvings=0, solver="anderson")
    model = ModelConfig(arch="deq-tiny", iterations=3, gradient_iterations=1)
    inputs = Inputs(
        model=model,
        classes=10,
        channels=1,
        image_size=4,
        dtype=jnp.dtype("float64"),
        stem="small",
        layers=config,
    )
    module = nnx.eval_shape(lambda: deq.Deq(sizes, deq.search_of(sizes, model), inputs, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(module)
    variables, rng = dict(nnx.to_flat_state(state)), np.random.default_rng(0)
    arrays = {
        path: drawn(rng, path[-1], v.get_value().shape).astype(np.float64) for path, v in variables.items()
    }
    images, labels = rng.normal(size=(8, 4, 4, 1)), np.arange(8)
    over = mesh.make_mesh(1, jax.devices()[:devices])

    def place(array):
        axis = state_sharding.divided_axis(array.shape, devices) if divided else None
        return NamedSharding(over, PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, "data"))

    def objective(arrays, images, labels):
        state = nnx.from_flat_state({path: v.replace(arrays[path]) for path, v in variables.items()})
        scores = jax.nn.log_softmax(nnx.merge(graphdef, state)(images, train=True).logits)
        return -jnp.mean(jnp.take_along_axis(scores, labels[:, None], axis=1))

    places, batch = {path: place(array) for path, array in arrays.items()}, mesh.batch_sharding(over)

    @functools.partial(quick, in_shardings=(places, batch, batch), out_shardings=(places, None))
    def step(arrays, images, labels):
        value, grads = jax.value_and_grad(objective)(arrays, images, labels)
        return {path: array - 0.1 * grads[path] for path, array in arrays.items()}, value

    losses = []
    for _ in range(4):
        arrays, value = step(arrays, images, labels)
        losses.append(float(value))
    assert any(not array.sharding.is_fully_replicated for array in arrays.values()) == divided
    return losses


@pytest.mark.slow
def test_the_losses_are_the_same_on_one_and_on_eight_devices_that_divide_the_parameters(monkeypatch):
    monkeypatch.setattr(state_sharding, "MIN_ELEMENTS", 64)
    with jax.enable_x64(True):
        one, eight = losses_in_float64(1, divided=False), losses_in_float64(8, divided=True)
    assert one[-1] < 0.95 * one[0]
    assert eight == pytest.approx(one, rel=1e-12)


def program(**settings):
    config = resolve("r", "/d", "", SETTINGS | {"model.arch": "deq-tiny", "model.width": 64} | settings)
    train, test = datasets.load_both(config.data)
    stream = pipeline.TrainStream(size=train.size, batch=32, seed=0)
    batch = next(pipeline.train_batches(train, stream, np.arange(0), range(1), config.data))
    return make_program(config, train, test, "cpu"), compilation.batch_shapes(batch, 32)


def count(**settings):
    built, batch = program(**settings)
    return estimate("cpu", built.train_step, built.shapes, batch)["flops"]


@pytest.mark.parametrize("solver", ["plain", "anderson", "broyden"])
def test_every_iteration_counts(solver):
    few, more, many = (
        count(**{"model.solver": solver, "model.iterations": iterations}) for iterations in (4, 5, 20)
    )
    layer = more - few  # of one application of the layer, forward, for 32 images of 8x8 pixels
    widths = ((64, 8), (16, 16))  # pixels and channels of each resolution
    blocks = sum(2 * 9 * 5 * width * width * pixels * 2 for pixels, width in widths)
    outs = sum(width * width * pixels * 2 for pixels, width in widths)
    fusions = 9 * 8 * 16 * 16 * 2 + 16 * 8 * 16 * 2  # a strided 3x3 down, a 1x1 up
    assert layer == 32 * (blocks + outs + fusions)
    assert many == few + 16 * layer


def test_the_steps_of_a_gradient_count_with_their_backward_pass():
    one, two = (count(**{"model.gradient_iterations": steps}) for steps in (1, 2))
    layer = count(**{"model.iterations": 9}) - count(**{"model.iterations": 8})
    assert two - one == pytest.approx(3 * layer, rel=0.05)
    built, batch = program(**{"model.iterations": 50})
    with jax.transfer_guard("disallow"):
        assert loop_factor(built.train_step, built.shapes, batch) > 5


@pytest.mark.parametrize("gradient", ["phantom", "implicit", "unrolled"])
def test_convolutions_in_bfloat16_leave_the_fixed_point_in_float32(gradient):
    settings = {"model.dtype": "bfloat16", "model.fixed_point_gradient": gradient, "model.jacobian": 0.1}
    settings |= {"model.solver": "plain"} if gradient == "unrolled" else {}
    built, batch = program(**settings)
    state, metrics = jax.eval_shape(built.train_step, built.shapes, batch)
    assert metrics["residual"].dtype == jnp.float32
    assert {a.dtype for a in state.params.values()} == {jnp.dtype("float32")}


@pytest.mark.parametrize("settings", [{}, {"train.accumulate": 2}, {"model.jacobian": 0.1}], ids=str)
def test_the_step_reports_the_residual_and_the_iterations(settings):
    built, batch = program(**settings)
    _, metrics = jax.eval_shape(built.train_step, built.shapes, batch)
    expected = {"loss", "accuracy", "grad_norm", "lr", "residual", "iterations"}
    assert metrics.keys() == expected | ({"penalty"} if "model.jacobian" in settings else set())
    assert all(value.shape == () and value.dtype == jnp.float32 for value in metrics.values())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"solver": "plain", "solver_memory": 3}, "model.solver_memory: must be 0 with model.solver=plain"),
        ({"solver": "anderson", "solver_memory": 1}, "model.solver_memory: must be at least 2 with model."),
        ({"iterations": 4, "solver_memory": 5}, "model.solver_memory: must be at most the 4 iterations"),
        (
            {"solver": "broyden", "fixed_point_gradient": "unrolled"},
            "model.fixed_point_gradient: must be phantom or implicit with model.solver=broyden, got 'unro",
        ),
        (
            {"solver": "plain", "fixed_point_gradient": "unrolled", "gradient_iterations": 3},
            "model.gradient_iterations: must be 0 with model.fixed_point_gradient=unrolled",
        ),
        ({"fixed_point_gradient": "implicit", "remat": "full"}, "model.remat: must be none with model.fixed"),
        (
            {"solver": "broyden", "fixed_point_gradient": "implicit", "damping": 0.5},
            "model.damping: must be 1 with model.solver=broyden and the implicit gradient, got 0.5",
        ),
        ({"stochastic_depth": 0.1}, "model.stochastic_depth: must be 0.0 for deq-tiny, got 0.1"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_one_error(settings, problem):
    with pytest.raises(ConfigError) as error:
        network.build(ModelConfig(arch="deq-tiny", **settings), 10, 1, 8, "cpu")
    assert str(error.value).startswith(problem)


@pytest.mark.parametrize("name", ["resnet18", "vit-tiny", "convnext-tiny"])
@pytest.mark.parametrize("setting", [{"solver": "broyden"}, {"iterations": 3}, {"jacobian": 0.1}], ids=str)
def test_other_families_do_not_honour_them(name, setting):
    with pytest.raises(ConfigError, match=rf"model\.{next(iter(setting))}: must be .* for {name}, got"):
        network.build(ModelConfig(arch=name, **setting), 10, 3, 32, "cpu")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("model.damping=0", "model.damping: must be a number of at least 0.01, got 0"),
        ("model.damping=1.5", "model.damping: must be a number of at most 1, got 1.5"),
        ("model.iterations=-1", "model.iterations: must be a number of at least 0, got -1"),
        ("model.solver=newton", "model.solver: must be one of auto, plain, anderson, broyden, got 'newton'"),
        ("model.jacobian=nan", "model.jacobian: must be a number of at least 0, got nan"),
    ],
)
def test_a_value_out_of_bounds_is_named(value, problem):
    path, _, text = value.partition("=")
    with pytest.raises(ConfigError) as error:
        resolve("r", "/d", "", {path: text})
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("arch", "side", "multiple"), [("mdeq-small", 48, 32), ("mdeq-cifar", 28, 8), ("deq-tiny", 9, 2)]
)
def test_images_must_halve_down_to_the_lowest_resolution(arch, side, multiple):
    with pytest.raises(ConfigError) as error:
        network.build(ModelConfig(arch=arch), 10, 3, side, "cpu")
    wanted = f"{arch} needs images whose sides are a multiple of {multiple} pixels, got {side}x{side}"
    assert f"model.arch: {wanted}" in str(error.value)


def test_so_must_those_of_the_training_resolution():
    with pytest.raises(ConfigError, match="sides are a multiple of 2 pixels, got 7x7"):
        program(**{"augment.resolution": 7})

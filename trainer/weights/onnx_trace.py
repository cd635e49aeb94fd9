"""ONNX nodes from the traced operations of a network: for each network that has no graph of its own.

The network is traced once in evaluation, for any number of images of its own size. What depends on no image
is computed here and becomes a constant.
"""

import dataclasses
import math
import string
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from trainer.errors import TrainError
from trainer.weights.file import Weights

Value = Any  # name of a node's output as str, or a constant: an array of NumPy or JAX

# JAX's primitive -> ONNX's operator with the same operands.
SAME = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "min": "Min",
    "pow": "Pow",
    "neg": "Neg",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "sqrt": "Sqrt",
    "erf": "Erf",
    "abs": "Abs",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "sin": "Sin",
    "cos": "Cos",
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "and": "And",
    "or": "Or",
    "not": "Not",
}
REDUCTIONS = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}
# Primitives that hold another program under this name of a parameter.
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat": "jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "remat2": "jaxpr",
}


# Number of images in the traced program: a prime that no other length of a network is a multiple of. A symbol
# in its place has no len().
BATCH = 4099
END = 2**31 - 1  # of a slice: up to the last


def _is_constant(value: Value) -> bool:
    return not isinstance(value, str)


def _counts(length: int) -> bool:
    """Return whether a length is a multiple of the number of images."""
    return length > 0 and length % BATCH == 0


class Graph:
    """Nodes and constants of a network, from its traced operations.

    Attributes:
      nodes: ONNX nodes in order; the first reads ``images`` [batch, channels, height, width], the last writes
        ``logits``.
      constants: arrays by name.

    Raises:
      TrainError: the network uses an operation that has no translation here; the message names it.
    """

    def __init__(self, weights: Weights):
        import onnx

        self._helper = onnx.helper
        self._arch = weights.model.arch
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self._batch = ""
        self._trace(weights)

    def _trace(self, weights: Weights) -> None:
        automatic = dataclasses.replace(weights.model, dtype="auto")  # float32 on a CPU
        net, _ = dataclasses.replace(weights, model=automatic).network("cpu")
        params: Any = {name: a for name, a in weights.arrays.items() if name not in net.statistics}
        stats: Any = {name: a for name, a in weights.arrays.items() if name in net.statistics}
        side, channels = weights.image_size, len(weights.mean)
        images = jax.ShapeDtypeStruct((BATCH, side, side, channels), jnp.float32)

        def logits(images: jax.Array) -> jax.Array:
            return net.apply(params, stats, images, train=False)[0]

        closed = jax.make_jaxpr(logits)(images)
        nhwc = self._node("Transpose", ["images"], perm=[0, 2, 3, 1])
        [output] = self._run(closed.jaxpr, closed.consts, [nhwc])
        self._node("Identity", [output], output="logits")

    def _run(self, jaxpr: core.Jaxpr, consts: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
        """Return the outputs of a program; constants stay numpy arrays until a node needs them."""
        env: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=True))
        env |= dict(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: Any) -> Value:
            return atom.val if isinstance(atom, core.Literal) else env[atom]

        for equation in jaxpr.eqns:
            values = [read(atom) for atom in equation.invars]
            env |= dict(zip(equation.outvars, self._equation(equation, values), strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, equation: core.JaxprEqn, values: list[Value]) -> list[Value]:
        name = equation.primitive.name
        is_static = not any(_counts(n) for v in equation.outvars for n in getattr(v.aval, "shape", ()))
        if is_static and all(_is_constant(value) for value in values):
            results = equation.primitive.bind(*map(jnp.asarray, values), **equation.params)
            return list(results) if equation.primitive.multiple_results else [results]
        if name in CALLS:
            inner = equation.params[CALLS[name]]
            return self._run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), values)
        if name == "scan":
            return self._scan(equation, values)
        if name in SAME:
            return [self._node(SAME[name], values)]
        method: Callable[..., Any] | None = getattr(self, f"_{name}", None)
        if method is None:
            raise self._untranslated(f"has the operation {name}")
        result = method(equation, *values)
        return result if isinstance(result, list) else [result]

    def _scan(self, equation: core.JaxprEqn, values: list[Value]) -> list[Value]:
        """Unroll a scan, as of equal blocks whose arrays are stacked."""
        p = equation.params
        consts, carry = values[: p["num_consts"]], values[p["num_consts"] : p["num_consts"] + p["num_carry"]]
        stacked = values[p["num_consts"] + p["num_carry"] :]
        steps = range(p["length"])[:: -1 if p["reverse"] else 1]
        rows: dict[int, list[Value]] = {}
        for i in steps:
            row = [self._row(value, i) for value in stacked]
            results = self._run(p["jaxpr"].jaxpr, p["jaxpr"].consts, [*consts, *carry, *row])
            carry, rows[i] = results[: p["num_carry"]], results[p["num_carry"] :]
        outputs = []
        for column in zip(*(rows[i] for i in range(p["length"])), strict=True):
            parts = [self._node("Unsqueeze", [v, np.array([0])]) for v in column]
            outputs.append(self._node("Concat", parts, axis=0))
        return [*carry, *outputs]

    def _untranslated(self, what: str) -> TrainError:
        hint = "resnet-train export RUN OUT.safetensors --to safetensors writes its arrays"
        return TrainError(f"{self._arch} cannot be written as ONNX, because it {what}", hint)

    def _row(self, value: Value, i: int) -> Value:
        return value[i] if _is_constant(value) else self._node("Gather", [value, np.array(i)])

    # Arithmetic that ONNX words in another way. Each method takes the equation and its operands.

    def _integer_pow(self, equation: Any, x: Value) -> Value:
        return self._node("Pow", [x, np.array(equation.params["y"], np.float32)])

    def _square(self, equation: Any, x: Value) -> Value:
        return self._node("Mul", [x, x])

    def _rsqrt(self, equation: Any, x: Value) -> Value:
        return self._node("Reciprocal", [self._node("Sqrt", [x])])

    def _erfc(self, equation: Any, x: Value) -> Value:
        return self._node("Sub", [np.float32(1), self._node("Erf", [x])])

    def _expm1(self, equation: Any, x: Value) -> Value:
        return self._node("Sub", [self._node("Exp", [x]), np.float32(1)])

    def _log1p(self, equation: Any, x: Value) -> Value:
        return self._node("Log", [self._node("Add", [x, np.float32(1)])])

    def _exp2(self, equation: Any, x: Value) -> Value:
        return self._node("Pow", [np.float32(2), x])

    def _ne(self, equation: Any, x: Value, y: Value) -> Value:
        return self._node("Not", [self._node("Equal", [x, y])])

    def _clamp(self, equation: Any, low: Value, x: Value, high: Value) -> Value:
        return self._node("Min", [self._node("Max", [x, low]), high])

    def _select_n(self, equation: Any, which: Value, no: Value, yes: Value) -> Value:
        return self._node("Where", [which, yes, no])

    def _stop_gradient(self, equation: Any, x: Value) -> Value:
        return x

    _copy = _copy_p = _optimization_barrier = _once = _stop_gradient

    def _convert_element_type(self, equation: Any, x: Value) -> Value:
        if equation.invars[0].aval.dtype == equation.params["new_dtype"]:
            return x
        return self._node("Cast", [x], to=self._helper.np_dtype_to_tensor_dtype(equation.params["new_dtype"]))

    # Shapes. The number of images is the one length that is not known: -1 for Reshape, its shape for Expand.

    def _reshape(self, equation: Any, x: Value, *_: Value) -> Value:
        return self._reshaped(x, equation.outvars[0].aval.shape)

    _squeeze = _expand_dims = _reshape

    def _reshaped(self, x: Value, shape: Sequence[int]) -> Value:
        return self._node("Reshape", [x, np.array([-1 if _counts(n) else n for n in shape], np.int64)])

    def _transpose(self, equation: Any, x: Value) -> Value:
        return self._node("Transpose", [x], perm=list(equation.params["permutation"]))

    def _broadcast_in_dim(self, equation: Any, x: Value, *_: Value) -> Value:
        shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
        old = equation.invars[0].aval.shape
        aligned: list[Any] = [1] * len(shape)
        for axis, length in zip(axes, old, strict=True):
            aligned[axis] = length
        x = self._reshaped(x, aligned) if tuple(old) != tuple(aligned) else x
        return x if tuple(aligned) == tuple(shape) else self._node("Expand", [x, self._lengths(shape)])

    def _lengths(self, shape: Sequence[int]) -> Value:
        """Return a shape as a tensor; its lengths are numbers, or multiples of the number of images."""
        if not any(map(_counts, shape)):
            return np.array(shape, np.int64)
        if not self._batch:
            self._batch = self._node("Shape", ["images"], start=0, end=1)
        parts: list[Value] = []
        for length in shape:
            factor = np.array([length // BATCH if _counts(length) else length], np.int64)
            parts.append(self._node("Mul", [self._batch, factor]) if _counts(length) else factor)
        return self._node("Concat", parts, axis=0)

    def _concatenate(self, equation: Any, *values: Value) -> Value:
        return self._node("Concat", list(values), axis=equation.params["dimension"])

    def _stack(self, equation: Any, *values: Value) -> Value:
        axis = equation.params["axis"]
        parts = [self._node("Unsqueeze", [value, np.array([axis])]) for value in values]
        return self._node("Concat", parts, axis=axis)

    def _slice(self, equation: Any, x: Value) -> Value:
        p = equation.params
        limits = [END if _counts(n) else n for n in p["limit_indices"]]
        return self._sliced(x, p["start_indices"], limits, p["strides"] or [1] * len(limits))

    def _sliced(self, x: Value, starts: Sequence[int], ends: Sequence[int], strides: Sequence[int]) -> Value:
        axes = range(len(starts))
        return self._node("Slice", [x, *(np.array(list(a), np.int64) for a in (starts, ends, axes, strides))])

    def _split(self, equation: Any, x: Value) -> list[Value]:
        axis, parts, begin = equation.params["axis"], [], 0
        for size in equation.params["sizes"]:
            bounds = [np.array([n], np.int64) for n in (begin, begin + size, axis)]
            parts.append(self._node("Slice", [x, *bounds]))
            begin += size
        return parts

    def _dynamic_slice(self, equation: Any, x: Value, *starts: Value) -> Value:
        if not all(_is_constant(start) for start in starts):
            raise self._untranslated("slices at places that depend on the images")
        sizes = equation.params["slice_sizes"]
        begins = [int(start) for start in starts]  # type: ignore[arg-type]
        ends = [END if _counts(n) else b + n for b, n in zip(begins, sizes, strict=True)]
        return self._sliced(x, begins, ends, [1] * len(sizes))

    def _dynamic_update_slice(self, equation: Any, x: Value, part: Value, *starts: Value) -> Value:
        """Put an array between what is before and after it; along one axis, at a constant place."""
        shape, inner = (atom.aval.shape for atom in equation.invars[:2])
        axes = [
            axis for axis, (whole, length) in enumerate(zip(shape, inner, strict=True)) if whole != length
        ]
        if len(axes) > 1 or not all(_is_constant(start) for start in starts):
            raise self._untranslated("overwrites places that depend on the images")
        if not axes:
            return part
        [axis] = axes
        begin = int(starts[axis])  # type: ignore[arg-type]
        pieces: list[Value] = [part]
        for number, (first, last) in enumerate(((0, begin), (begin + inner[axis], shape[axis]))):
            if last > first:
                bounds = [np.array([n], np.int64) for n in (first, last, axis)]
                pieces.insert(number * len(pieces), self._node("Slice", [x, *bounds]))
        return self._node("Concat", pieces, axis=axis) if len(pieces) > 1 else part

    def _pad(self, equation: Any, x: Value, value: Value) -> Value:
        config = equation.params["padding_config"]
        if any(inner for _, _, inner in config):
            raise self._untranslated("pads between elements")
        cut = [max(-low, 0) for low, _, _ in config], [min(high, 0) or END for _, high, _ in config]
        x = self._sliced(x, *cut, [1] * len(config)) if any(min(c[:2]) < 0 for c in config) else x
        pads = [max(low, 0) for low, _, _ in config] + [max(high, 0) for _, high, _ in config]
        return self._node("Pad", [x, np.array(pads, np.int64), value])

    def _rev(self, equation: Any, x: Value) -> Value:
        axes = list(equation.params["dimensions"])
        bounds = ([-1] * len(axes), [-(2**31)] * len(axes), axes, [-1] * len(axes))
        return self._node("Slice", [x, *(np.array(b, np.int64) for b in bounds)])

    def _reduce_sum(self, equation: Any, x: Value) -> Value:
        return self._node("ReduceSum", [x, np.array(equation.params["axes"], np.int64)], keepdims=0)

    def _reduce_max(self, equation: Any, x: Value) -> Value:
        operator = REDUCTIONS[equation.primitive.name]
        return self._node(operator, [x], axes=list(equation.params["axes"]), keepdims=0)

    _reduce_min = _reduce_max

    # Products and windows. ONNX has channels before pixels: NCHW, and OIHW for kernels.

    def _dot_general(self, equation: Any, x: Value, y: Value) -> Value:
        (x_sums, y_sums), (x_batch, y_batch) = equation.params["dimension_numbers"]
        letters = iter(string.ascii_lowercase)
        x_axes = [next(letters) for _ in equation.invars[0].aval.shape]
        y_axes = [next(letters) for _ in equation.invars[1].aval.shape]
        for a, b in zip((*x_sums, *x_batch), (*y_sums, *y_batch), strict=True):
            y_axes[b] = x_axes[a]
        output = [x_axes[a] for a in x_batch]
        output += [axis for i, axis in enumerate(x_axes) if i not in (*x_sums, *x_batch)]
        output += [axis for i, axis in enumerate(y_axes) if i not in (*y_sums, *y_batch)]
        formula = f"{''.join(x_axes)},{''.join(y_axes)}->{''.join(output)}"
        return self._node("Einsum", [x, y], equation=formula)

    def _conv_general_dilated(self, equation: Any, x: Value, kernel: Value) -> Value:
        p = equation.params
        numbers = p["dimension_numbers"]
        if set(p["lhs_dilation"]) != {1} or p["batch_group_count"] != 1:
            raise self._untranslated("has a transposed convolution")
        x = self._permuted(x, numbers.lhs_spec)
        kernel = self._permuted(kernel, numbers.rhs_spec)
        pads = [low for low, _ in p["padding"]] + [high for _, high in p["padding"]]
        y = self._node(
            "Conv",
            [x, kernel],
            strides=list(p["window_strides"]),
            pads=pads,
            dilations=list(p["rhs_dilation"]),
            group=p["feature_group_count"],
        )
        return self._permuted(y, [int(axis) for axis in np.argsort(numbers.out_spec)])

    def _reduce_window_max(self, equation: Any, x: Value) -> Value:
        return self._pooled("MaxPool", equation, x)

    def _reduce_window_sum(self, equation: Any, x: Value) -> Value:
        means = self._pooled("AveragePool", equation, x, count_include_pad=1)
        return self._node("Mul", [means, np.float32(math.prod(equation.params["window_dimensions"]))])

    def _reduce_window(self, equation: Any, x: Value, start: Value) -> Value:
        operations = [e.primitive.name for e in equation.params["jaxpr"].eqns]
        if operations == ["max"]:
            return self._reduce_window_max(equation, x)
        if operations == ["add"]:
            return self._reduce_window_sum(equation, x)
        raise self._untranslated(f"reduces windows by {operations}")

    def _pooled(self, operator: str, equation: Any, x: Value, **attributes: Any) -> Value:
        """Pool the two middle axes of [B, H, W, C]."""
        p = equation.params
        if len(p["window_dimensions"]) != 4 or {p["window_dimensions"][i] for i in (0, 3)} != {1}:
            raise self._untranslated("pools other axes than height and width")
        low, high = ([pad[side] for pad in p["padding"][1:3]] for side in (0, 1))
        y = self._node(
            operator,
            [self._permuted(x, (0, 3, 1, 2))],
            kernel_shape=list(p["window_dimensions"][1:3]),
            strides=list(p["window_strides"][1:3]),
            pads=[*low, *high],
            **attributes,
        )
        return self._permuted(y, (0, 2, 3, 1))

    def _permuted(self, x: Value, axes: Sequence[int]) -> Value:
        if _is_constant(x):
            return np.asarray(x).transpose(axes)
        return self._node("Transpose", [x], perm=[int(axis) for axis in axes])

    def _node(self, operator: str, inputs: Sequence[Value], output: str = "", **attributes: Any) -> str:
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        output = output or f"x{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(operator, names, [output], **attributes))
        return output

    def _constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, order="C")
        return name

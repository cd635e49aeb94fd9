"""Export of a trained network to ONNX. The graph of a ResNet is built node by node, others are traced."""

import json
from typing import Any

import numpy as np

from trainer.errors import TrainError
from trainer.registry import ARCHS
from trainer.weights import onnx_trace, outputs
from trainer.weights.file import Weights

OPSET = 17
METADATA = ("class_names", "image_size", "mean", "std", "crop")


def write_onnx(weights: Weights, path: str) -> None:
    """Write an ONNX file.

    Its input ``images`` is [batch, channels, height, width] float32, normalised with the mean and standard
    deviation of the weights. Height and width may differ from those of training for a ResNet only. Its output
    ``logits`` is [batch, classes] float32. The metadata of the model (``metadata_props``) holds class_names,
    image_size, mean, std and crop as JSON, as `Weights` has them.

    Raises:
      TrainError: the onnx package is not installed, the file cannot be written, or the network uses an
        operation that has no translation.
    """
    try:
        import onnx
    except ImportError:
        hint = "pip install '.[onnx]' in a checkout of resnet-launch"
        raise TrainError("the onnx package must be installed to export to ONNX", hint) from None
    side: Any = weights.image_size
    if ARCHS.get(weights.model.arch, ("",))[0] == "resnet":
        graph = _Graph(weights)
        graph.network()
        shape = ["batch", len(weights.mean), "height", "width"]
    else:
        graph = onnx_trace.Graph(weights)
        shape = ["batch", len(weights.mean), side, side]
    onnx_graph = onnx.helper.make_graph(
        graph.nodes,
        weights.model.arch,
        [onnx.helper.make_tensor_value_info("images", 1, shape)],
        [onnx.helper.make_tensor_value_info("logits", 1, ["batch", len(weights.class_names)])],
        [onnx.numpy_helper.from_array(a, name) for name, a in graph.constants.items()],
    )
    model = onnx.helper.make_model(onnx_graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    model.ir_version = 9  # not the newest, so that older runtimes can read the file
    onnx.helper.set_model_props(model, {name: json.dumps(getattr(weights, name)) for name in METADATA})
    onnx.checker.check_model(model)
    with outputs.replaced(path) as temporary:
        onnx.save(model, str(temporary))


class _Graph:
    """Nodes and constants of a graph. Each method adds a layer and returns the name of its output."""

    def __init__(self, weights: Weights):
        import onnx

        self._make = onnx.helper.make_node
        self._weights = weights
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def network(self) -> None:
        model, blocks = self._weights.model, 0
        x = "images"
        for i in range(2 if model.stem == "deep" else 0):
            x = self._relu(self._conv_norm(x, f"deep.{i}", 2 if i == 0 else 1))
        x = self._relu(self._conv_norm(x, "stem", 2 if model.stem == "imagenet" else 1))
        if model.stem != "small":
            blurred = model.blur == "after"
            strides = [1, 1] if blurred else [2, 2]
            x = self._node("MaxPool", [x], kernel_shape=[3, 3], strides=strides, pads=[1, 1, 1, 1])
            x = self._blur(x, "stem.conv", 2, "reflect") if blurred else x
        for stage, size in enumerate(ARCHS[model.arch][1]["stage_sizes"]):
            for i in range(size):
                x = self._block(x, f"blocks.{blocks}", 2 if stage and not i else 1)
                blocks += 1
        x = self._node("Flatten", [self._node("GlobalAveragePool", [x])])
        head = [self._constant(f"head.{leaf}", self._array(f"head.{leaf}")) for leaf in ("kernel", "bias")]
        self._node("Gemm", [x, *head], output="logits")

    def _block(self, x: str, name: str, stride: int) -> str:
        model = self._weights.model
        layers = [
            f"{name}.conv{i}" for i in (1, 2, 3) if f"{name}.conv{i}.conv.kernel" in self._weights.arrays
        ]
        strided = (
            1 if len(layers) == 3 else 0
        )  # the bottleneck strides in its 3x3 (v1.5), the basic block first
        y = x
        for i, layer in enumerate(layers):
            layer_stride = stride if i == strided else 1
            blurred = layer_stride > 1 and model.blur == "after"
            y = self._conv_norm(y, layer, 1 if blurred else layer_stride)
            y = self._relu(y) if i < len(layers) - 1 else y
            y = self._blur(y, f"{layer}.conv", 2, "reflect") if blurred else y
        if f"{name}.squeeze.reduce.kernel" in self._weights.arrays:
            y = self._squeeze(y, f"{name}.squeeze")
        if f"{name}.shortcut.conv.kernel" in self._weights.arrays:
            if model.shortcut == "pool" and stride > 1:
                pool = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 0}
                x, stride = self._node("AveragePool", [x], **pool), 1
            x = self._conv_norm(x, f"{name}.shortcut", stride)
        return self._relu(self._node("Add", [x, y]))

    def _conv_norm(self, x: str, name: str, stride: int) -> str:
        kernel = self._array(f"{name}.conv.kernel").transpose(3, 2, 0, 1)  # HWIO -> OIHW
        if stride > 1 and self._weights.model.blur == "before" and not name.startswith(("stem", "deep")):
            x = self._blur(x, f"{name}.conv", 1, "constant", kernel.shape[1])
        pad = (kernel.shape[2] - 1) // 2
        groups = ARCHS[self._weights.model.arch][1].get("groups", 1) if name.endswith("conv2") else 1
        inputs = [x, self._constant(f"{name}.kernel", kernel)]
        x = self._node("Conv", inputs, strides=[stride] * 2, pads=[pad] * 4, group=groups)
        norm = [self._array(f"{name}.norm.{leaf}") for leaf in ("scale", "bias", "mean", "var")]
        inputs = [x, *(self._constant(f"{name}.{i}", a) for i, a in enumerate(norm))]
        return self._node("BatchNormalization", inputs, epsilon=self._weights.model.bn_epsilon)

    def _squeeze(self, x: str, name: str) -> str:
        gate = self._node("Flatten", [self._node("GlobalAveragePool", [x])])
        for layer, act in (("reduce", "Relu"), ("expand", "Sigmoid")):
            names = [f"{name}.{layer}.{leaf}" for leaf in ("kernel", "bias")]
            inputs = [gate, *(self._constant(n, self._array(n)) for n in names)]
            gate = self._node(act, [self._node("Gemm", inputs)])
        axes = self._constant("axes", np.array([2, 3]))
        return self._node("Mul", [x, self._node("Unsqueeze", [gate, axes])])

    def _blur(self, x: str, name: str, stride: int, mode: str, channels: int = 0) -> str:
        channels = channels or self._array(f"{name}.kernel").shape[-1]
        pads = self._constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
        line = np.array([1, 2, 1], np.float32) / 4  # binomial filter (Zhang 2019, arXiv:1904.11486)
        kernel = np.broadcast_to(np.outer(line, line), (channels, 1, 3, 3)).copy()
        inputs = [self._node("Pad", [x, pads], mode=mode), self._constant(f"blur.{channels}", kernel)]
        return self._node("Conv", inputs, strides=[stride] * 2, group=channels)

    def _relu(self, x: str) -> str:
        return self._node("Relu", [x])

    def _array(self, name: str) -> np.ndarray:
        return self._weights.arrays[name]

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants[f"w.{name}"] = np.ascontiguousarray(value)
        return f"w.{name}"

    def _node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"x{len(self.nodes)}"
        self.nodes.append(self._make(kind, inputs, [output], **attributes))
        return output

"""The graph of an ONNX model: python onnx_graph.py LOGDIR."""

import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tensorboardX import SummaryWriter


def small_network() -> onnx.ModelProto:
    """Convolution, ReLU, pooling and a fully connected layer."""
    generator = np.random.default_rng(0)
    weights = {
        "conv/weight": generator.normal(size=(8, 3, 3, 3)),
        "fc/weight": generator.normal(size=(8, 10)),
        "fc/bias": np.zeros(10),
    }
    nodes = [
        helper.make_node("Conv", ["image", "conv/weight"], ["features"], name="conv", kernel_shape=[3, 3]),
        helper.make_node("Relu", ["features"], ["active"], name="relu"),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "fc/weight", "fc/bias"], ["scores"], name="fc"),
    ]
    graph = helper.make_graph(
        nodes,
        "small network",
        inputs=[helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        outputs=[helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        initializer=[
            numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()
        ],
    )  # fmt: skip
    return helper.make_model(graph)


def main() -> None:
    path = os.path.join(sys.argv[1], "small_network.onnx")
    writer = SummaryWriter(sys.argv[1])
    onnx.save(small_network(), path)
    writer.add_onnx_graph(path)
    writer.close()


if __name__ == "__main__":
    main()

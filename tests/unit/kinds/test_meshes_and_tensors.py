"""Meshes as tensorboardX writes them, tensors as torch does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kind_records import NOW, TAG, events, record
from tensorboard.util.tensor_util import make_ndarray
from torch.utils.tensorboard.summary import tensor_proto

from sidelog_daemon.kinds import make_content
from sidelog_daemon.tensorboardx import event_pb2, summary_pb2
from sidelog_shared.errors import MalformedHeader, SnapshotError
from sidelog_shared.records import Kind
from tensorboardx_events import theirs

CONFIG = {"camera": {"cls": "PerspectiveCamera", "fov": 75.5}, "10": 1, "2": None}


@given(
    batch=st.integers(0, 2),
    count=st.integers(0, 5),
    dtype=st.sampled_from([np.float32, np.float64, np.uint8, np.int64]),
    parts=st.sampled_from([(), ("faces",), ("colors",), ("faces", "colors")]),
    config=st.sampled_from([None, {}, CONFIG]),
    seed=st.integers(0, 99),
)
def test_a_mesh(
    tmp_path_factory: pytest.TempPathFactory,
    batch: int,
    count: int,
    dtype: type[np.generic],
    parts: tuple[str, ...],
    config: dict[str, object] | None,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    given = {name: (random.random((batch, count, 3)) * 200).astype(dtype) for name in ("vertices", *parts)}
    expected = theirs(
        tmp_path_factory.mktemp("x"),
        lambda writer: writer.add_mesh(TAG, **given, config_dict=config, global_step=3, walltime=NOW),
    )
    one = record(Kind.MESH, *given.values(), parts=[*given], config=json.dumps(config, sort_keys=True))
    assert events(one) == expected


def test_a_config_is_written_as_it_came() -> None:
    text = json.dumps({2: "a", 10: "b"}, sort_keys=True)  # sorted as numbers; as strings it were the other way round
    (event,) = events(record(Kind.MESH, np.zeros((1, 2, 3)), parts=["vertices"], config=text))
    assert text.encode() in event.summary.value[0].metadata.plugin_data.content


@pytest.mark.parametrize("config", ["", "{", "[" * 30_000, 5, None])
def test_a_config_that_is_no_json_is_refused(config: object) -> None:
    with pytest.raises(MalformedHeader, match=r"MESH\.options\.config is"):
        make_content(record(Kind.MESH, np.zeros((1, 2, 3)), parts=["vertices"], config=config))


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 4), (1, 1, 2, 3)])
def test_a_mesh_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SnapshotError, match=r"mesh faces have shape .*, expected \[batch, n, 3\]"):
        make_content(
            record(Kind.MESH, np.zeros((1, 2, 3)), np.zeros(shape), parts=["vertices", "faces"], config="null")
        )


DTYPES = [torch.float64, torch.float32, torch.int64, torch.int32, torch.int16, torch.int8, torch.bool]


@given(dtype=st.sampled_from(DTYPES), shape=st.lists(st.integers(0, 4), max_size=4), seed=st.integers(0, 99))
def test_a_tensor_is_torchs(dtype: torch.dtype, shape: list[int], seed: int) -> None:
    tensor = (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 100 - 50).to(dtype)
    expected = event_pb2.Event(
        step=3, wall_time=NOW, summary=summary_pb2.Summary.FromString(tensor_proto(TAG, tensor).SerializeToString())
    )
    assert events(record(Kind.TENSOR, tensor)) == [expected]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_a_tensor_that_torch_writes_unreadably_can_be_read(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1, 2.5], [7, 100, 250]]).to(dtype)
    with pytest.raises((OverflowError, ValueError)):
        make_ndarray(tensor_proto(TAG, tensor).value[0].tensor)
    (event,) = events(record(Kind.TENSOR, tensor))
    written = event.summary.value[0].tensor
    if dtype is torch.bfloat16:  # TensorFlow's half_val of it; TensorBoard itself has no such type
        upper_halves = np.array(written.half_val, np.uint32) << 16
        read = upper_halves.view(np.float32).reshape(tensor.shape)
    else:
        read = make_ndarray(written)
    np.testing.assert_array_equal(read.astype(np.float32), tensor.float().numpy())


@pytest.mark.parametrize("dtype", [torch.float8_e5m2, torch.uint16])
def test_a_tensor_of_a_type_that_torch_does_not_write_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(SnapshotError, match=r"tensor is \w+, expected one of float64, "):
        make_content(record(Kind.TENSOR, torch.zeros(3).to(dtype)))


def test_a_large_tensor_is_whole() -> None:
    values = np.arange(200_001, dtype=np.float32)
    (event,) = events(record(Kind.TENSOR, values))
    np.testing.assert_array_equal(event.summary.value[0].tensor.float_val, values)

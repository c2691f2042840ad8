"""A run directory as TensorBoard's data server sees it: the fast reader, which its pages use by default."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import tensorboard_data_server
from tensorboard.data.grpc_provider import GrpcDataProvider, make_stub

DEADLINE_S = 20.0


def fast_scalars(directory: Path, expected: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each tag, by TensorBoard's data server, once it shows ``expected`` (or at a deadline).

    It loads in the background, so what it shows grows.
    """
    with fast_reader(directory.parent) as provider:

        def shown() -> dict[str, list[tuple[int, float]]]:
            series = provider.read_scalars(None, experiment_id="", plugin_name="scalars", downsample=100_000)
            return {
                tag: [(point.step, point.value) for point in points]
                for tag, points in series.get(directory.name, {}).items()
            }

        deadline = time.monotonic() + DEADLINE_S
        while (last := shown()) != expected and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        return last


def fast_steps(directory: Path, expected: dict[str, list[int]]) -> dict[str, list[int]]:
    """Steps of each scalar, text and picture, by TensorBoard's data server; see :func:`fast_scalars`."""
    every = {"experiment_id": "", "downsample": 100_000}
    with fast_reader(directory.parent) as provider:

        def shown() -> dict[str, list[int]]:
            return {
                tag.removesuffix("/text_summary"): [point.step for point in points]
                for series in (
                    provider.read_scalars(None, plugin_name="scalars", **every),
                    provider.read_tensors(None, plugin_name="text", **every),
                    provider.read_blob_sequences(None, plugin_name="images", **every),
                )
                for tag, points in series.get(directory.name, {}).items()
            }

        deadline = time.monotonic() + DEADLINE_S
        while (last := shown()) != expected and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        return last


@contextmanager
def fast_reader(logdir: Path) -> Iterator[GrpcDataProvider]:
    """TensorBoard's data server, loading ``logdir`` once."""
    with tempfile.TemporaryDirectory() as scratch:
        port_file = Path(scratch, "port")
        command = [
            tensorboard_data_server.server_binary(),
            f"--logdir={logdir}",
            "--reload=once",
            "--port=0",
            f"--port-file={port_file}",
            "--samples-per-plugin=scalars=all,text=all,images=all,audio=all",
            "--die-after-stdin",
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            try:
                address = f"localhost:{_port_in(port_file)}"
                with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
                    yield GrpcDataProvider(address, make_stub(channel))
            finally:
                server.kill()


def _port_in(port_file: Path) -> int:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        text = port_file.read_text() if port_file.exists() else ""
        if text.endswith("\n"):
            return int(text)
        assert time.monotonic() < deadline, f"the data server named no port within {DEADLINE_S} s"
        threading.Event().wait(0.01)

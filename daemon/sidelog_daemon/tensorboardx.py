"""tensorboardX's protos, record framing and summaries, without its ``__init__`` and so without torch.

``import tensorboardX`` imports its ``SummaryWriter``, which imports torch when torch is installed: half a
gigabyte of memory and seconds of start for a process that only writes files. Its modules ``proto``,
``record_writer``, ``summary``, ``embedding``, ``utils`` and ``onnx_graph`` need neither; they load under an empty
parent module that carries the package's ``__path__``. Every module of the daemon takes tensorboardX from here.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from sidelog_shared.errors import MissingExtra, WriterError

_PACKAGE = "tensorboardX"


def _package_without_its_init() -> None:
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise MissingExtra(_PACKAGE, "daemon", "the daemon")
    package = ModuleType(_PACKAGE)
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules[_PACKAGE] = package


def _load(name: str) -> ModuleType:
    _package_without_its_init()
    try:
        return importlib.import_module(f"{_PACKAGE}.{name}")
    except ImportError as error:
        raise MissingExtra(error.name or name, "daemon", f"{_PACKAGE}.{name}") from error


event_pb2 = _load("proto.event_pb2")
summary_pb2 = _load("proto.summary_pb2")
plugin_hparams_pb2 = _load("proto.plugin_hparams_pb2")
record_writer = _load("record_writer")
summary = _load("summary")
embedding = _load("embedding")
utils = _load("utils")
onnx_graph = _load("onnx_graph")
vars(onnx_graph)["print"] = lambda *_: None  # it prints every node of a graph


def check_fast_paths() -> None:
    """Refuse to start where writing would be slow by an order of magnitude.

    tensorboardX computes each record's CRC in pure Python unless the package ``crc32c`` is there, and protobuf
    has a pure Python implementation beside its C one (upb).

    Raises:
        MissingExtra: ``crc32c`` is not installed.
        WriterError: protobuf runs in pure Python.
    """
    if importlib.util.find_spec("crc32c") is None:
        raise MissingExtra("crc32c", "daemon", "the daemon's event writer")
    from google.protobuf.internal import api_implementation

    if api_implementation.Type() == "python":
        raise WriterError("protobuf runs in pure Python, expected its C implementation (upb): "
                          "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION or reinstall protobuf")  # fmt: skip

"""HPARAMS: ``SummaryWriter.add_hparams``, without the metrics' values, which are scalars."""

from __future__ import annotations

from typing import Any

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import plugin_hparams_pb2, summary
from sidelog_shared.errors import MalformedHeader
from sidelog_shared.header import HeaderReader
from sidelog_shared.records import Record

_UNSHOWN = ()
"""What tensorboardX finds to be no string, boolean, number or callable: its type becomes DATA_TYPE_UNSET. (A None it
leaves out altogether, and so does a client.)"""


def hparams_content(record: Record) -> Content:
    """Three events: the experiment, the session's start, its end. The record's tag is not used.

    Raises:
        MalformedHeader: not one document ``{"hparams": [[name, value], ...], "metrics": [name, ...]}``, where
            ``"domains": {name: [value, ...]}`` may say which values a hyperparameter can have.
    """
    fields.check_count(record, 1)
    document = HeaderReader("HPARAMS", fields.document(record, 0, "document"))
    hparams: dict[str, object] = {}
    for index, item in enumerate(document.items("hparams", len(record.buffers[0]))):
        path = f"HPARAMS.hparams[{index}]"
        name, value = fields.as_list(path, item, 2)
        if value is not None and type(value) not in (str, bool, int, float):
            raise MalformedHeader(f"{path}[1] is {value!r:.80}, expected a string, a boolean, a number or nil")
        hparams[_unused(f"{path}[0]", name, hparams)] = _UNSHOWN if value is None else value
    metrics: dict[str, object] = {}
    for index, name in enumerate(document.items("metrics", len(record.buffers[0]))):
        metrics[_unused(f"HPARAMS.metrics[{index}]", name, metrics)] = None
    parts = summary.hparams(hparams, metrics)
    _add_domains(parts[0], document.mapping("domains"), hparams)
    return Content(tuple(summaries.summary_event(part, record.step, record.wall_time) for part in parts))


def _add_domains(experiment: Any, domains: dict[str, object], hparams: dict[str, object]) -> None:
    """What torch's ``add_hparams`` takes as ``hparam_domain_discrete``, and tensorboardX does not."""
    if not domains:
        return
    plugin_data = experiment.value[0].metadata.plugin_data
    content = plugin_hparams_pb2.HParamsPluginData.FromString(plugin_data.content)
    infos = {info.name: info for info in content.experiment.hparam_infos}
    for name, values in domains.items():
        path = f"HPARAMS.domains[{name!r:.80}]"
        if name not in hparams:
            raise MalformedHeader(f"{path} is of no hyperparameter, expected one of {[*hparams]!r:.80}")
        domain = infos[name].domain_discrete
        domain.SetInParent()
        for index, value in enumerate(fields.as_list(path, values)):
            if type(value) is str:
                domain.values.add(string_value=value)
            elif type(value) is bool:
                domain.values.add(bool_value=value)
            elif type(value) in (int, float):
                domain.values.add(number_value=value)
            else:
                raise MalformedHeader(f"{path}[{index}] is {value!r:.80}, expected a string, a boolean or a number")
    plugin_data.content = content.SerializeToString()


def _unused(path: str, name: object, taken: dict[str, object]) -> str:
    text = fields.as_text(path, name)
    if text in taken:
        raise MalformedHeader(f"{path} is {text!r:.80} again, expected each name once")
    return text

"""Checked arguments of calls that carry no tensor: hyperparameters and layouts of charts, as the protocol has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sidelog_shared.errors import ConfigError

_CHARTS = ("Multiline", "Margin")


def check_hparams(hparams: object, metrics: object, domains: object) -> dict[str, object]:
    """The document of an HPARAMS record.

    Args:
        hparams: name -> string, bool, number or callable; what is none of these is shown without a value.
        metrics: name -> number.
        domains: name -> list of the values that it may have, of its type; or None.

    Raises:
        TypeError: not dicts; names that are no strings; a domain of other values.
    """
    for name, given in (("hparam_dict", hparams), ("metric_dict", metrics)):
        if not isinstance(given, dict):
            raise TypeError(f"{name} is {type(given).__name__}, expected a dict")
        wrong = next((key for key in given if not isinstance(key, str)), None)
        if wrong is not None:
            raise TypeError(f"{name} has the key {wrong!r:.60}, expected strings")
    assert isinstance(hparams, dict)
    assert isinstance(metrics, dict)
    document: dict[str, object] = {
        "hparams": [[name, _hparam(value)] for name, value in hparams.items() if value is not None],
        "metrics": list(metrics),
    }
    if domains:
        document["domains"] = _check_domains(domains, hparams)
    return document


def _hparam(value: object) -> object:
    # numpy's float64 is a float; its bool_ and float32 are none of Python's, and tensorboardX shows them without value.
    if isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    return getattr(value, "__name__", str(value)) if callable(value) else None


def _check_domains(domains: object, hparams: dict[str, object]) -> dict[str, list[object]]:
    if not isinstance(domains, dict):
        raise TypeError(f"hparam_domain_discrete is {type(domains).__name__}, expected a dict")
    for name, values in domains.items():
        fits = name in hparams and isinstance(values, list)
        if not fits or not all(isinstance(value, type(hparams[name])) for value in values):
            raise TypeError(
                f"hparam_domain_discrete[{name!r}] is {values!r:.60}, expected a list of values of the type of "
                f"hparam_dict[{name!r}]"
            )
    return {name: [_hparam(value) for value in values] for name, values in domains.items()}


def check_layout(layout: object) -> list[object]:
    """The document of a LAYOUT record.

    Args:
        layout: category -> chart -> ``["Multiline", [tag, ...]]`` or ``["Margin", [value, lower, upper]]``.

    Raises:
        ConfigError: a layout of another form.
    """
    if not isinstance(layout, Mapping):
        raise ConfigError(f"layout is {type(layout).__name__}, expected a dict of category -> chart -> [kind, tags]")
    return [[_name(category), [_chart(title, chart) for title, chart in _charts(category, charts)]]
            for category, charts in layout.items()]  # fmt: skip


def _charts(category: object, charts: object) -> list[tuple[object, object]]:
    if not isinstance(charts, Mapping):
        raise ConfigError(f"layout[{category!r}] is {type(charts).__name__}, expected a dict of chart -> [kind, tags]")
    return list(charts.items())


def _chart(title: object, chart: object) -> list[object]:
    if not isinstance(chart, Sequence) or isinstance(chart, str) or len(chart) != 2 or chart[0] not in _CHARTS:
        raise ConfigError(f"chart {title!r} is {chart!r:.80}, expected ['Multiline', tags] or ['Margin', tags]")
    kind, tags = chart
    if isinstance(tags, str) or not isinstance(tags, Sequence) or not all(isinstance(tag, str) for tag in tags):
        raise ConfigError(f"tags of chart {title!r} are {tags!r:.80}, expected a list of strings")
    if kind == "Margin" and len(tags) != 3:
        raise ConfigError(f"tags of margin chart {title!r} are {len(tags)}, expected 3: value, lower, upper")
    return [_name(title), kind, list(tags)]


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise ConfigError(f"layout has the key {name!r:.60}, expected strings")
    return name

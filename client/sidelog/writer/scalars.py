"""Numbers and words: scalars, texts, hyperparameters, and how charts combine them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence

from sidelog.arguments import column_step, wall_time_or_now
from sidelog.documents import check_hparams, check_layout
from sidelog.snapshot import kept_bytes
from sidelog.writer.handle import WriterHandle
from sidelog_shared.documents import pack_document
from sidelog_shared.names import check_tag
from sidelog_shared.records import Kind, ScalarForm


class ScalarCalls(WriterHandle):
    """See :class:`sidelog.SummaryWriter`."""

    def add_scalar(
        self,
        tag: str,
        scalar_value: object,
        global_step: int | None = None,
        walltime: float | None = None,
        display_name: str | bool = "",
        summary_description: str | bool = "",
        *,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Log one number.

        Args:
            tag: name of the series.
            scalar_value: a number, or a tensor or array of one element. One that is on a device costs no
                synchronization: it is fetched later.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            display_name: title of the chart instead of the tag.
            summary_description: text behind the chart's information icon.
            new_style: torch's: write a tensor instead of a ``simple_value``. torch has it as the fifth argument; a
                bool there means it.
            double_precision: of new style, as float64.

        Raises:
            TypeError, ValueError: a bad tag, step or wall time, or a value that is not one number.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        if self._defaults is not None:
            global_step, walltime = self._moment(global_step, walltime)
        form = ScalarForm.SIMPLE
        if display_name is True or display_name is False:  # torch's fifth and sixth arguments
            new_style, double_precision = display_name, summary_description is True
            display_name = summary_description = ""
        if new_style:
            form = ScalarForm.DOUBLE if double_precision else ScalarForm.FLOAT
        recorder.add_scalar(tag, scalar_value, global_step, walltime, display_name, summary_description, form)  # type: ignore[arg-type]  # no bool is left

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, object],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log several numbers into one chart: each becomes a sub-run ``<logdir>/<main_tag>/<key>``.

        Args:
            main_tag: name of the chart, and tag of every series in it.
            tag_scalar_dict: key -> number, as for :meth:`add_scalar`.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.

        Raises:
            TypeError, ValueError: as :meth:`add_scalar`; also a key that leaves the folder.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(main_tag)
        if not isinstance(tag_scalar_dict, Mapping):
            raise TypeError(f"tag_scalar_dict is {type(tag_scalar_dict).__name__}, expected a dict of key -> number")
        values = dict(tag_scalar_dict)
        step, wall_time = column_step(global_step), wall_time_or_now(walltime)
        calls = recorder.add_scalars(main_tag, values, step, wall_time)
        if len(calls) == len(values):  # else one is of a CUDA graph that is being captured, and has no value
            for key, call in zip(values, calls, strict=True):
                self._history.add(os.path.join(self.logdir, main_tag, key), wall_time, step, call[3])

    def export_scalars_to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the scalars that :meth:`add_scalars` has logged into a JSON file, and forget them.

        As tensorboardX does: ``{"<logdir>/<main_tag>/<key>": [[wall time, step, value], ...], ...}``; those of
        ``add_scalar`` are not among them. Of more than a million values the newest of each curve, which is told.

        Raises:
            OSError: the file cannot be written.
        """
        history = self._history.take()
        with open(path, "w") as file:
            file.write(json.dumps(history))  # json.dump would go piece by piece through Python

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Log text; TensorBoard renders it as markdown.

        Raises:
            TypeError, ValueError: a bad tag, step or wall time, or not a string.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        if not isinstance(text_string, str):
            raise TypeError(f"text_string is {type(text_string).__name__}, expected a string")
        step, wall_time = self._moment(global_step, walltime)
        payload = text_string.encode(errors="replace")
        recorder.add_light(Kind.TEXT, tag, step, wall_time, {}, (kept_bytes(payload),))

    def add_hparams(
        self,
        hparam_dict: dict[str, object],
        metric_dict: dict[str, object],
        name: str | dict[str, list[object]] | None = None,
        global_step: int | str | None = None,
        torch_global_step: int | None = None,
        *,
        hparam_domain_discrete: dict[str, list[object]] | None = None,
        run_name: str | None = None,
    ) -> None:
        """Log hyperparameters and what came of them, for TensorBoard's HPARAMS page; into a sub-run of its own.

        Args:
            hparam_dict: name -> a string, bool, number or callable (by its name); None is left out.
            metric_dict: name -> number; logged as scalars of the sub-run.
            name: of the sub-run; the time unless given. torch's third argument is ``hparam_domain_discrete``, and a
                dict here means it.
            global_step: step of the metrics. torch's fourth argument is ``run_name``, and a string here means it.
            torch_global_step: torch's fifth argument.
            hparam_domain_discrete: torch's: name -> list of the values that a hyperparameter may have.
            run_name: torch's word for ``name``.

        Raises:
            TypeError: not dicts, or a domain of other values than its hyperparameter's type.
            ValueError: a bad tag or step; a name that leaves the folder.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        if isinstance(name, dict):
            hparam_domain_discrete, name = name, None
        if isinstance(global_step, str):
            run_name, global_step = global_step, None
        if torch_global_step is not None:
            global_step = torch_global_step
        document = check_hparams(hparam_dict, metric_dict, hparam_domain_discrete)
        step, wall_time = column_step(global_step), time.time()
        recorder.add_hparams(name or run_name or str(wall_time), pack_document(document), metric_dict, step, wall_time)

    def add_custom_scalars(self, layout: Mapping[str, Mapping[str, Sequence[object]]]) -> None:
        """Say which scalars share a chart, on TensorBoard's CUSTOM SCALARS page.

        Args:
            layout: category -> chart -> ``["Multiline", [tag, ...]]`` or ``["Margin", [value, lower, upper]]``. Tags
                may be regular expressions.

        Raises:
            ConfigError: a layout of another form.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        step, wall_time = self._moment(None, None)
        document = pack_document(check_layout(layout))
        recorder.add_light(Kind.LAYOUT, "custom_scalars", step, wall_time, {}, (kept_bytes(document),))

    def add_custom_scalars_multilinechart(
        self, tags: Sequence[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """Show several scalars as lines of one chart; see :meth:`add_custom_scalars`."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(
        self, tags: Sequence[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """Show a scalar with a margin: ``tags`` are value, lower and upper; see :meth:`add_custom_scalars`."""
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

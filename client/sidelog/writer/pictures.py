"""Pictures: images, grids, feature maps and label maps; figures and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sidelog import pictures
from sidelog.media import select_boxes
from sidelog.pictures import GridArguments
from sidelog.plans import call_key
from sidelog.writer.handle import WriterHandle
from sidelog_shared.names import check_tag


class PictureCalls(WriterHandle):
    """See :class:`sidelog.SummaryWriter`."""

    def add_image(
        self,
        tag: str,
        img_tensor: object,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
        *,
        mean: object = None,
        std: object = None,
        nrow: int | None = None,
        padding: int | None = None,
        normalize: bool | None = None,
        value_range: Sequence[float] | None = None,
        scale_each: bool | None = None,
        pad_value: float | None = None,
        range: Sequence[float] | None = None,
        format: Literal["png", "jpeg"] | None = None,
        quality: int | None = None,
    ) -> None:
        """Log a picture; or a grid, from a list, a batch with any grid argument, or ``sidelog.make_grid(...)``.

        Args:
            tag: name of the picture.
            img_tensor: ``[C, H, W]`` with 1, 3 or 4 channels, floats in 0..1 or uint8 in 0..255 (tensorboardX's
                rule); or a list of ``[H, W]`` or of ``[C, H, W]`` of one shape; or a batch ``[N, C, H, W]`` with at
                least one grid argument, or with ``dataformats="NCHW"`` for tensorboardX's mosaic; or a lazy grid.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            dataformats: what each dimension means, such as ``"HWC"`` or ``"HW"``.
            mean: per channel; undoes ``torchvision.transforms.Normalize``: ``x * std + mean``.
            std: see ``mean``.
            nrow: tiles per row, 8 unless given, as for the following in ``torchvision.utils.make_grid``.
            padding: pixels between tiles, 2.
            normalize: scale to 0..1, False.
            value_range: the (low, high) that becomes 0..1; the tensor's own unless given.
            scale_each: take the range tile by tile, False.
            pad_value: value between tiles, 0.
            range: old name of ``value_range``.
            format: ``"png"`` unless given, which keeps every pixel; or ``"jpeg"``: smaller for photographs, without
                alpha.
            quality: of a JPEG, 1 to 100; 90 unless given.

        Raises:
            SnapshotError: a shape, type or layout that no picture can be made of; says which call to use instead.
            ConfigError: an option that cannot be.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        if self._defaults is not None:
            global_step, walltime = self._moment(global_step, walltime)
        bounds = value_range if value_range is None else call_key(value_range)
        old_bounds = range if range is None else call_key(range)
        grid = (nrow, padding, normalize, bounds, scale_each, pad_value, old_bounds)
        call = ("image", tag, dataformats, call_key(mean), call_key(std), grid, format, quality)
        if not recorder.add_planned(call, img_tensor, global_step, walltime):
            check_tag(tag)
            what = f"add_image {tag!r}"
            selection = pictures.select_image(img_tensor, dataformats, GridArguments(*grid), mean, std, what)
            selection = pictures.encoded_as(selection, format, quality, what)
            recorder.add_picture(call, img_tensor, selection, global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: object,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
        *,
        mean: object = None,
        std: object = None,
        nrow: int | None = None,
        padding: int | None = None,
        normalize: bool | None = None,
        value_range: Sequence[float] | None = None,
        scale_each: bool | None = None,
        pad_value: float | None = None,
        range: Sequence[float] | None = None,
        format: Literal["png", "jpeg"] | None = None,
        quality: int | None = None,
    ) -> None:
        """Log a batch as one picture: tensorboardX's mosaic (8 columns, no gap), or ``make_grid``'s with any grid
        argument.

        Args:
            tag: name of the picture.
            img_tensor: ``[N, C, H, W]`` with 1, 3 or 4 channels, in any order that ``dataformats`` says; or a list of
                ``[C, H, W]`` of one shape.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            dataformats: what each dimension means; for a list, of one picture or of all.
            mean: as for :meth:`add_image`, and so are the following.
            std: see there.
            nrow: see there.
            padding: see there.
            normalize: see there.
            value_range: see there.
            scale_each: see there.
            pad_value: see there.
            range: see there.
            format: see there.
            quality: see there.

        Raises:
            SnapshotError, ConfigError, TypeError, ValueError: as :meth:`add_image`.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        if self._defaults is not None:
            global_step, walltime = self._moment(global_step, walltime)
        bounds = value_range if value_range is None else call_key(value_range)
        old_bounds = range if range is None else call_key(range)
        grid = (nrow, padding, normalize, bounds, scale_each, pad_value, old_bounds)
        call = ("images", tag, dataformats, call_key(mean), call_key(std), grid, format, quality)
        if not recorder.add_planned(call, img_tensor, global_step, walltime):
            check_tag(tag)
            what = f"add_images {tag!r}"
            selection = pictures.select_images(img_tensor, dataformats, GridArguments(*grid), mean, std, what)
            selection = pictures.encoded_as(selection, format, quality, what)
            recorder.add_picture(call, img_tensor, selection, global_step, walltime)

    def add_feature_map(
        self,
        tag: str,
        feature_map: object,
        global_step: int | None = None,
        walltime: float | None = None,
        *,
        sample: int = 0,
        nrow: int | None = None,
        padding: int | None = None,
        normalize: bool | None = None,
        value_range: Sequence[float] | None = None,
        scale_each: bool | None = None,
        pad_value: float | None = None,
        range: Sequence[float] | None = None,
        format: Literal["png", "jpeg"] | None = None,
        quality: int | None = None,
    ) -> None:
        """Log every channel of a feature map as a grey tile of a grid.

        Only what is shown is copied: one sample of a batch.

        Args:
            tag: name of the picture.
            feature_map: ``[C, H, W]``, or ``[B, C, H, W]`` of which one sample is shown; or a list of ``[H, W]`` or
                ``[1, H, W]``. Any dtype, any device.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            sample: which of the batch.
            nrow: tiles per row, 8 unless given.
            padding: pixels between tiles, 2.
            normalize: scale to 0..1. True unless given, other than in ``make_grid``: activations have no
                brightness of their own.
            value_range: the (low, high) that becomes 0..1; the tensor's own unless given.
            scale_each: take the range tile by tile, False.
            pad_value: value between tiles, 0.
            range: old name of ``value_range``.
            format: as for :meth:`add_image`.
            quality: see there.

        Raises:
            SnapshotError, ConfigError, TypeError, ValueError: as :meth:`add_image`.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        if self._defaults is not None:
            global_step, walltime = self._moment(global_step, walltime)
        bounds = value_range if value_range is None else call_key(value_range)
        old_bounds = range if range is None else call_key(range)
        grid = (nrow, padding, normalize, bounds, scale_each, pad_value, old_bounds)
        call = ("feature_map", tag, sample, grid, format, quality)
        if not recorder.add_planned(call, feature_map, global_step, walltime):
            check_tag(tag)
            what = f"add_feature_map {tag!r}"
            selection = pictures.select_feature_map(feature_map, sample, GridArguments(*grid), what)
            selection = pictures.encoded_as(selection, format, quality, what)
            recorder.add_picture(call, feature_map, selection, global_step, walltime)

    def add_label_map(
        self,
        tag: str,
        labels: object,
        global_step: int | None = None,
        walltime: float | None = None,
        *,
        palette: object = None,
        num_classes: int | None = None,
        ignore_index: int | None = None,
        nrow: int | None = None,
        padding: int | None = None,
    ) -> None:
        """Log a map of integer classes in colors, as a PNG.

        There is no ``format`` here: a JPEG blends the colors along each edge, into those of other classes.

        Args:
            tag: name of the picture.
            labels: ``[H, W]`` or ``[1, H, W]`` of an integer type or bool; or a batch ``[N, H, W]``, tiled.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            palette: colors of the classes 0, 1, ...: a list of (red, green, blue), 0..255. Default: Pascal VOC's.
            num_classes: classes at or above it (or below 0) are shown in magenta, and told of.
            ignore_index: a class that is drawn in grey.
            nrow: tiles per row, 8 unless given.
            padding: pixels between tiles, 2.

        Raises:
            SnapshotError, ConfigError, TypeError, ValueError: as :meth:`add_image`; also for floats (scores).
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        if self._defaults is not None:
            global_step, walltime = self._moment(global_step, walltime)
        call = ("label_map", tag, call_key(palette), num_classes, ignore_index, nrow, padding)
        if not recorder.add_planned(call, labels, global_step, walltime):
            check_tag(tag)
            grid = GridArguments(nrow=nrow, padding=padding)
            what = f"add_label_map {tag!r}"
            selection = pictures.select_label_map(labels, palette, num_classes, ignore_index, grid, what)
            recorder.add_picture(call, labels, selection, global_step, walltime)

    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: object,
        box_tensor: object,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str | float | None = "CHW",
        labels: Sequence[str] | str | None = None,
        rescale: float | Sequence[str] | str | None = 1,
    ) -> None:
        """Log a picture with boxes drawn on it.

        torch has ``rescale, dataformats, labels`` in this order; a number as ``dataformats`` means it.

        Args:
            tag: name of the picture.
            img_tensor: as for :meth:`add_image`.
            box_tensor: ``[n, 4]``: left, top, right, bottom, in pixels.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            dataformats: what each dimension of the picture means.
            labels: one per box; left out, as in tensorboardX, when there are not as many.
            rescale: factor by which the finished picture is enlarged.

        Raises:
            SnapshotError: another shape.
            ConfigError: a factor that cannot be.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        step, wall_time = self._moment(global_step, walltime)
        what = f"add_image_with_boxes {tag!r}"
        if isinstance(dataformats, (int, float)):
            torchs = dataformats, "CHW" if labels is None else labels, None if rescale == 1 else rescale
            rescale, dataformats, labels = torchs  # type: ignore[assignment]  # what they are is checked below
        chosen = select_boxes(img_tensor, box_tensor, dataformats, labels, rescale, what)
        recorder.add_boxes(tag, chosen.arrays, step, wall_time, chosen.options)

"""What is made in the daemon and never dropped: figures, audio, video, meshes, embeddings, tensors, ONNX graphs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

from sidelog import figures, media
from sidelog.arrays import as_array
from sidelog.writer.handle import WriterHandle
from sidelog_shared.documents import pack_document
from sidelog_shared.names import check_tag
from sidelog_shared.recipe import Layout, Recipe
from sidelog_shared.records import Kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sidelog.arrays import Array


class MediaCalls(WriterHandle):
    """See :class:`sidelog.SummaryWriter`."""

    def add_figure(
        self,
        tag: str,
        figure: Figure | list[Figure],
        global_step: int | None = None,
        close: bool | None = True,
        walltime: float | None = None,
    ) -> None:
        """Log a matplotlib figure, or several of one size side by side.

        The figure is drawn here, on the calling thread: some tens of milliseconds, as with any writer. The rest is the
        daemon's.

        Args:
            tag: name of the picture.
            figure: what to draw.
            global_step: step; None leaves it unset.
            close: close the figure in pyplot afterwards.
            walltime: seconds since the epoch; None takes now.

        Raises:
            MissingExtra: matplotlib is not installed.
            SnapshotError: no figure, or several of different sizes.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        step, wall_time = self._moment(global_step, walltime)
        pixels = figures.draw(figure, close=bool(close), what=f"add_figure {tag!r}")
        recipe = Recipe(Layout.IMAGE, "HWC") if pixels.ndim == 3 else Recipe(Layout.MOSAIC, "NHWC")
        recorder.add_heavy(Kind.PICTURE, tag, step, wall_time, {"recipe": recipe.to_map()}, [pixels])

    def add_video(
        self,
        tag: str,
        vid_tensor: object,
        global_step: int | None = None,
        fps: float | None = 4,
        walltime: float | None = None,
        dataformats: str | None = "NTCHW",
    ) -> None:
        """Log videos as one animated GIF, side by side.

        Args:
            tag: name of the picture.
            vid_tensor: ``[N, T, C, H, W]`` with 1, 3 or 4 channels (the fourth is left out: it is no transparency in
                a GIF), uint8 in 0..255 or floats in 0..1, in the order that ``dataformats`` says.
            global_step: step; None leaves it unset.
            fps: frames per second.
            walltime: seconds since the epoch; None takes now.
            dataformats: what each dimension means.

        Raises:
            SnapshotError: another shape.
            ConfigError: letters or a rate that cannot be.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        step, wall_time = self._moment(global_step, walltime)
        chosen = media.select_video(vid_tensor, fps, dataformats, f"add_video {tag!r}")
        recorder.add_heavy(Kind.VIDEO, tag, step, wall_time, chosen.options, chosen.arrays)

    def add_audio(
        self,
        tag: str,
        snd_tensor: object,
        global_step: int | None = None,
        sample_rate: int | None = 44100,
        walltime: float | None = None,
    ) -> None:
        """Log sound, as WAV.

        Args:
            tag: name of the clip.
            snd_tensor: samples in -1..1, ``[frames]`` or ``[frames, channels]`` with 1 or 2 channels, or torch's
                ``[1, frames]``.
            global_step: step; None leaves it unset.
            sample_rate: samples per second.
            walltime: seconds since the epoch; None takes now.

        Raises:
            SnapshotError: another shape.
            ConfigError: a sample rate that cannot be.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        step, wall_time = self._moment(global_step, walltime)
        chosen = media.select_audio(snd_tensor, sample_rate, f"add_audio {tag!r}")
        recorder.add_heavy(Kind.AUDIO, tag, step, wall_time, chosen.options, chosen.arrays)

    def add_mesh(
        self,
        tag: str,
        vertices: object,
        colors: object = None,
        faces: object = None,
        config_dict: dict[str, object] | None = None,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log point clouds or triangle meshes.

        Args:
            tag: name of the mesh.
            vertices: ``[batch, n, 3]``, coordinates.
            colors: ``[batch, n, 3]``, 0..255.
            faces: ``[batch, m, 3]``, indices of vertices.
            config_dict: of three.js: ``camera``, ``material``, ``lights``.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.

        Raises:
            SnapshotError: another shape.
            ConfigError: a configuration that is no JSON.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        step, wall_time = self._moment(global_step, walltime)
        chosen = media.select_mesh(vertices, colors, faces, config_dict, f"add_mesh {tag!r}")
        recorder.add_heavy(Kind.MESH, tag, step, wall_time, chosen.options, chosen.arrays)

    def add_embedding(
        self,
        mat: object,
        metadata: Sequence[object] | None = None,
        label_img: object = None,
        global_step: int | None = None,
        tag: str = "default",
        metadata_header: Sequence[str] | None = None,
    ) -> None:
        """Log points of many dimensions for TensorBoard's PROJECTOR page.

        Args:
            mat: ``[n, dimensions]``.
            metadata: n labels; with a header, n rows of as many columns.
            label_img: ``[n, C, H, H]``, a square picture of each point.
            global_step: step; 0 unless given.
            tag: name of the embedding.
            metadata_header: names of the columns.

        Raises:
            SnapshotError: another shape, or not as many labels or pictures as points.
            ConfigError: labels that are no list.
            TypeError, ValueError: a bad tag or step.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        step, wall_time = self._moment(0 if global_step is None else global_step, None)
        chosen = media.select_embedding(mat, metadata, label_img, metadata_header, f"add_embedding {tag!r}")
        contents: list[Array | bytes] = [chosen.matrix]
        parts = []
        if chosen.metadata is not None:
            parts.append("metadata")
            contents.append(pack_document(chosen.metadata))
        if chosen.sprites is not None:
            parts.append("sprites")
            contents.append(chosen.sprites)
        recorder.add_heavy(Kind.EMBEDDING, tag, step, wall_time, {"parts": parts}, contents)

    def add_tensor(
        self, tag: str, tensor: object, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Log a tensor as it is, as torch's writer does.

        Raises:
            SnapshotError: not an array, or of a type that cannot be written.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        step, wall_time = self._moment(global_step, walltime)
        recorder.add_heavy(Kind.TENSOR, tag, step, wall_time, {}, [as_array(tensor, f"add_tensor {tag!r}")])

    def add_onnx_graph(self, onnx_model_file: str | os.PathLike[str] | IO[bytes]) -> None:
        """Log the graph of an ONNX model file for TensorBoard's GRAPHS page.

        Args:
            onnx_model_file: its path, or the file, open for reading bytes. In ONNX's own form, not as JSON or text.

        Raises:
            OSError: the file cannot be read.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        if isinstance(onnx_model_file, (str, os.PathLike)):
            with open(onnx_model_file, "rb") as file:
                model = file.read()
        else:
            model = onnx_model_file.read()
        step, wall_time = self._moment(None, None)
        recorder.add_heavy(Kind.ONNX, "onnx", step, wall_time, {}, [model])

"""TensorBoard's dashboards: where each is, when it has something to show, and how it is brought to rest."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Dashboard:
    """One page.

    Attributes:
        name: of its test, and of its screenshots.
        address: what follows TensorBoard's own.
        shows: selector -> how many that match are shown once the page is filled.
        words: some of the texts that must be there.
        curves: so many lines of at least ten points, or more.
        ink: so many pixels that are neither white nor grey below TensorBoard's own bar, or more.
        levels: how far apart pixels of its pictures may be: 1 where some are made of floats, which are truncated
            there and rounded here.
        stray: so many pixels of the page may differ, of two million: the edges of check boxes now and then do.
        at_rest: a script that ends what goes on for ever, or was begun too early; it returns whether it could.
        opens_all: whether every group of cards is opened, and not the first alone.
        tabs: tabs that are opened one after the other, after a first look, and what they show.
    """

    name: str
    address: str
    shows: dict[str, int]
    words: tuple[str, ...] = ()
    curves: int = 0
    ink: int = 1000
    levels: int = 0
    stray: int = 20
    at_rest: str = "return true;"
    opens_all: bool = True
    tabs: dict[str, dict[str, int]] = field(default_factory=dict)


# A mesh's canvas is as large as its card was when the mesh arrived, with or without a scroll bar beside it, and its
# camera stands where that size put it: both once more, with the size that the card has now. And it is drawn anew in
# every frame, by software; one more is enough.
_MESHES_ANEW = """
for (const mesh of everywhere(document, 'tf-mesh-loader').filter(one => one.offsetWidth)) {
    const viewer = mesh._meshViewer;
    if (!mesh._meshViewerAttached || !viewer.isReady()) return false;
    if (mesh.drawnFor === mesh.offsetWidth) continue;
    mesh.drawnFor = mesh.offsetWidth;
    mesh.redraw();
    viewer.resetView();
    viewer._renderer.render(viewer._scene, viewer._camera);
    window.cancelAnimationFrame(viewer._animationFrameIndex);
}
return true;
"""
# The projector's camera circles until somebody takes hold of it.
_CAMERA_STANDS = """
const [projector] = everywhere(document, 'vz-projector');
const plot = projector && projector.projectorScatterPlotAdapter && projector.projectorScatterPlotAdapter.scatterPlot;
if (!plot || !plot.camera || !projector.dataSet) return false;
if (plot.orbitAnimationId !== null || plot.getCameraPosition()[0] !== 0.9)
    plot.setCameraPositionAndTarget([0.9, 0.9, 1.6], [0, 0, 0]);
return true;
"""
# Where the graph stands depends on when its labels were measured; here it is put, and larger.
_GRAPH_IN_PLACE = """
const [root] = everywhere(document, 'tf-graph-scene').flatMap(scene => everywhere(scene.shadowRoot, '#root'));
if (!root) return false;
root.setAttribute('transform', 'translate(400, 150) scale(2.5)');
return true;
"""
# Markers go round in the order in which TensorBoard's fast reader hands tags on: that of a hash map, another one in
# each process.
_NO_MARKERS = """
everywhere(document, '.scatter-plot').forEach(markers => { markers.style.display = 'none'; });
return true;
"""

ALL = (
    Dashboard(
        "time_series",
        "?tagFilter=data/loss|drift/normal|picture/(ramp|boxes)|video#timeseries",
        {"scalar-card": 1, "histogram-card": 1, "image-card": 3, "image-card img": 3},
        words=("data/loss", "drift/normal", "picture/boxes", "video/square", "Step 90"),
        curves=50,
        ink=20_000,
        levels=1,
    ),
    Dashboard(
        "scalars",
        "#scalars",
        {"tf-scalar-card": 15},
        words=("data/loss", "data/group", "all_kinds/data/group/xsinx", "purge_and_resume", "temperature/high"),
        curves=20,
    ),
    Dashboard(
        "images",
        "#images",
        {"tf-image-loader": 8, "img": 8},
        words=("picture/boxes", "figure/wave", "video/square", "picture/grey", "90"),
        ink=20_000,
        levels=1,
    ),
    Dashboard("audio", "#audio", {"tf-audio-loader": 1, "audio": 1}, words=("audio/note", "90")),
    Dashboard(
        "text",
        "#text",
        {"tf-text-loader": 7},
        words=("text/table/text_summary", "parameters", "272", "bold", "second attempt, step 90", "epoch 2 is done"),
    ),
    Dashboard(
        "histograms",
        "#histograms",
        {"tf-histogram-loader": 9, "vz-histogram-timeseries": 9},
        words=("drift/splits_in_two", "counted/normal", "fc1.weight", "linear/weight"),
        curves=200,
        ink=20_000,
    ),
    Dashboard(
        "distributions",
        "#distributions",
        {"tf-distribution-loader": 9, "vz-distribution-chart": 9},
        words=("drift/splits_in_two", "counted/normal", "fc1.weight", "linear/weight"),
        curves=100,
        ink=20_000,
    ),
    Dashboard(
        "pr_curves",
        "#pr_curves",
        {"tf-pr-curve-card": 8},
        words=("class/red", "counted/blue", "weighted/blue", "pr_curves is at", "step 9"),
        curves=8,
    ),
    Dashboard(
        "custom_scalars",
        "#custom_scalars",
        {"tf-custom-scalar-multi-line-chart-card": 3, "tf-custom-scalar-margin-chart-card": 1},
        words=("Training", "every loss", "Forecast", "temperature", "all kinds"),
        curves=8,
        ink=3000,
        stray=200,  # where two lines cross, which of them is on top is the hash map's affair too
        at_rest=_NO_MARKERS,
    ),
    Dashboard(
        "mesh",
        "#mesh",
        {"tf-mesh-loader": 3, "canvas": 3},
        words=("torus", "spiral", "some time", "90"),
        ink=50_000,
        at_rest=_MESHES_ANEW,
        opens_all=False,  # it holds all of them, and each is drawn by software
    ),
    Dashboard(
        "hparams",
        "#hparams",
        {"tf-hparams-table-view": 1},
        words=("hparams/trial15", "0.81633", "adam", "false", "Number of matching session groups: 16"),
        tabs={
            "parallel coordinates view": {"tf-hparams-parallel-coords-view": 1},
            "scatter plot matrix view": {"tf-hparams-scatter-plot-matrix-view": 1},
        },
    ),
    Dashboard(
        "projector",
        "#projector",
        {"vz-projector": 1},
        words=("100", "64", "2 runs found", "metadata.tsv"),
        ink=100,
        at_rest=_CAMERA_STANDS,
    ),
    Dashboard(
        "graphs",
        "#graphs",
        {"g.node": 6},
        words=("image", "features", "active", "pooled", "flat", "scores"),
        at_rest=_GRAPH_IN_PLACE,
        ink=0,
    ),
)

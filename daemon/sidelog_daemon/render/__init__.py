"""From a tensor and a recipe to a finished picture, or a counted histogram. No torch, no sockets, no files.

The steps of a picture, one module each, in their order (``picture`` puts them together):

    tensors      bytes from the wire to numpy
    layout       dimensions to tiles [N, C, H, W]
    thin         what would be too large
    denormalize  undo Normalize
    normalize    to 0..1
    channels     to 8 bits, channels side by side
    color        palettes and the warning color
    tile         tiles to one picture
    annotate     the recipe in words
    encode       png or jpeg

``histogram`` counts values, tensorboardX's own bins with ``tally``.
"""

from sidelog_daemon.render.histogram import Histogram, count_histogram
from sidelog_daemon.render.picture import Picture, render_picture
from sidelog_daemon.render.tensors import to_array

__all__ = ["Histogram", "Picture", "count_histogram", "render_picture", "to_array"]

"""The writers that a training script uses.

handle          where a writer logs to, when its run is open, what it waits for
scalars         numbers and words
pictures        images, grids, feature maps, label maps, boxes
distributions   histograms and precision-recall curves
media           figures, audio, video, meshes, embeddings, tensors
file_writer     summaries that the program has put together itself
global_writer   one writer for all modules and processes
"""

from sidelog.writer.global_writer import GlobalSummaryWriter
from sidelog.writer.summary_writer import SummaryWriter

__all__ = ["GlobalSummaryWriter", "SummaryWriter"]

"""A torus of triangles and a cloud of colored points: python meshes.py LOGDIR."""

import sys

import numpy as np
import torch
from tensorboardX import SummaryWriter

AROUND, ACROSS = 36, 18
POINTS_CONFIG = {
    "camera": {"cls": "PerspectiveCamera", "fov": 60},
    "material": {"cls": "PointsMaterial", "size": 0.05},
}
SURFACE_CONFIG = {
    "lights": [
        {"cls": "AmbientLight", "color": "#ffffff", "intensity": 0.75},
        {"cls": "DirectionalLight", "color": "#ffffff", "intensity": 0.75, "position": [0, -1, 2]},
    ],
    "material": {"cls": "MeshStandardMaterial", "roughness": 1, "metalness": 0},
}


def torus(tube: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [n, 3], colors [n, 3] in 0..255, faces [m, 3] of a torus."""
    u, v = (2 * np.pi * np.arange(count) / count for count in (AROUND, ACROSS))
    u, v = (angle.ravel() for angle in np.meshgrid(u, v, indexing="ij"))
    ring = 1 + tube * np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), tube * np.sin(v)], axis=1)
    colors = np.stack([127 + 127 * np.cos(u), 127 + 127 * np.cos(v), np.full(len(u), 128)], axis=1)
    i, j = (index.ravel() for index in np.meshgrid(np.arange(AROUND), np.arange(ACROSS), indexing="ij"))
    here, right = i * ACROSS + j, (i + 1) % AROUND * ACROSS + j
    above, corner = i * ACROSS + (j + 1) % ACROSS, (i + 1) % AROUND * ACROSS + (j + 1) % ACROSS
    faces = np.concatenate([np.stack([here, right, corner], 1), np.stack([here, corner, above], 1)])
    return vertices.astype(np.float32), colors.astype(np.uint8), faces.astype(np.int32)


def spiral() -> tuple[torch.Tensor, torch.Tensor]:
    """Points [n, 3] and their colors [n, 3]."""
    t = torch.linspace(0, 1, 600)
    points = torch.stack([t * torch.cos(20 * t), t * torch.sin(20 * t), 2 * t - 1], dim=1)
    return points, torch.stack([255 * t, 255 * (1 - t), torch.full_like(t, 120)], dim=1).int()


def main() -> None:
    writer = SummaryWriter(sys.argv[1])
    for step in range(3):
        vertices, colors, faces = torus(tube=0.2 + 0.1 * step)
        writer.add_mesh(
            "torus", vertices[None], colors=colors[None], faces=faces[None], config_dict=SURFACE_CONFIG,
            global_step=step,
        )  # fmt: skip
    points, colors = spiral()
    writer.add_mesh("spiral", points[None], colors=colors[None], config_dict=POINTS_CONFIG, global_step=2)
    writer.close()


if __name__ == "__main__":
    main()

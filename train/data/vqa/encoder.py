"""A fixed encoder from pictures to features per cell: no learning, no data.

It stands for the detector that precedes the papers' models: what is where is
easy to read off its features, what the question wants of them is not.
"""

import numpy as np

from train.data.vqa.scenes import CELL, GRID

FEATURES = CELL * CELL + 3


def encode_cells(images: np.ndarray) -> np.ndarray:
    """Ink and colour of every cell.

    The grey ground adds the same to all channels, so max - min of a pixel is its ink
    and rgb - min is ink times the pure colour. The colour of a cell is the best
    fit of the latter over its pixels, sum(ink * (rgb - min)) / sum(ink * ink).

    Args:
        images: RGB, uint8 [n, 24, 24, 3].
    Returns:
        float32 [n, 9, 67], cells row by row: 64 values of ink, pixels row by row, then
        red, green and blue; each in [-1, 1], 0 is half.
    """
    cells = to_cells(images.astype(np.float32) / 255)  # [n, 9, 64, 3]
    pure = cells - cells.min(axis=-1, keepdims=True)
    ink = pure.max(axis=-1)
    weight = np.maximum((ink**2).sum(axis=-1, keepdims=True), 1e-6)
    colour = np.einsum("ncp,ncpk->nck", ink, pure) / weight
    return 2 * np.concatenate([ink, colour], axis=-1) - 1


def to_cells(images: np.ndarray) -> np.ndarray:
    """Cuts images [n, 24, 24, 3] into cells, row by row, [n, 9, 64, 3]."""
    n, channels = len(images), images.shape[-1]
    blocks = images.reshape(n, GRID, CELL, GRID, CELL, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, GRID**2, CELL**2, channels)

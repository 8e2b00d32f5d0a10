"""Validation during training: SSIM on held-out pairs and a contact sheet of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from tremorscope.model.files import write_atomically
from tremorscope.model.pairs.pairs import Pairs

_BORDER_PX = 8
_SHEET_ROWS = 8


@torch.no_grad()
def validate(network: nn.Module, pairs: Pairs, sheet: Path) -> dict[str, float]:
    """Mean SSIM of the magnified and of the unmagnified frames against the truth; draws the contact sheet."""
    magnified = network(pairs.frame, pairs.reference, pairs.amplification)
    truths = _to_uint8(pairs.magnified)
    results, frames = _to_uint8(magnified), _to_uint8(pairs.frame)
    draw_contact_sheet(_to_uint8(pairs.reference), frames, results, truths, sheet)
    return {
        "ssim": round(float(np.mean([ssim(a, b) for a, b in zip(results, truths, strict=True)])), 4),
        "ssim_unmagnified": round(
            float(np.mean([ssim(a, b) for a, b in zip(frames, truths, strict=True)])), 4
        ),
    }


def ssim(image: NDArray[np.uint8], truth: NDArray[np.uint8], border_px: int = _BORDER_PX) -> float:
    """SSIM of two RGB pictures (H x W x 3 uint8), inside a border; Wang et al. 2004, uniform 11 x 11 window."""
    inner = slice(border_px, -border_px or None)
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            image[inner, inner], truth[inner, inner], win_size=11, channel_axis=2, data_range=255
        )
    )


def draw_contact_sheet(
    references: NDArray[np.uint8],
    frames: NDArray[np.uint8],
    results: NDArray[np.uint8],
    truths: NDArray[np.uint8],
    path: Path,
) -> None:
    """Write a PNG of pairs, a row each: reference, frame, result, truth, and the result's error (N x H x W x 3)."""
    errors = np.clip(128 + results.astype(np.int16) - truths, 0, 255).astype(np.uint8)
    columns = (references, frames, results, truths, errors)
    rows = [
        np.concatenate([column[i] for column in columns], axis=1)
        for i in range(min(_SHEET_ROWS, len(frames)))
    ]
    picture = Image.fromarray(np.concatenate(rows, axis=0))
    picture = picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST)
    content = io.BytesIO()
    picture.save(content, format="PNG")
    write_atomically(path, content.getvalue())


def _to_uint8(frames: Tensor) -> NDArray[np.uint8]:
    """B x 3 x H x W in [0, 1] -> B x H x W x 3."""
    pixels: NDArray[np.uint8] = (frames.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels

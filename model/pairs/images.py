"""The pictures that training pairs are cut from: photographs from a folder and drawn ones, split by picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from tremorscope.model.errors import ImageFault
from tremorscope.model.pairs.drawing import draw_picture

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_DRAWN_SIZE_PX = 512


@dataclass(frozen=True)
class PictureSet:
    """Pictures to cut from: uint8 tensors 3 x H x W of any size from ``smallest_px`` up."""

    training: tuple[Tensor, ...]
    validation: tuple[Tensor, ...]


def gather_pictures(
    photographs: Path | None, drawn: int, validation_fraction: float, smallest_px: int, seed: int
) -> PictureSet:
    """Photographs of a folder (read recursively, by name) and drawn pictures, some held out for validation.

    Several views of one photograph carry its name up to a trailing number (``beach_0``, ``beach_1``) and stay on
    one side of the split.

    Raises:
        ImageFault: the folder is missing or holds no usable photograph, or there is nothing to train on.
    """
    groups: dict[str, list[Tensor]] = {}
    if photographs is not None:
        for path in list_photographs(photographs):
            picture = read_photograph(path)
            if min(picture.shape[1:]) >= smallest_px:
                groups.setdefault(path.stem.rstrip("0123456789").rstrip("_-"), []).append(picture)
        if not groups:
            raise ImageFault(
                f"{photographs}: no photograph of at least {smallest_px} px on its shorter side",
                remedy="name a folder of larger photographs",
            )
    for index in range(drawn):
        picture = torch.from_numpy(draw_picture(seed + index, _DRAWN_SIZE_PX)).permute(2, 0, 1).contiguous()
        groups[f"drawn {index}"] = [picture]
    if len(groups) < 2:
        raise ImageFault(
            "fewer than two pictures to train on",
            remedy="draw some (data.drawn_pictures) or name more photographs",
        )
    names = sorted(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    held_out = max(1, round(validation_fraction * len(names)))
    training = [picture for i in order[held_out:] for picture in groups[names[i]]]
    validation = [picture for i in order[:held_out] for picture in groups[names[i]]]
    return PictureSet(tuple(training), tuple(validation))


def list_photographs(folder: Path) -> list[Path]:
    """Image files below a folder, sorted by path.

    Raises:
        ImageFault: there is no such folder.
    """
    if not folder.is_dir():
        raise ImageFault(f"{folder}: no such folder", remedy="name a folder of photographs")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)


def read_photograph(path: Path) -> Tensor:
    """A photograph as uint8, 3 x H x W, RGB.

    Raises:
        ImageFault: the file is no image, or damaged.
    """
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise ImageFault(f"{path}: {error}", remedy="remove or replace the file") from None
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

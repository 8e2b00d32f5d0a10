"""Space-time slices: one line of pixels over time, for several methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tremorscope.export.errors import ExportFault
from tremorscope.export.studies.runners import open_magnifiers
from tremorscope.files import reason_of
from tremorscope.model.evaluation.scenes import Frame
from tremorscope.model.files import write_atomically
from tremorscope.runtime.reports.figures import figure, png

_BESIDE_PX = 64
"""Width of the strip on each side of the line, beyond the receptive field of any network."""


@dataclass(frozen=True)
class Strip:
    """Frames of a clip cropped around a line, and the line's position in them."""

    frames: Sequence[Frame]
    at_px: int
    is_column: bool
    where: str

    def line(self, frame: Frame) -> Frame:
        """The line of pixels of a frame of the strip: N x 3."""
        return frame[:, self.at_px] if self.is_column else frame[self.at_px]


def read_strip(clip: Path, most: int, column_px: int | None, row_px: int | None) -> Strip:
    """The first frames of a clip around one column or one row.

    Raises:
        ExportFault: the clip cannot be read, or does not have such a line.
    """
    at_px, is_column = (column_px, True) if column_px is not None else (row_px or 0, False)
    first_px = max(0, at_px - _BESIDE_PX)
    frames = []
    for frame in _frames(clip, most):
        side_px = frame.shape[1 if is_column else 0]
        if at_px >= side_px:
            option = "--column" if is_column else "--row"
            raise ExportFault(
                f"{clip}: {option} {at_px}: the picture ends at {side_px - 1}",
                remedy="choose a line within it",
            )
        part = slice(first_px, at_px + _BESIDE_PX + 1)
        frames.append(np.ascontiguousarray(frame[:, part] if is_column else frame[part]))
    if not frames:
        raise ExportFault(f"{clip}: no frame in it", remedy="name a recorded clip")
    where = f"column {at_px}" if is_column else f"row {at_px}"
    return Strip(frames, at_px - first_px, is_column, where)


def liveliest_column_px(clip: Path, most: int) -> int:
    """The column whose pixels change the most over time.

    Raises:
        ExportFault: the clip cannot be read.
    """
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for frame in _frames(clip, most):
        grey: NDArray[np.float64] = frame.mean(axis=2)
        count, total, squares = count + 1, total + grey, squares + grey**2
    if not count:
        raise ExportFault(f"{clip}: no frame in it", remedy="name a recorded clip")
    variance = squares / count - (total / count) ** 2
    return int(np.argmax(variance.mean(axis=0)))


def magnified_slices(
    strip: Strip,
    models: Sequence[str],
    amplification: float,
    on_progress: Callable[[int, int], None],
) -> dict[str, list[Frame]]:
    """The line over time by title of the method: each frame against the first, N x 3 pixels each.

    Raises:
        BundleFault, WeightsFault: see `open_magnifiers`.
    """
    opened = open_magnifiers(models)
    found: dict[str, list[Frame]] = {title: [] for title in opened}
    for number, title in enumerate(opened):
        for frame in strip.frames:
            found[title].append(strip.line(opened[title](frame, strip.frames[0], amplification)))
            on_progress(number * len(strip.frames) + len(found[title]), len(opened) * len(strip.frames))
    return found


def draw_slices(
    found: Mapping[str, Sequence[Frame]], clip: str, strip: Strip, amplification: float, path: Path
) -> None:
    """Write a PNG: a slice a method, time to the right; ``found`` has the lines, N x 3 each.

    Raises:
        ResultFault: the file cannot be written.
    """
    pictures = {title: np.stack(lines, axis=1) for title, lines in found.items()}
    height, width = next(iter(pictures.values())).shape[:2]
    wide_in = 9.0
    tall_in = min(4.0, max(1.2, wide_in * height / max(width, 2 * height)))
    with figure(wide_in, (tall_in + 0.35) * len(pictures) + 0.6, dpi=100) as drawn:
        grid: Any = drawn.subplots(len(pictures), 1, squeeze=False)
        for axes, (title, picture) in zip(grid[:, 0], pictures.items(), strict=True):
            axes.imshow(picture, aspect="auto", interpolation="nearest")
            axes.set_title(title, fontsize=10)
            axes.set_ylabel("y (px)" if strip.is_column else "x (px)")
        grid[-1, 0].set_xlabel(f"frame of {clip}, {strip.where}, {amplification:g} times")
        write_atomically(path, png(drawn))


def _frames(clip: Path, most: int) -> Iterator[Frame]:
    try:
        with av.open(str(clip)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number == most:
                    return
                yield frame.to_ndarray(format="rgb24")
    except OSError as error:
        raise ExportFault(f"{clip}: {reason_of(error)}", remedy="name a recorded clip") from None
    except (av.error.FFmpegError, IndexError) as error:
        raise ExportFault(
            f"{clip}: no video that can be read ({error})", remedy="name a recorded clip"
        ) from None

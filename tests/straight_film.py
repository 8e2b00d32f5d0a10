"""How straight straight parts stay when compressed film is magnified, by method: RMS about a cubic fit in px.

python tests/straight_film.py realtime lite nano    # bundles to judge; minutes, with the clips beside the checkout
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import Picture, read_video, write_clip  # noqa: E402

from tremorscope.export.studies.runners import open_magnifier  # noqa: E402
from tremorscope.runtime.jobs.magnify import MagnifyJob, magnify_clip  # noqa: E402
from tremorscope.runtime.magnification.filters import BandSettings  # noqa: E402

CLIPS = ROOT.parent / "shared" / "clips"
SETTLED, FRAMES, JUDGED_EVERY = 200, 296, 8
AMPLIFICATIONS = (10.0, 20.0)


@dataclass(frozen=True)
class Rod:
    """A straight, bright, upright part of a recording, before a dark background."""

    clip: str
    rows: slice
    columns: slice
    """Of the part of the picture that is magnified; the rod is in its middle third."""
    rate_hz: float
    band_hz: tuple[float, float]


RODS = {
    "compressor": Rod("nvva_koolkast-cool_fps240.mp4", slice(96, 256), slice(97, 193), 240.0, (30.0, 34.0)),
    "fork": Rod("nvva_tuning_hz64_fps500.mp4", slice(160, 400), slice(258, 354), 500.0, (60.0, 68.0)),
}


def bent_px(pictures: Sequence[Picture]) -> float:
    """RMS distance of a rod's centres, one a row, from the cubic through them; mean over the pictures."""
    return float(np.mean([_bent_px(each) for each in pictures]))


def _bent_px(picture: Picture) -> float:
    side = picture.shape[1] // 3
    red = picture[4:-4, side - 3 : -side + 3, 0].astype(float)  # red: the backgrounds are black and cyan
    level = (red.min(axis=1) + red.max(axis=1))[:, None] / 2
    above = np.maximum(red - level, 0.0)
    centres: NDArray[np.float64] = (above * np.arange(red.shape[1])).sum(axis=1) / above.sum(axis=1)
    rows = np.linspace(-1.0, 1.0, len(centres))
    return float(np.std(centres - np.polyval(np.polyfit(rows, centres, 3), rows)))


def cut_out(rod: Rod, path: Path) -> list[Picture]:
    """The rod's part of a recording, also written without further loss."""
    with av.open(str(CLIPS / rod.clip)) as container:
        decoded = islice(container.decode(video=0), FRAMES)
        whole = (frame.to_ndarray(format="rgb24") for frame in decoded)
        pictures = [np.ascontiguousarray(each[rod.rows, rod.columns]) for each in whole]
    write_clip(path, iter(pictures), rate=30)
    return pictures


def judged(pictures: Sequence[Picture]) -> list[Picture]:
    """Those after a band filter has settled."""
    return list(pictures[SETTLED::JUDGED_EVERY])


def rows(rod: Rod, bundles: Sequence[str], scratch: Path) -> Iterator[tuple[str, list[float]]]:
    """Each method and what it makes of the rod, at each amplification."""
    clip = scratch / "rod.mp4"
    filmed = cut_out(rod, clip)
    yield "filmed", [bent_px(judged(filmed))] * len(AMPLIFICATIONS)
    _, phase_based = open_magnifier("phase-based")
    yield (
        "phase-based",
        [
            bent_px([phase_based(each, filmed[0], amplification) for each in judged(filmed)])
            for amplification in AMPLIFICATIONS
        ],
    )
    for bundle in bundles:
        for mode, band in (("static", None), ("band", BandSettings((rod.band_hz,)))):
            found = []
            for amplification in AMPLIFICATIONS:
                output = scratch / "magnified.mp4"
                job = MagnifyJob(
                    amplification, clip=clip, output=output, mode=mode, band=band, bundle=Path(bundle),
                    capture_rate_hz=rod.rate_hz, overwrite=True,
                )  # fmt: skip
                magnify_clip(job)
                found.append(bent_px(judged(read_video(output)[0])))
            yield f"{bundle}, {mode}", found


def main() -> None:
    for name, rod in RODS.items():
        print(f"{name:22}" + "".join(f"{amplification:7g} x" for amplification in AMPLIFICATIONS))
        with tempfile.TemporaryDirectory() as scratch:
            for method, found in rows(rod, sys.argv[1:] or ["realtime"], Path(scratch)):
                print(f"  {method:20}" + "".join(f"{each:9.2f}" for each in found), flush=True)


if __name__ == "__main__":
    main()

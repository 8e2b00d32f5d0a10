"""A day of a scene that stands still: `PYTHONPATH=. python tests/bridge_still.py [FRAMES]`.

The sun goes over a relief, so that its shading changes sides; exposure follows in steps; the camera warms and cools by
15 K, which shifts the view by 0.5 px and zooms it by 2e-4. A frame stands for some minutes; nothing in it moves.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parent))

from scenes import Picture, filmed, textured

from tremorscope.runtime.vibration.displacement.meter import MotionMeter
from tremorscope.runtime.vibration.displacement.regions import Region

WIDTH, HEIGHT = 240, 180
MEASURED = Region(96, 66, 48, 48)
STILL = (Region(14, 14, 40, 40), Region(186, 14, 40, 40), Region(14, 126, 40, 40), Region(186, 126, 40, 40))
SHIFT_PX, ZOOM, WARMING_K = 0.5, 2e-4, 15.0


@dataclass(frozen=True, eq=False)
class Day:
    """A day, frame by frame."""

    hour: NDArray[np.float64]
    temperature_c: NDArray[np.float64]
    """Of the camera."""
    moved_px: NDArray[np.float64]
    """Displacement of the measured region, (frames, 2)."""
    refreshes: int
    """New references of all regions."""


class StillScene:
    """Albedo and relief under a sun."""

    def __init__(self) -> None:
        self._albedo = textured(5, 1.0, 256)
        relief = ndimage.gaussian_filter(textured(6, 1.2, 256), 1.0, mode="wrap")
        self._slope = np.gradient(relief, axis=1) / np.gradient(relief, axis=1).std()

    def picture(self, hour: float, temperature_c: float) -> Picture:
        """What the camera sees, without noise."""
        height = max(0.0, np.sin(np.pi * (hour - 6) / 12))
        side = np.cos(np.pi * (hour - 6) / 12)
        light = 0.55 + 0.35 * height
        shaded = self._albedo * (light + 0.06 * height * side * self._slope)
        exposure = 2 ** (np.round(2 * np.log2(0.75 / light)) / 2)  # in steps of half a stop
        warm = (temperature_c - 20) / WARMING_K
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
        away_x, away_y = x - WIDTH / 2, y - HEIGHT / 2
        zoom = 1 + ZOOM * warm
        at = [away_y / zoom + HEIGHT / 2 - SHIFT_PX * warm, away_x / zoom + WIDTH / 2 + 0.7 * SHIFT_PX * warm]
        return exposure * ndimage.map_coordinates(shaded, at, order=5, mode="grid-wrap")


def measured_day(frames: int, *, still: bool) -> Day:
    """Measure a day from midnight, with or without still regions."""
    rng, scene = np.random.default_rng(0), StillScene()
    hour = np.arange(frames) * 24 / frames
    temperature_c = 20 + WARMING_K / 2 * (1 - np.cos(2 * np.pi * (hour - 3) / 24))
    first = [filmed(scene.picture(0.0, temperature_c[0]), rng) for _ in range(8)]
    meter = MotionMeter(first[0], [MEASURED], STILL if still else ())
    meter.learn_noise(first)
    moved = []
    for at, degrees in zip(hour, temperature_c, strict=True):
        (motion,) = meter.measure(filmed(scene.picture(float(at), float(degrees)), rng))
        moved.append((motion.x_px, motion.y_px))
    refreshes = sum(each.refreshes for each in (*meter.followers, *meter._still))
    return Day(hour, temperature_c, np.array(moved), refreshes)


def drift_px(day: Day) -> float:
    """Largest mean of an hour, against the first one, along either axis."""
    hours = [np.nanmean(day.moved_px[day.hour.astype(int) == hour], axis=0) for hour in range(24)]
    return float(np.abs(np.array(hours) - hours[0]).max())


def main() -> None:
    """Print the drift of a day."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 1440
    for still in (True, False):
        day = measured_day(frames, still=still)
        print(f"{'with' if still else 'without'} still regions: drift {drift_px(day):.4f} px in 24 h, "
              f"{day.refreshes} new references, lost {np.isnan(day.moved_px[:, 0]).mean():.1%}")  # fmt: skip


if __name__ == "__main__":
    main()

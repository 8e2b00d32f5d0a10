"""The displacement meter beside the Cramer-Rao bound: `PYTHONPATH=. python tests/limit.py [PAIRS [TEXTURE ...]]`.

Pairs of pictures of drawn textures, each with noise of one grey level and rounded to 8 bit, are measured. The bound on
the standard deviation of either axis is sqrt(2) s sqrt(inv(sum g g^T)): s is the noise of one picture, rounding
included, g the exact slopes of the noise-free window, and 2 s^2 the noise of the difference of two noisy pictures. No
unbiased estimate is better, and the bound does not count that the meter solves for a change of light as well. The
second table holds the bias, the mean error: that of motion, against what is found of a picture that did not move, and
that offset itself, which is the same at every place. Every noise is drawn with either sign, so that what it adds to
the error in proportion leaves the mean: a bias is then known thirteen times as soon. The third holds the
spread of many frames against one reference, whose own noise is then a constant, over the bound of one frame's noise
alone, sigma sqrt(inv(sum g g^T)): where the reference is one frame, and where it is the mean of nine.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy import fft

sys.path.insert(0, str(Path(__file__).parent))

from scenes import Picture, filmed, shifted, textured

from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.region_follower import RegionFollower
from tremorscope.runtime.vibration.displacement.regions import Region

REGION = Region(48, 48, 64, 64)
TEXTURES = {"fine": 0.5, "natural": 1.0, "soft": 1.5}
SIGMA = math.sqrt(1 + 1 / 12)
"""Noise of a picture in grey levels, rounding included."""
PLACES_PX = (0.0, 0.1, 0.25, 0.5, 0.75, 1.5)


def bound_px(scene: Picture, region: Region, sigma: float) -> Picture:
    """Least standard deviations along x and y, (2,), of a displacement, for noise of so many grey levels in all."""
    rows, columns = scene.shape
    spectrum = fft.rfft2(scene)
    waves = (fft.rfftfreq(columns)[None, :], fft.fftfreq(rows)[:, None])
    slopes = np.stack(
        [fft.irfft2(2j * np.pi * each * spectrum, scene.shape)[region.slices].ravel() for each in waves]
    )
    least: Picture = sigma * np.sqrt(np.diag(np.linalg.inv(slopes @ slopes.T)))
    return least


def errors_px(
    scene: Picture, place_px: float, pairs: int, film: Callable[[Picture], Picture], sigma: float = 1.0
) -> Picture:
    """Errors (pairs, 2) of a displacement by (place, -place), each pair with noise of its own."""
    moved = shifted(scene, place_px, -place_px)
    found = [RegionTracker(film(scene), REGION, sigma).measure(film(moved)) for _ in range(pairs)]
    return np.array([(each.x_px - place_px, each.y_px + place_px) for each in found])


def errors_of_either_sign_px(scene: Picture, place_px: float, pairs: int, seed: int) -> Picture:
    """Errors (pairs, 2, 2): of each pair with its noise and with the negative of that, along x and y."""
    found = []
    for pair in range(pairs):  # the same noise at every place
        for sign in (1.0, -1.0):
            film = partial(filmed, rng=np.random.default_rng((seed, pair)), sigma=sign)
            found.append(errors_px(scene, place_px, 1, film, SIGMA))
    return np.reshape(found, (pairs, 2, 2))


def spread_over_bound(
    texture: str, noise: float, averaged: bool, references: int = 12, frames: int = 24
) -> float:
    """RMS over references of the spread of frames at 0.5 px, over the bound of one frame's noise."""
    sigma, spreads = math.hypot(noise, 1 / math.sqrt(12)), []
    rng, scene = np.random.default_rng(7), textured(1, TEXTURES[texture])
    moved = shifted(scene, 0.5, -0.5)
    for _ in range(references):
        follower = RegionFollower(filmed(scene, rng, noise), REGION, sigma)
        if averaged:
            around = np.linspace(-0.5, 0.5, 8)
            follower.average_reference([filmed(shifted(scene, d, d), rng, noise) for d in around])
        found = [follower.tracker.measure(filmed(moved, rng, noise)) for _ in range(frames)]
        spreads.append(np.std([(each.x_px, each.y_px) for each in found], axis=0, ddof=1))
    return float(np.sqrt(np.mean(np.square(spreads / bound_px(scene, REGION, sigma)))))


def judged(texture: str, pairs: int, scenes: int = 3) -> Picture:
    """Error over bound, bias, offset and standard errors of both, (5, places): the largest of all scenes and axes."""
    rows = []
    for seed in range(scenes):
        scene = textured(seed, TEXTURES[texture])
        errors = np.stack([errors_of_either_sign_px(scene, each, pairs, 100 + seed) for each in PLACES_PX])
        shares = errors.std(axis=(1, 2), ddof=1) / bound_px(scene, REGION, math.sqrt(2) * SIGMA)
        means = errors.mean(axis=2)  # (places, pairs, axes)
        off = means - means[:1]
        unsure = [each.std(axis=1) / math.sqrt(pairs) for each in (off, means)]
        rows.append([shares, np.abs(off.mean(axis=1)), np.abs(means.mean(axis=1)), *unsure])
    found = np.array(rows)  # (scenes, 5, places, axes)
    overall: Picture = found.max(axis=(0, 3))
    overall[0] = np.sqrt((found[:, 0] ** 2).mean(axis=(0, 2)))
    return overall


def main() -> None:
    """Print the tables."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    wanted = sys.argv[2:] or list(TEXTURES)
    found = {texture: judged(texture, pairs) for texture in wanted}
    print("error over bound".ljust(24) + "".join(f"{place:>9g} px" for place in PLACES_PX))
    for texture, table in found.items():
        print(texture.ljust(24) + "".join(f"{share:>12.2f}" for share in table[0]))
    print("largest bias against the offset at 0 px, its standard error; that offset and its own, px")
    for texture, (_, off, offset, unsure, unsure_of_offset) in found.items():
        print(
            texture.ljust(24) + "".join(f"{each:>12.5f}" for each in off) + f" ± {unsure.max():.5f}; "
            f"{offset[0]:.5f} ± {unsure_of_offset[0]:.5f}"
        )
    print("spread over bound, reference of one frame, and of nine")
    for texture in wanted:
        for noise in (1.0, 6.0):
            one, mean = (spread_over_bound(texture, noise, averaged) for averaged in (False, True))
            print(f"{texture}, noise {noise:g}".ljust(19) + f"{one:>19.2f}{mean:>19.2f}")


if __name__ == "__main__":
    main()

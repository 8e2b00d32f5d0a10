"""Clips drawn, compressed and measured: false peaks, lost tones, and the law of what compression takes.

python tests/phantoms.py                         # 200 clips; ten minutes on two cores
python tests/phantoms.py --clips 60 80 -o a.csv  # some of them; a row a clip
python tests/phantoms.py law a.csv b.csv         # error of the strongest tones against the stated one
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from scenes import shifted, textured  # noqa: E402
from support import Picture, write_clip  # noqa: E402

from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip  # noqa: E402
from tremorscope.runtime.vibration.displacement.regions import Region  # noqa: E402
from tremorscope.runtime.vibration.spectra.peaks import Peak  # noqa: E402

GOPS, CRFS, RATES = (12, 25, 30, 50, 60, 100, 250), (18, 20, 23, 26, 28, 30, 32), (24, 25, 30, 50, 60)
CONVERSIONS = ((24, 30), (15, 30), (25, 30), (30, 24), (30, 25), (50, 60))
MOVING, STILL = (
    (Region(16, 24, 48, 64), Region(64, 40, 48, 48)),
    (Region(144, 16, 48, 48), Region(152, 72, 48, 40)),
)
SIDE_PX, STILL_PX = 128, 96
CLEARLY_VISIBLE = 3.0


@dataclass(frozen=True)
class Case:
    """One clip: what moves in it, and how it is coded."""

    number: int
    rate: int
    filmed_rate: int
    """Rate of the camera, where the clip was converted to another."""
    gop: int
    crf: int
    b_frames: str
    """x264's own choice, none, or always three."""
    preset: str
    seconds: int
    hz: float
    px: float
    """0 for a still scene."""
    noise: float
    exponent: float
    """Of the texture: the higher, the softer."""

    @classmethod
    def of(cls, number: int) -> Case:
        rng = np.random.default_rng(1000 + number)
        rate = filmed = int(rng.choice(RATES))
        if number % 6 == 5:
            filmed, rate = CONVERSIONS[number // 6 % len(CONVERSIONS)]
        is_still = number % 4 == 0
        return cls(
            number,
            rate,
            filmed,
            int(rng.choice(GOPS)),
            int(rng.choice(CRFS)),
            str(rng.choice(["chosen", "none", "three"])),
            str(rng.choice(["medium", "veryfast"])),
            int(rng.choice([10, 15, 20])),
            0.0 if is_still else float(rng.uniform(0.5, 0.42 * filmed)),
            0.0 if is_still else float(np.exp(rng.uniform(math.log(0.05), math.log(0.6)))),
            float(rng.choice([0.5, 1, 2])),
            float(rng.choice([0.6, 1, 1.4])),
        )

    def pictures(self) -> Iterator[Picture]:
        """The left moves along both axes, the right is still; converted by repeating or dropping pictures."""
        rng = np.random.default_rng(self.number)
        moving = textured(self.number, self.exponent, SIDE_PX)
        still = textured(self.number + 5000, self.exponent, SIDE_PX)[:, :STILL_PX]
        filmed = []
        for number in range(self.seconds * self.filmed_rate):
            moved = self.px * math.sin(2 * math.pi * self.hz * number / self.filmed_rate + 0.3)
            whole = np.concatenate([shifted(moving, moved, moved / 2), still], axis=1)
            noisy = np.rint(whole + self.noise * rng.standard_normal(whole.shape))
            filmed.append(np.clip(noisy, 0, 255).astype(np.uint8))
        for number in range(self.seconds * self.rate):
            yield np.repeat(filmed[number * self.filmed_rate // self.rate][..., None], 3, axis=2)

    def write(self, path: Path) -> Path:
        options = {"crf": str(self.crf), "g": str(self.gop), "preset": self.preset, "threads": "1"}
        options |= {"none": {"bf": "0"}, "three": {"bf": "3", "b_strategy": "0"}}.get(self.b_frames, {})
        return write_clip(
            path, self.pictures(), codec="libx264", pixel_format="yuv420p", rate=self.rate, options=options
        )

    def is_true(self, peak: Peak) -> bool:
        """True for the tone; above half the clip's rate, after a conversion to fewer pictures, it is seen folded."""
        within_hz = max(0.5 / self.seconds, 4 * peak.frequency_sigma_hz)
        seen_hz = abs(math.remainder(self.hz, self.rate))
        return self.px > 0 and abs(peak.frequency_hz - seen_hz) < within_hz


@dataclass(frozen=True)
class Result:
    """What was measured in one clip."""

    number: int
    false_peaks: int
    """Peaks that are told as motion, no multiple of another, and none."""
    multiples: int
    false_modes: int
    artefacts: int
    visible_px: float
    """Smallest visible amplitude, of the better of the moving regions."""
    must_show: bool
    shows: bool
    true_px: float
    found_px: float
    """Amplitude at the true frequency; 0 where it is not told as motion."""
    sigma_px: float
    worst_hz: float
    """The strongest false peak; 0 of none."""


def measure(case: Case, path: Path) -> Result:
    """Measure one clip as a user would, in named regions."""
    analysis = measure_clip(MeasureJob(path, None, (*MOVING, *STILL))).analysis
    false = [each for each in analysis.findings if not case.is_true(each.peak)]
    unmarked = [each for each in false if each.multiple_of is None]
    true = [each for each in analysis.findings if case.is_true(each.peak)]
    visible_px = max(each.smallest_visible_px("x") for each in analysis.regions[: len(MOVING)])
    best = max(true, key=lambda each: each.peak.amplitude).peak if true else None
    return Result(
        case.number,
        len(unmarked),
        len(false) - len(unmarked),
        sum(not case.is_true(mode.peak) for mode in analysis.modes),
        len(analysis.artefacts),
        visible_px,
        case.px > CLEARLY_VISIBLE * visible_px,
        bool(true),
        case.px,
        best.amplitude if best else 0.0,
        best.amplitude_sigma if best else 0.0,
        unmarked[0].peak.frequency_hz if unmarked else 0.0,
    )


def told(results: list[Result]) -> list[str]:
    """The figures that docs/measuring.md states."""
    clear = [each for each in results if each.must_show]
    off = [abs(each.found_px - each.true_px) / each.sigma_px for each in results if each.shows]
    return [
        f"clips {len(results)}, of them still {sum(each.true_px == 0 for each in results)}",
        f"with an unmarked false peak {sum(each.false_peaks > 0 for each in results)}, "
        f"with a false multiple {sum(each.multiples > 0 for each in results)}, "
        f"with a false mode {sum(each.false_modes > 0 for each in results)}",
        f"tones of {CLEARLY_VISIBLE:g} times the smallest visible {len(clear)}, lost {sum(not e.shows for e in clear)}",
        f"tones found {len(off)}, amplitude within one stated sigma {np.mean(np.array(off) < 1):.0%}, "
        f"within two {np.mean(np.array(off) < 2):.0%}",
        f"peaks marked as artefacts {sum(each.artefacts for each in results)}",
    ]


def read(paths: list[str]) -> list[Result]:
    kinds = {each.name: each.type for each in fields(Result)}
    make = {"int": int, "float": float, "bool": lambda text: text == "True"}
    found = []
    for path in paths:
        with open(path, newline="") as file:
            found += [
                Result(**{name: make[str(kinds[name])](text) for name, text in row.items()})
                for row in csv.DictReader(file)
            ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("law", nargs="*", help="law, then tables of earlier runs to summarise")
    parser.add_argument("--clips", type=int, nargs=2, default=(0, 200), metavar=("FROM", "TO"))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.law:
        print("\n".join(told(read(options.law[1:]))))
        return
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(*options.clips):
            case = Case.of(number)
            results.append(measure(case, case.write(Path(scratch) / "clip.mp4")))
            print(results[-1], flush=True)
            if options.output:
                with options.output.open("w", newline="") as file:
                    table = csv.DictWriter(file, [each.name for each in fields(Result)])
                    table.writeheader()
                    table.writerows(asdict(each) for each in results)
    print("\n".join(told(results)))


if __name__ == "__main__":
    main()

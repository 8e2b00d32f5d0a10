"""Protocols whose trials have figures of their own: lines of their tables as they come, and rows for a CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tremorscope.model.evaluation import field_protocols, small_motion, straightness
from tremorscope.model.evaluation.evaluate import Magnifier
from tremorscope.model.evaluation.scenes import Frame

Rows = list[dict[str, object]]


def _structures(opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows) -> Iterator[str]:
    yield from _head("structures: SSIM / centre line off by px / change of what is still", pictures, opened)
    yield from _table(
        straightness.run(opened, pictures),
        lambda t: f"{t.kind}, {t.displacement_px:g} -> {t.target_px:g} px",
        lambda t: f"{t.ssim:.3f} / {t.centre_line_px:5.2f} / {t.still_change:4.2f}",
        rows,
    )


def _small_motion(opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows) -> Iterator[str]:
    yield from _head("small motion: gain over what is asked (spread) / harmonics in %", pictures, opened)
    yield from _table(
        small_motion.run(opened, pictures),
        lambda t: f"{t.displacement_px:g} px x{t.amplification:g}, noise {t.noise_grey_levels:g}",
        lambda t: f"{t.gain:.3f} ({t.gain_spread:.3f}) / {100 * t.harmonics:4.1f} %",
        rows,
    )


def _field(
    name: str, opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows
) -> Iterator[str]:
    """A protocol of `model.evaluation.field_protocols`, by its name there."""
    yield from _head(f"{name}: SSIM (spread between scenes) / PSNR in dB", pictures, opened)
    yield from _table(
        field_protocols.run(opened, field_protocols.field_cases(name, pictures)),
        lambda t: f"{t.kind}: {t.displacement_px:g} px x{t.amplification:.4g}, noise {t.noise_grey_levels:g}",
        lambda t: f"{t.ssim:.3f} ({t.ssim_spread:.2f}) / {t.psnr_db:5.2f}",
        rows,
    )


def _head(title: str, pictures: Sequence[Frame], opened: Mapping[str, Magnifier]) -> Iterator[str]:
    what, _, figures = title.partition(":")
    yield f"\n{what}, {len(pictures)} photographs:{figures}"
    yield f"{'':<40}" + "".join(f"{title:>26}" for title in opened)


def _table(
    series: Iterable[Mapping[str, Any]],
    case: Callable[[Any], str],
    figures: Callable[[Any], str],
    rows: Rows,
) -> Iterator[str]:
    for trials in series:
        first = next(iter(trials.values()))
        rows += [{"magnifier": title, **vars(trial)} for title, trial in trials.items()]
        yield f"{case(first):<40}" + "".join(f"{figures(trial):>26}" for trial in trials.values())


_Judge = Callable[[Mapping[str, Magnifier], Sequence[Frame], Rows], Iterator[str]]
JUDGES: Mapping[str, _Judge] = {
    "structures": _structures,
    "small-motion": _small_motion,
    **{name: partial(_field, name) for name in field_protocols.NAMES},
}
"""Judge of each protocol by its name: yields the lines of its table as they are found, and appends to the rows."""

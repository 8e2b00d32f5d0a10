"""Protocols whose trials have figures of their own: lines of their tables as they come, and rows for a CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tremorscope.model.evaluation.evaluate import Magnifier
    from tremorscope.model.evaluation.scenes import Frame

Rows = list[dict[str, object]]


def judge_alone(
    name: str, opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows
) -> Iterator[str]:
    """Judge on one of `ALONE`; yields the lines of its table as they are found, and appends to ``rows``."""
    judges = {"structures": _structures, "small-motion": _small_motion}
    return judges[name](opened, pictures, rows) if name in judges else _field(name, opened, pictures, rows)


ALONE = ("structures", "small-motion", "axial", "fd4mm", "geomag")


def _structures(opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows) -> Iterator[str]:
    """The protocol of `model.evaluation.straightness`."""
    from tremorscope.model.evaluation.straightness import run

    yield from _head("structures: SSIM / centre line off by px / change of what is still", pictures, opened)
    yield from _table(
        run(opened, pictures),
        lambda t: f"{t.kind}, {t.displacement_px:g} -> {t.target_px:g} px",
        lambda t: f"{t.ssim:.3f} / {t.centre_line_px:5.2f} / {t.still_change:4.2f}",
        rows,
    )


def _small_motion(opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows) -> Iterator[str]:
    """The protocol of `model.evaluation.small_motion`."""
    from tremorscope.model.evaluation.small_motion import run

    yield from _head("small motion: gain over what is asked (spread) / harmonics in %", pictures, opened)
    yield from _table(
        run(opened, pictures),
        lambda t: f"{t.displacement_px:g} px x{t.amplification:g}, noise {t.noise_grey_levels:g}",
        lambda t: f"{t.gain:.3f} ({t.gain_spread:.3f}) / {100 * t.harmonics:4.1f} %",
        rows,
    )


def _field(
    name: str, opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows
) -> Iterator[str]:
    """A protocol of `model.evaluation.field_protocols`, by its name there."""
    from tremorscope.model.evaluation.field_protocols import field_cases, run

    yield from _head(f"{name}: SSIM (spread between scenes) / PSNR in dB", pictures, opened)
    yield from _table(
        run(opened, field_cases(name, pictures)),
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

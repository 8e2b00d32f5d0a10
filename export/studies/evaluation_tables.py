"""Protocols whose trials have figures of their own: judged, printed as they come, and given as rows of a CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tremorscope.model.evaluation.evaluate import Magnifier
    from tremorscope.model.evaluation.scenes import Frame

Rows = list[dict[str, object]]


def judge_structures(opened: Mapping[str, Magnifier], pictures: Sequence[Frame]) -> Rows:
    """The protocol of `model.evaluation.straightness`."""
    from tremorscope.model.evaluation.straightness import run

    _head("structures: SSIM / centre line off by px / change of what is still", pictures, opened)
    return _tell(
        run(opened, pictures),
        lambda t: f"{t.kind}, {t.displacement_px:g} -> {t.target_px:g} px",
        lambda t: f"{t.ssim:.3f} / {t.centre_line_px:5.2f} / {t.still_change:4.2f}",
    )


def judge_small_motion(opened: Mapping[str, Magnifier], pictures: Sequence[Frame]) -> Rows:
    """The protocol of `model.evaluation.small_motion`."""
    from tremorscope.model.evaluation.small_motion import run

    _head("small motion: gain over what is asked (spread) / harmonics in %", pictures, opened)
    return _tell(
        run(opened, pictures),
        lambda t: f"{t.displacement_px:g} px x{t.amplification:g}, noise {t.noise_grey_levels:g}",
        lambda t: f"{t.gain:.3f} ({t.gain_spread:.3f}) / {100 * t.harmonics:4.1f} %",
    )


def judge_field(name: str, opened: Mapping[str, Magnifier], pictures: Sequence[Frame]) -> Rows:
    """A protocol of `model.evaluation.field_protocols`, by its name there."""
    from tremorscope.model.evaluation.field_protocols import field_cases, run

    _head(f"{name}: SSIM (spread between scenes) / PSNR in dB", pictures, opened)
    return _tell(
        run(opened, field_cases(name, pictures)),
        lambda t: f"{t.kind}: {t.displacement_px:g} px x{t.amplification:.4g}, noise {t.noise_grey_levels:g}",
        lambda t: f"{t.ssim:.3f} ({t.ssim_spread:.2f}) / {t.psnr_db:5.2f}",
    )


def _head(title: str, pictures: Sequence[Frame], opened: Mapping[str, Magnifier]) -> None:
    what, _, figures = title.partition(":")
    click.echo(f"\n{what}, {len(pictures)} photographs:{figures}")
    click.echo(f"{'':<40}" + "".join(f"{title:>26}" for title in opened))


def _tell(
    series: Iterable[Mapping[str, Any]], case: Callable[[Any], str], figures: Callable[[Any], str]
) -> Rows:
    rows: Rows = []
    for trials in series:
        first = next(iter(trials.values()))
        click.echo(f"{case(first):<40}" + "".join(f"{figures(trial):>26}" for trial in trials.values()))
        rows += [{"magnifier": title, **vars(trial)} for title, trial in trials.items()]
    return rows

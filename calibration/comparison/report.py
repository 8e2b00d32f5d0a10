"""Report of a comparison: one self-contained HTML page, and its picture of what each precision makes of a motion."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from tremorscope.calibration.comparison.comparison import PrecisionComparison, Verdict
from tremorscope.calibration.comparison.contestants import Contestant
from tremorscope.calibration.judging.judging import Agreement, Condition, ConditionScore, Material
from tremorscope.calibration.pairs.calibration_set import Picture
from tremorscope.calibration.quantise.sensitivity import Sensitivity
from tremorscope.model.evaluation.scenes import WholeFrame
from tremorscope.model.pairs.drawing import to_8_bit
from tremorscope.runtime.reports.figures import figure, png
from tremorscope.runtime.reports.html_style import facts, html_page, picture, table_section

_CROP_PX = 144
_ERROR_GAIN = 8


def draw_pictures(contestants: Sequence[Contestant], material: Material) -> bytes:
    """A row a condition: truth and magnified pictures, and below each its difference from the first, times 8."""
    rows, columns = len(material.conditions), 1 + len(contestants)
    with figure(2.3 * columns, 4.9 * rows, dpi=120) as drawn:
        grid = drawn.add_gridspec(2 * rows, columns)
        for row, condition in enumerate(material.conditions):
            shown = _shown(contestants, material.photographs[0], condition)
            for column, (title, picture) in enumerate(shown):
                upper = drawn.add_subplot(grid[2 * row, column])
                upper.imshow(picture, interpolation="nearest")
                upper.set_title(title, fontsize=9.5)
                lower = drawn.add_subplot(grid[2 * row + 1, column])
                lower.imshow(_difference(picture, shown[1][1]), interpolation="nearest")
                lower.set_title("" if column == 1 else f"minus {shown[1][0]}, x{_ERROR_GAIN}", fontsize=8.5)
                for axes in (upper, lower):
                    axes.set_axis_off()
        return png(drawn)


def _shown(
    contestants: Sequence[Contestant], photograph: Picture, condition: Condition
) -> list[tuple[str, Picture]]:
    scene = WholeFrame(photograph, angle=0.6)
    truth, frame, reference = (
        to_8_bit(scene.picture(each)) for each in (condition.target_px, condition.displacement_px, 0.0)
    )
    results = [(each.name, each.magnify(frame, reference, condition.amplification)) for each in contestants]
    middle = slice((truth.shape[0] - _CROP_PX) // 2, (truth.shape[0] + _CROP_PX) // 2)
    return [(name, picture[middle, middle]) for name, picture in [(f"truth, {condition}", truth), *results]]


def _difference(picture: Picture, first: Picture) -> Picture:
    difference = 128 + _ERROR_GAIN * (picture.astype(np.int16) - first)
    shown: Picture = np.clip(difference, 0, 255).astype(np.uint8)
    return shown


_MORE_STYLE = (
    ".bad { color: #b3261e; font-weight: 600; } .good { color: #1a7f37; } "
    ".bar { display: inline-block; height: .7em; background: #0072B2; border-radius: 2px; }"
    "td, th { white-space: nowrap; } td.text { white-space: normal; } section { overflow-x: auto; }"
)
_METHOD = """
<p>Sub-pixel test after Oh et al. (ECCV 2018): photographs shifted exactly by the stated displacement, each in a
direction of its own, are magnified to 10 px; SSIM and the displacement reached are judged against the exactly shifted
photograph, inside a border of 16 px. Losses are differences between means over the same photographs, so what differs
between photographs cancels.</p>
<p>Noise floor: a motionless picture is filmed twice with noise of its own each time and magnified; blocks of 48 px are
registered on the clean picture, and the RMS of the displacements found along an axis, divided by the amplification, is
the noise floor. True motion of that size would show as much.</p>
<p>&ldquo;Features subtracted&rdquo; is the same INT8 graph with one change: frame and reference are encoded apart,
written in INT8, and then subtracted. The graph that is deployed takes the difference of the 8-bit pixels first, which
is exact, and encodes that.</p>
<p>Grey levels are differences from the picture that FP32 makes of the same input, over all pixels and channels.</p>
"""


def report_page(comparison: PrecisionComparison, pictures: bytes, extra: str = "") -> str:
    """The whole page; ``pictures`` is a PNG, ``extra`` are further sections as HTML."""
    title = f"Accuracy of {comparison.network}"
    body = [
        _cards(comparison),
        _reasons(comparison),
        *(_condition(comparison, index) for index in range(len(comparison.material.conditions))),
        _still(comparison),
        _on_set(comparison),
        picture("Side by side", pictures, "The same motion magnified by each precision"),
        _sensitivity(comparison.sensitivity),
        extra,
        _judged_on(comparison),
        f"<section><h2>How this was measured</h2>{_METHOD}</section>",
    ]
    return html_page(title, body, more_style=_MORE_STYLE)


def _table(title: str, headings: list[str], rows: list[list[str]], remark: str) -> str:
    """A table whose first column may be wrapped."""
    return table_section(title, headings, rows, remark, ["text", *("" for _ in headings[1:])])


def _cards(comparison: PrecisionComparison) -> str:
    cards = []
    for index, verdict in enumerate(comparison.verdicts):
        if verdict.contestant.is_for_show:
            continue
        state = "yardstick" if index == 0 else "deployable" if verdict.deployable else "not deployable"
        style = "" if verdict.deployable else " first"
        cards.append(
            f'<div class="card{style}"><p class=small>{escape(verdict.contestant.name)}</p>'
            f"<p class=big>{state}</p><p class=small>{_size(comparison, verdict)}</p></div>"
        )
    return f"<section class=cards>{''.join(cards)}</section>"


def _size(comparison: PrecisionComparison, verdict: Verdict) -> str:
    nbytes, first = verdict.contestant.nbytes, comparison.verdicts[0].contestant.nbytes
    smaller = "" if nbytes == first else f", {first / nbytes:.1f} times smaller than FP32"
    return f"{nbytes / 1e6:.2f} MB{smaller}"


def _reasons(comparison: PrecisionComparison) -> str:
    items = "".join(
        f"<li><b>{escape(verdict.contestant.name)}</b> {escape(reason)}</li>"
        for verdict in comparison.verdicts
        if not verdict.contestant.is_for_show
        for reason in verdict.reasons
    )
    return f"<section class=notes><h2>Lost too much</h2><ul>{items}</ul></section>" if items else ""


def _condition(comparison: PrecisionComparison, index: int) -> str:
    condition = comparison.material.conditions[index]
    fp32 = comparison.verdicts[0].score.conditions[index]
    headings = ["", "SSIM", "reached", "gain error", "noise floor", "worst, mean<br>grey levels"]
    rows = [
        [
            f"<b>{escape(verdict.contestant.name)}</b>",
            *_cells(verdict, verdict.score.conditions[index], fp32),
        ]
        for verdict in comparison.verdicts
    ]
    return _table(
        f"{condition.displacement_px:g} px magnified {condition.amplification:g} times",
        headings,
        rows,
        f"Unmagnified, the frame has an SSIM of {fp32.ssim_unmagnified:.3f}. Gain error is that of the displacement "
        f"against FP32's; {condition.target_px:g} px were asked for. Noise of "
        f"{comparison.material.noise_grey_levels:g} grey levels for the noise floor.",
    )


def _cells(verdict: Verdict, score: ConditionScore, fp32: ConditionScore) -> list[str]:
    exceeded = {loss.what for loss in verdict.losses if loss.exceeds and loss.where == str(score.condition)}

    def cell(what: str, text: str) -> str:
        return f"<span class=bad>{text}</span>" if what in exceeded else text

    first = score is fp32
    worst = (
        ""
        if score.agreement is None
        else f"{score.agreement.worst_grey_levels}, {score.agreement.mean_grey_levels:.3f}"
    )
    return [
        cell("SSIM", f"{score.ssim:.4f}" + ("" if first else f" ({score.ssim - fp32.ssim:+.4f})")),
        f"{score.reached_px:.3f} &plusmn; {score.reached_spread_px:.3f} px",
        "" if first else cell("displacement", f"{score.reached_px / fp32.reached_px - 1.0:+.2%}"),
        f"{score.noise_floor_px:.5f} px"
        + ("" if first else cell("noise", f" ({score.noise_floor_px / fp32.noise_floor_px:.3f} x)")),
        cell("pixel", worst),
    ]


def _agreement(found: Agreement | None) -> str:
    if found is None:
        return ""
    return f"{found.worst_grey_levels}, {found.mean_grey_levels:.3f}, {found.ssim:.4f}"


def _on_set(comparison: PrecisionComparison) -> str:
    """Table of the agreement with FP32 on the user's own frames."""
    if not comparison.material.pairs:
        return ""
    rows = [
        [
            f"<b>{escape(verdict.contestant.name)}</b>",
            *(_agreement(each.on_set) for each in verdict.score.conditions),
        ]
        for verdict in comparison.verdicts[1:]
    ]
    headings = [f"up to x{condition.amplification:g}" for condition in comparison.material.conditions]
    return _table(
        "On your own frames",
        ["", *headings],
        rows,
        "Worst and mean difference from FP32's picture in grey levels, and SSIM to it. No motion is magnified beyond "
        "30 px. There is no ground truth for these frames, so they do not count in the verdict.",
    )


def _still(comparison: PrecisionComparison) -> str:
    fp32 = comparison.verdicts[0].score.still_ssim
    rows = [
        [
            f"<b>{escape(verdict.contestant.name)}</b>",
            f"{verdict.score.still_ssim:.4f}"
            + (f" ({verdict.score.still_ssim - fp32:+.4f})" if index else ""),
        ]
        for index, verdict in enumerate(comparison.verdicts)
    ]
    return _table(
        "A still frame", ["", "SSIM to itself"], rows, "A frame that equals its reference must stay as it is."
    )


def _sensitivity(found: Sensitivity | None) -> str:
    if found is None:
        return ""
    layers = _table(
        "Which layers cost the quality",
        [
            "in INT8, all others in FP32",
            "error where it moves<br>(RMS, grey levels)",
            "false motion at rest<br>(RMS, noise floors)",
            "share of both",
        ],
        [
            [
                f"<b>{escape(each.layer)}</b>",
                f"{each.rms_grey_levels:.3f}",
                f"{each.false_motion:.3f}",
                f"{_bar(each.share)} {each.share:.1%}",
            ]
            for each in found.layers
        ],
        "A layer whose inputs are always zero costs nothing.",
    )
    trials = _table(
        "What to keep in floating point",
        ["kept", "error (RMS, grey levels)", "lost too much"],
        [
            [
                escape(", ".join(each.layers)) or "nothing",
                f"{each.rms_grey_levels:.3f}",
                "<br>".join(f"<span class=bad>{escape(reason)}</span>" for reason in each.reasons)
                or "<span class=good>within the limits</span>",
            ]
            for each in found.trials
        ],
        "Each line was measured, on fewer photographs than above, with the scales of the INT8 bundle.",
    )
    return layers + trials


def _bar(share: float) -> str:
    return f'<span class=bar style="width:{max(1, round(160 * share))}px"></span>'


def _judged_on(comparison: PrecisionComparison) -> str:
    material = comparison.material
    entries = [
        ("Photographs", f"{len(material.photographs)}, {escape(comparison.photographs_from)}"),
        (
            "Your frames",
            f"{len(material.pairs)} pairs of the set {comparison.calibration_sha256[:16]}"
            if comparison.calibration_sha256
            else "none named (--calibration)",
        ),
        ("Noise on the inputs of the test", f"{material.input_noise_grey_levels:g} grey levels"),
    ]
    return facts("Judged on", entries)

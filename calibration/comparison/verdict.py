"""How much a precision may lose against FP32, and whether a bundle lost more."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tremorscope.runtime.engines.interface.bundle import Precision


@dataclass(frozen=True)
class Limits:
    """The most that may be lost against FP32."""

    ssim_loss: float
    """Of the SSIM against the truth, in every condition and for a still frame."""
    displacement_error: float
    """Of the displacement reached, as a share of FP32's."""
    noise_ratio: float
    """The noise floor over that of FP32."""
    grey_levels: int | None = None
    """Worst pixel; None sets no limit: where a picture is redrawn a little further on, edges differ by much."""


DEFAULTS: dict[Precision, Limits] = {
    "fp32": Limits(ssim_loss=0.001, displacement_error=0.005, noise_ratio=1.02, grey_levels=2),
    "fp16": Limits(ssim_loss=0.001, displacement_error=0.005, noise_ratio=1.02, grey_levels=2),
    "int8": Limits(ssim_loss=0.01, displacement_error=0.02, noise_ratio=1.1),
}


@dataclass(frozen=True)
class LimitChanges:
    """Limits that a user set; None leaves the default of the precision."""

    ssim_loss: float | None = None
    displacement_error: float | None = None
    noise_ratio: float | None = None
    grey_levels: int | None = None

    def applied_to(self, precision: Precision) -> Limits:
        """The limits of a precision with these changes."""
        return replace(
            DEFAULTS[precision], **{key: value for key, value in vars(self).items() if value is not None}
        )


@dataclass(frozen=True)
class Loss:
    """What was lost in one place, against the limit there."""

    where: str
    """The condition, e.g. ``0.05 px x200``."""
    what: str
    value: float
    limit: float
    text: str
    """Both, for a person."""

    @property
    def exceeds(self) -> bool:
        """Whether more is lost than may be; a figure that is none counts as lost."""
        return not self.value <= self.limit


def ssim_loss(where: str, fp32: float, found: float, limits: Limits) -> Loss:
    """SSIM against the truth, of FP32 and of the bundle; a gain counts as none lost."""
    lost = fp32 - found
    return Loss(
        where, "SSIM", lost, limits.ssim_loss, f"SSIM lower by {lost:.4f} (limit {limits.ssim_loss:g})"
    )


def displacement_error(where: str, fp32_px: float, found_px: float, limits: Limits) -> Loss:
    """Displacement reached, of FP32 and of the bundle: too far is as wrong as too short."""
    share = abs(found_px / fp32_px - 1.0) if fp32_px else float("inf")
    text = f"displacement off by {share:.2%} (limit {limits.displacement_error:.2%})"
    return Loss(where, "displacement", share, limits.displacement_error, text)


def noise_ratio(where: str, fp32_px: float, found_px: float, limits: Limits) -> Loss:
    """Noise floors of FP32 and of the bundle."""
    ratio = found_px / fp32_px if fp32_px else float("inf")
    return Loss(
        where,
        "noise",
        ratio,
        limits.noise_ratio,
        f"noise floor {ratio:.3f} times (limit {limits.noise_ratio:g})",
    )


def worst_pixel(where: str, grey_levels: int, limits: Limits) -> Loss | None:
    """The worst pixel, where there is a limit for it."""
    if limits.grey_levels is None:
        return None
    text = f"worst pixel off by {grey_levels} grey levels (limit {limits.grey_levels})"
    return Loss(where, "pixel", grey_levels, limits.grey_levels, text)

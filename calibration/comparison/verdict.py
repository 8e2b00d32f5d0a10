"""Limits of the loss of a precision against FP32, and the losses of a bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tremorscope.runtime.engines.interface.manifest import Precision


@dataclass(frozen=True)
class LossLimits:
    """Largest allowed losses against FP32."""

    ssim_loss: float
    """Loss of SSIM to the truth, in every condition and for a still frame."""
    displacement_error: float
    """Error of the displacement reached, as a share of FP32's."""
    noise_ratio: float
    """The noise floor over that of FP32."""
    grey_levels: int | None = None
    """Error of the worst pixel; None sets no limit, since a small shift of an edge changes its pixels much."""


DEFAULTS: dict[Precision, LossLimits] = {
    "fp32": LossLimits(ssim_loss=0.001, displacement_error=0.005, noise_ratio=1.02, grey_levels=2),
    "fp16": LossLimits(ssim_loss=0.001, displacement_error=0.005, noise_ratio=1.02, grey_levels=2),
    "int8": LossLimits(ssim_loss=0.01, displacement_error=0.02, noise_ratio=1.1),
}


@dataclass(frozen=True)
class LimitChanges:
    """Limits set by the user; None for the default of the precision."""

    ssim_loss: float | None = None
    displacement_error: float | None = None
    noise_ratio: float | None = None
    grey_levels: int | None = None

    def applied_to(self, precision: Precision) -> LossLimits:
        """The limits of a precision with these changes."""
        return replace(
            DEFAULTS[precision], **{key: value for key, value in vars(self).items() if value is not None}
        )


@dataclass(frozen=True)
class Loss:
    """One loss and its limit."""

    where: str
    """The condition, e.g. ``0.05 px x200``."""
    what: str
    value: float
    limit: float
    text: str
    """Loss and limit in words."""

    @property
    def exceeds(self) -> bool:
        """True beyond the limit, and for NaN."""
        return not self.value <= self.limit


def ssim_loss(where: str, fp32: float, found: float, limits: LossLimits) -> Loss:
    """Loss of SSIM to the truth from FP32 to the bundle; negative for a gain."""
    lost = fp32 - found
    return Loss(
        where, "SSIM", lost, limits.ssim_loss, f"SSIM lower by {lost:.4f} (limit {limits.ssim_loss:g})"
    )


def displacement_error(where: str, fp32_px: float, found_px: float, limits: LossLimits) -> Loss:
    """Relative error of the bundle's displacement against FP32's, in either direction."""
    share = abs(found_px / fp32_px - 1.0) if fp32_px else float("inf")
    text = f"displacement off by {share:.2%} (limit {limits.displacement_error:.2%})"
    return Loss(where, "displacement", share, limits.displacement_error, text)


def noise_ratio(where: str, fp32_px: float, found_px: float, limits: LossLimits) -> Loss:
    """Ratio of the bundle's noise floor to FP32's."""
    ratio = found_px / fp32_px if fp32_px else float("inf")
    return Loss(
        where,
        "noise",
        ratio,
        limits.noise_ratio,
        f"noise floor {ratio:.3f} times (limit {limits.noise_ratio:g})",
    )


def worst_pixel(where: str, grey_levels: int, limits: LossLimits) -> Loss | None:
    """Error of the worst pixel; None without a limit for it."""
    if limits.grey_levels is None:
        return None
    text = f"worst pixel off by {grey_levels} grey levels (limit {limits.grey_levels})"
    return Loss(where, "pixel", grey_levels, limits.grey_levels, text)

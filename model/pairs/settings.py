"""Settings of training pairs: motion, layers, noise, compression, light."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

KERNEL_HALF_WIDTH = 6
"""Half width of the sampling kernel in output pixels."""
MAX_ZOOM_OUT = 1.5
"""Largest number of source pixels per output pixel; the smallest is 1."""


class PairSettings(BaseModel):
    """Settings of training pairs; shares are of pairs or of layers, 0 to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch_px: int = Field(default=80, ge=16)
    foreground_layers: int = Field(default=2, ge=0)
    input_motion_max_px: float = Field(default=10.0, gt=0)
    magnified_motion_max_px: float = Field(default=30.0, gt=0)
    amplification_min: float = Field(default=1.0, ge=1.0)
    amplification_max: float = Field(default=100.0, gt=1.0)
    still_background_share: float = Field(default=0.3, ge=0, le=1)
    moving_whole_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the pairs with a moving background in which everything moves alike, as before a camera that shakes."""
    still_layer_share: float = Field(default=0.15, ge=0, le=1)
    structure_share: float = Field(default=0.0, ge=0, le=1)
    """Share of moving layers that are bars, cables, trusses or lattices of nearly one colour."""
    bent_share: float = Field(default=0.4, ge=0, le=1)
    """Share of those that bend as they move; the others move rigidly."""
    two_layers: bool = False
    """Add the truth as two layers: foreground, and background with its hidden part (`model.pairs.layer_truth`)."""
    low_contrast_share: float = Field(default=0.15, ge=0, le=1)
    blurred_share: float = Field(default=0.15, ge=0, le=1)
    noiseless_share: float = Field(default=0.25, ge=0, le=1)
    noise_max_grey_levels: float = Field(default=6.0, ge=0)
    """Largest standard deviation of shot noise at mid-grey, in 8-bit grey levels."""
    compression_share: float = Field(default=0.4, ge=0, le=1)
    """Share of pairs with additional patchy noise, as video compression leaves it."""
    compression_max_grey_levels: float = Field(default=1.5, ge=0)
    flicker_share: float = Field(default=0.3, ge=0, le=1)
    """Share of pairs whose light changes between reference and frame, which the network must not take for motion."""
    flicker_max: float = Field(default=0.02, ge=0, lt=0.5)
    """Largest relative change of brightness."""

    @property
    def window_px(self) -> int:
        """Side of the square cut from a picture, large enough for any motion and zoom of one patch."""
        reach = self.patch_px + 2 * self.magnified_motion_max_px
        return math.ceil(reach * MAX_ZOOM_OUT + 2 * KERNEL_HALF_WIDTH * MAX_ZOOM_OUT) + 2

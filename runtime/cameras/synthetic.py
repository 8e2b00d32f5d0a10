"""Synthetic camera: a drawn footbridge that vibrates in known modes, as ground truth without hardware."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from tremorscope.runtime.cameras import footbridge
from tremorscope.runtime.cameras.canvas import DESIGN_HEIGHT, DESIGN_WIDTH, OVERSAMPLING, Array
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.frame import FrameInfo

_BLUR_SIGMA_PX = 0.6
"""Blur of lens and pixel aperture together, as a Gaussian: detail finer than a pixel is gone before sampling."""
_NEGLIGIBLE = 0.005
"""Grey levels below which a term of the power series is left out."""
_LARGEST_DISPLACEMENT_PX = 1.0
_PADDING_PX = 8
_POOL_FRAMES = 2
"""Frames' worth of noise that is drawn once where noise is reused."""
_PATCH_WIDTH = 64.0
_PATCH_MARGIN_PX = 2.0
"""Distance from the girder's edges, where the blur mixes in the still background."""


@dataclass(frozen=True)
class SyntheticMode:
    """One mode of vibration: ``half_waves`` of a sine along the span, at rest on both supports."""

    frequency_hz: float
    amplitude_px: float
    """Largest displacement along the span, in pixels."""
    half_waves: int = 1
    phase_rad: float = 0.0
    """Phase of the sine at time 0."""


FOOTBRIDGE_MODES = (SyntheticMode(2.1, 0.12, 1), SyntheticMode(4.7, 0.05, 2))
"""First and second vertical bending of the demonstration's bridge: nowhere more than 0.2 px."""


@dataclass(frozen=True)
class SyntheticSettings:
    """Scene, size, rate, noise and modes of the synthetic camera.

    ``noise_sigma`` is the standard deviation, in grey levels, of the sensor's noise on each channel before
    the rounding to 8 bit. ``reuse_noise`` draws two frames of noise once and takes another stretch of them for every
    frame, which makes filming four times cheaper: two frames then have the same noise, but at other places.
    ``duration_s`` None films for ever. Frame n depends on the settings and on n alone.
    """

    width_px: int = 640
    height_px: int = 360
    rate_hz: float = 30.0
    noise_sigma: float = 1.0
    seed: int = 1
    modes: tuple[SyntheticMode, ...] = FOOTBRIDGE_MODES
    duration_s: float | None = None
    reuse_noise: bool = False

    def __post_init__(self) -> None:
        if not (64 <= self.width_px <= 8192 and 36 <= self.height_px <= 8192):
            raise OptionFault(
                f"synthetic camera: cannot draw {self.width_px}x{self.height_px}",
                remedy="choose a size from 64x36 to 8192x8192",
            )
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise OptionFault(f"synthetic camera: rate {self.rate_hz} Hz", remedy="choose a rate above 0")
        if not (0 <= self.noise_sigma <= 64):
            raise OptionFault(
                f"synthetic camera: noise of {self.noise_sigma} grey levels", remedy="choose 0 to 64"
            )
        if self.duration_s is not None and not self.duration_s > 0:
            raise OptionFault(
                f"synthetic camera: duration {self.duration_s} s",
                remedy="choose more than 0, or none to film for ever",
            )
        for mode in self.modes:
            _check_mode(mode, self.rate_hz)
        if self.largest_displacement_px > _LARGEST_DISPLACEMENT_PX:
            raise OptionFault(
                f"synthetic camera: the modes add up to {self.largest_displacement_px:g} px",
                remedy=f"choose amplitudes that add up to at most {_LARGEST_DISPLACEMENT_PX:g} px",
            )

    @property
    def largest_displacement_px(self) -> float:
        """Bound on the displacement anywhere at any time."""
        return sum(abs(mode.amplitude_px) for mode in self.modes)

    @property
    def supports_px(self) -> tuple[float, float]:
        """x of the left and of the right support: between them the bridge moves, outside it is still."""
        scale = self.width_px / DESIGN_WIDTH
        return footbridge.SUPPORT_LEFT * scale, footbridge.SUPPORT_RIGHT * scale

    def girder_px(self, along: float) -> tuple[int, int, int, int]:
        """Left, top, width, height of a patch of the girder ``along`` the span (0 to 1): all of it moves."""
        x_scale, y_scale = self.width_px / DESIGN_WIDTH, self.height_px / DESIGN_HEIGHT
        centre = footbridge.SUPPORT_LEFT + along * (footbridge.SUPPORT_RIGHT - footbridge.SUPPORT_LEFT)
        left, right = centre - _PATCH_WIDTH / 2, centre + _PATCH_WIDTH / 2
        tops = footbridge.deck_height(np.array([left, right, centre]))
        top = math.ceil(float(tops.max()) * y_scale + _PATCH_MARGIN_PX)
        bottom = math.floor((float(tops.min()) + footbridge.GIRDER_DEPTH) * y_scale - _PATCH_MARGIN_PX)
        return round(left * x_scale), top, round(_PATCH_WIDTH * x_scale), bottom - top

    @property
    def abutment_px(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of a patch of the left abutment, which stands still."""
        x_scale, y_scale = self.width_px / DESIGN_WIDTH, self.height_px / DESIGN_HEIGHT
        left, top, width, height = footbridge.ABUTMENT
        return round(left * x_scale), round(top * y_scale), round(width * x_scale), round(height * y_scale)

    def displacement_px(self, x_px: ArrayLike, time_s: float) -> NDArray[np.float64]:
        """True displacement of the structure at columns ``x_px``: pixels along y, downwards positive."""
        left, right = self.supports_px
        x = np.asarray(x_px, dtype=np.float64)
        along = np.clip((x - left) / (right - left), 0, 1)
        total = np.zeros_like(along)
        for mode in self.modes:
            swing = mode.amplitude_px * math.sin(2 * math.pi * mode.frequency_hz * time_s + mode.phase_rad)
            total += swing * np.sin(math.pi * mode.half_waves * along)
        return total


def _check_mode(mode: SyntheticMode, rate_hz: float) -> None:
    if not 0 < mode.frequency_hz < rate_hz / 2:
        raise OptionFault(
            f"synthetic camera: a mode at {mode.frequency_hz} Hz cannot be seen at {rate_hz} frames a second",
            remedy=f"choose a frequency above 0 and below {rate_hz / 2:g} Hz, or film faster",
        )
    if mode.half_waves < 1 or not (math.isfinite(mode.amplitude_px) and math.isfinite(mode.phase_rad)):
        raise OptionFault(
            f"synthetic camera: {mode} is no mode of a span",
            remedy="choose at least one half-wave and a finite amplitude and phase",
        )


class SyntheticCamera:
    """Films the footbridge frame by frame, at about 100 frames/s of 640x360 on one core, in constant memory.

    Each column of the structure is the drawing shifted along y by its own displacement d. The drawing is
    band-limited, so the shift is the power series f(y - d) = sum over n of (-d)^n / n! * (n-th derivative of
    f), with derivatives taken by Fourier transform of the oversampled drawing: terms are added until the next
    is below 0.005 grey levels. Against a direct summation of the blur at displaced positions, frames before
    noise and rounding are exact to 0.02 grey levels: on the edges of this drawing, 0.0005 px.
    """

    def __init__(self, settings: SyntheticSettings | None = None) -> None:
        self.settings = settings or SyntheticSettings()
        width, height = self.settings.width_px, self.settings.height_px
        still, self._series, rows, columns = _power_series(self.settings)
        self._still = still.reshape(height, 3 * width)
        self._moving = (rows, slice(3 * columns.start, 3 * columns.stop))
        self._columns_px = np.repeat(np.arange(columns.start, columns.stop, dtype=np.float64), 3)
        self._exact = np.empty_like(self._still)
        self._noise = np.empty_like(self._still)
        self._noise_pool = self._draw_pool() if self.settings.reuse_noise else None
        self._next = 0

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""
        return self.settings.width_px

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""
        return self.settings.height_px

    @property
    def nominal_rate_hz(self) -> float:
        """Frames a second; the timestamps keep to it exactly."""
        return self.settings.rate_hz

    def render(self, time_s: float) -> NDArray[np.float32]:
        """The picture before noise and rounding: (H, W, 3; RGB) float32. The next call overwrites it."""
        np.copyto(self._exact, self._still)
        if self._series:
            d = self.settings.displacement_px(self._columns_px, time_s).astype(np.float32)
            change = self._series[-1] * d
            for term in reversed(self._series[:-1]):
                change += term
                change *= d
            self._exact[self._moving] += change
        return self._exact.reshape(self.height_px, self.width_px, 3)

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next frame into ``pixels`` (H, W, 3; RGB) and return its data, or None at the end."""
        settings = self.settings
        time_s = self._next / settings.rate_hz
        # Half a millionth of a frame: the end must not depend on how the quotient was rounded.
        if settings.duration_s is not None and time_s >= settings.duration_s - 5e-7 / settings.rate_hz:
            return None
        picture = self.render(time_s)
        if settings.noise_sigma > 0:
            self._exact += self._noise_of(self._next)
        np.rint(picture, out=picture)
        np.clip(picture, 0, 255, out=picture)
        np.copyto(pixels, picture, casting="unsafe")
        info = FrameInfo(self._next, time_s)
        self._next += 1
        return info

    def close(self) -> None:
        """Nothing to give back."""

    def _noise_of(self, number: int) -> Array:
        random = np.random.Generator(np.random.SFC64([self.settings.seed, number]))
        if self._noise_pool is not None:
            start = int(random.integers(self._noise_pool.size - self._noise.size))
            stretch: Array = self._noise_pool[start : start + self._noise.size]
            return stretch.reshape(self._noise.shape)
        random.standard_normal(dtype=np.float32, out=self._noise)
        self._noise *= np.float32(self.settings.noise_sigma)
        return self._noise

    def _draw_pool(self) -> Array:
        random = np.random.Generator(np.random.SFC64(self.settings.seed))
        pool: Array = random.standard_normal(_POOL_FRAMES * self._noise.size, dtype=np.float32)
        pool *= np.float32(self.settings.noise_sigma)
        return pool


@functools.lru_cache(maxsize=1)  # drawing takes seconds, and a camera that is opened again is the same
def _power_series(settings: SyntheticSettings) -> tuple[Array, list[Array], slice, slice]:
    """The picture at rest (H, W, 3), the terms of the power series, and the rows and columns that they change.

    Term n (from 1) is (rows, 3 * columns): the change of the picture per pixel^n of displacement.
    """
    layers = footbridge.draw(settings.width_px, settings.height_px, settings.seed)
    background = _through_lens(layers.background)
    water = _through_lens(layers.water)[..., None]

    def change(order: int) -> Array:
        # What hangs above the water rises, its reflection sinks: odd orders change sign.
        direct, mirrored = _derivative(layers.structure, order), _derivative(layers.reflection, order)
        sign = np.float32((-1) ** order)
        total: Array = _change(background, direct) + sign * water * _change(background, mirrored)
        return total

    still = background + change(0)
    left, right = settings.supports_px
    columns = slice(max(0, math.floor(left)), min(settings.width_px, math.ceil(right) + 1))
    largest = settings.largest_displacement_px
    terms: list[Array] = []
    while largest > 0:
        order = len(terms) + 1
        term = change(order)
        if order > 1 and float(np.abs(term).max()) * largest**order < _NEGLIGIBLE:
            break
        terms.append(term[:, columns])
    if not terms:
        return still, [], slice(0), columns
    touched = np.flatnonzero(np.abs(terms[0]).max(axis=(1, 2)) * largest > _NEGLIGIBLE)
    rows = slice(int(touched[0]), int(touched[-1]) + 1)
    series = [np.ascontiguousarray(term[rows]).reshape(rows.stop - rows.start, -1) for term in terms]
    return still, series, rows, columns


def _change(background: Array, layer: Array) -> Array:
    """Contribution of a premultiplied layer, or of its derivative, to the still background behind it."""
    return layer[..., :3] - layer[..., 3:] * background


def _through_lens(drawing: Array) -> Array:
    """Blur the still drawing and take one sample a pixel."""
    sigma = _BLUR_SIGMA_PX * OVERSAMPLING
    tall: Array = ndimage.gaussian_filter1d(drawing, sigma, axis=0, mode="nearest", truncate=6)[
        ::OVERSAMPLING
    ]
    return _across_lens(tall)


def _across_lens(drawing: Array) -> Array:
    sigma = _BLUR_SIGMA_PX * OVERSAMPLING
    wide: Array = ndimage.gaussian_filter1d(drawing, sigma, axis=1, mode="nearest", truncate=6)
    return wide[:, ::OVERSAMPLING]


def _derivative(drawing: Array, order: int) -> Array:
    """(-1)^order / order! times the derivative along y of the blurred drawing, one sample a pixel."""
    wide = _across_lens(drawing)
    rows = wide.shape[0]
    padded = fft.next_fast_len(rows + 2 * _PADDING_PX * OVERSAMPLING, real=True)
    omega = 2 * np.pi * fft.rfftfreq(padded, 1 / OVERSAMPLING)
    transfer = np.exp(-0.5 * (_BLUR_SIGMA_PX * omega) ** 2) * (-1j * omega) ** order / math.factorial(order)
    result = np.empty((rows // OVERSAMPLING, wide.shape[1], 4), dtype=np.float32)
    # In strips of columns, so that full-HD drawings need no gigabyte.
    for start in range(0, wide.shape[1], 64):
        strip = slice(start, start + 64)
        spectrum = fft.rfft(wide[:, strip].astype(np.float64), padded, axis=0) * transfer[:, None, None]
        result[:, strip] = fft.irfft(spectrum, padded, axis=0)[:rows:OVERSAMPLING]
    return result

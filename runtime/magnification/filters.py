"""Design of temporal filters in Hz; refuses bands above Nyquist, and filters that FP32 cannot hold or never settle.

Every band has unit gain and zero phase at its centre, so that the amplification holds there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import scipy  # its room `signal` takes 20 MB, and is loaded by the first band filter
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.magnification.modal_filter import Filter, ModalFilter, TapFilter

FilterKind = Literal["butterworth", "iir", "fir"]
Design = Callable[[float], Filter]
"""Makes a filter for the frame rate in Hz that was measured."""

_ORDERS = {"butterworth": (1, 4), "iir": (1, 1), "fir": (4, 128)}
_DEFAULT_BUTTERWORTH_ORDER = 2
_LARGEST_POLE_RADIUS = 1 - 1e-5
"""FP32 states with slower modes than this lose their digits to rounding; it takes half a million frames."""
_NOTCH_QUALITY = 30.0
"""Frequency of a notch over its width, as usual for mains."""
_REAL = 1e-12
"""Imaginary part that rounding leaves of a real pole, at most."""

_Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class BandSettings:
    """Frequencies to magnify: one or two bands, and notches within them, all in Hz."""

    bands_hz: tuple[tuple[float, float], ...]
    """Lower and upper edge of each."""
    kind: FilterKind = "butterworth"
    """butterworth: edges at 0.7 of the gain; iir: the difference of two first-order low-passes, whose
    skirts are wide and which settles soonest; fir: forgets all that is older than its taps."""
    order: int | None = None
    """1 to 4 for butterworth (None is 2); 1 for iir; of fir the taps less one (None fits the narrowest band)."""
    notches_hz: tuple[float, ...] = ()
    """Frequencies that are left out, such as a machine's."""

    def __str__(self) -> str:
        bands = " and ".join(f"{low:g} to {high:g} Hz" for low, high in self.bands_hz)
        order = "" if self.order is None else f", order {self.order}"
        without = "".join(f", without {notch:g} Hz" for notch in self.notches_hz)
        return f"{bands}{without}, {self.kind}{order}"

    def lines(self) -> list[str]:
        """Human-readable settings, a line each."""
        return [f"band           {self}"]


def design(settings: BandSettings, rate_hz: float) -> Filter:
    """The filter of ``settings`` for frames at ``rate_hz``, the measured rate.

    Raises:
        OptionFault: a band or a notch that cannot be seen at this rate, bands that overlap, an order that
        there is not, or a filter too narrow to be stable.

    >>> band = BandSettings(((1.8, 2.4),))
    >>> print(band.lines()[0])
    band           1.8 to 2.4 Hz, butterworth
    >>> found = design(band, rate_hz=25.0)
    >>> round(found.settling_s, 1), found.pole_radius < 1
    (3.8, True)
    >>> design(BandSettings(((10.0, 14.0),)), rate_hz=25.0)
    Traceback (most recent call last):
        ...
    tremorscope.runtime.errors.OptionFault: band 10 to 14 Hz reaches 12.5 Hz, half of the 25 frames a second ...
    """
    _check(settings, rate_hz)
    if settings.kind == "fir":
        return _taps(settings, rate_hz)
    factors = [_butterworth(settings, band, rate_hz) for band in settings.bands_hz]
    if settings.kind == "iir":
        factors = [part for band in settings.bands_hz for part in _low_pass_pair(band, rate_hz)]
    notches = [
        _Rational.of(scipy.signal.iirnotch(notch, _NOTCH_QUALITY, rate_hz)) for notch in settings.notches_hz
    ]
    found = _modal(factors, notches, rate_hz)
    if not found.pole_radius <= _LARGEST_POLE_RADIUS:
        raise OptionFault(
            f"the filter of {settings.lines()[0].split(maxsplit=1)[1]} would take {found.settling_s:.3g} s to settle",
            remedy="widen the band, lower the order, or film at a lower rate",
        )
    return found


def first_frame(rate_hz: float) -> ModalFilter:
    """The static mode as a filter: all motion since the first frame."""
    return _single_mode(1.0, rate_hz)


def frame_before(rate_hz: float) -> ModalFilter:
    """The dynamic mode as a filter: the motion since the frame before."""
    return _single_mode(0.0, rate_hz)


def slow_average(time_constant_s: float) -> Design:
    """The static mode against a reference that follows the scene: the exponential average of all frames.

    Motion slower than 1 / (2 pi time constant) Hz fades from the difference; what is faster stays as it is.

    Raises:
        OptionFault: the time constant is not a positive number of seconds.
    """
    if not 0 < time_constant_s < math.inf:
        raise OptionFault(
            f"refresh time {time_constant_s:g} s: not a finite number above 0",
            remedy="give the seconds in which it follows the scene, e.g. 60",
        )
    return lambda rate_hz: _single_mode(math.exp(-1 / (time_constant_s * rate_hz)), rate_hz)


def _single_mode(pole: float, rate_hz: float) -> ModalFilter:
    nothing = np.empty(0, np.complex128)
    return ModalFilter(rate_hz, nothing, nothing, np.array([pole, 0.0]), np.array([1.0, 0.0]), True)


def _check(settings: BandSettings, rate_hz: float) -> None:
    nyquist_hz = rate_hz / 2
    if not 1 <= len(settings.bands_hz) <= 2:
        raise OptionFault(
            f"{len(settings.bands_hz)} bands: too few or too many", remedy="give one or two bands"
        )
    for low_hz, high_hz in settings.bands_hz:
        if not 0 < low_hz < high_hz < math.inf:
            raise OptionFault(
                f"band {low_hz:g} to {high_hz:g} Hz: its edges do not rise from above 0",
                remedy="give a lower edge above 0 Hz and an upper edge above that",
            )
        if high_hz >= nyquist_hz:
            raise OptionFault(
                f"band {low_hz:g} to {high_hz:g} Hz reaches {nyquist_hz:g} Hz, half of the {rate_hz:.6g} frames a "
                f"second that are measured",
                remedy="choose a lower band, film faster, or state the true rate of a high-speed clip "
                "(--capture-fps)",
            )
    for first, second in pairwise(sorted(settings.bands_hz)):
        if second[0] < first[1]:
            raise OptionFault("the two bands overlap", remedy="give one band that holds both")
    for notch_hz in settings.notches_hz:
        _check_notch(notch_hz, rate_hz)
    _check_order(settings)


def _check_notch(notch_hz: float, rate_hz: float) -> None:
    if not 0 < notch_hz < math.inf:
        raise OptionFault(
            f"notch {notch_hz:g} Hz: not a finite number above 0", remedy="give a frequency above 0 Hz"
        )
    if notch_hz >= rate_hz / 2:
        alias_hz = abs(notch_hz - rate_hz * round(notch_hz / rate_hz))
        raise OptionFault(
            f"notch {notch_hz:g} Hz is not below half of the {rate_hz:.6g} frames a second that are measured",
            remedy=f"at this rate it shows at {alias_hz:.4g} Hz: give that, or leave it out",
        )


def _check_order(settings: BandSettings) -> None:
    lowest, highest = _ORDERS[settings.kind]
    if settings.order is not None and not lowest <= settings.order <= highest:
        raise OptionFault(
            f"{settings.kind} filter of order {settings.order}: order out of range",
            remedy=f"choose {lowest} to {highest}" if lowest < highest else "leave the order out",
        )
    if settings.kind == "fir" and settings.notches_hz:
        raise OptionFault("a fir filter has no notch", remedy="choose butterworth or iir, or leave it out")


@dataclass(frozen=True)
class _Rational:
    """A transfer function gain * product of (z - zero) / product of (z - pole)."""

    zeros: _Complex
    poles: _Complex
    gain: float

    @staticmethod
    def of(polynomials: tuple[NDArray[np.float64], NDArray[np.float64]]) -> _Rational:
        """From numerator and denominator in 1/z of the same length."""
        zeros, poles, gain = scipy.signal.tf2zpk(*polynomials)
        return _Rational(zeros.astype(complex), poles.astype(complex), float(gain))

    def at(self, z: _Complex) -> _Complex:
        """Values at points z."""
        value: _Complex = (
            self.gain * np.prod(z[..., None] - self.zeros, -1) / np.prod(z[..., None] - self.poles, -1)
        )
        return value

    def residues(self) -> _Complex:
        """r with sum of r / (1 - pole / z) the fraction's own share of each of its poles."""
        found = np.empty(self.poles.size, complex)
        for number, pole in enumerate(self.poles):
            others = np.delete(self.poles, number)
            found[number] = self.gain * np.prod(pole - self.zeros) / (pole * np.prod(pole - others))
        return found


def _butterworth(settings: BandSettings, band: tuple[float, float], rate_hz: float) -> _Rational:
    order = settings.order or _DEFAULT_BUTTERWORTH_ORDER
    zeros, poles, gain = scipy.signal.butter(order, band, "bandpass", fs=rate_hz, output="zpk")
    return _Rational(zeros.astype(complex), poles.astype(complex), float(gain))


def _low_pass_pair(band: tuple[float, float], rate_hz: float) -> tuple[_Rational, _Rational]:
    """The low-pass of the upper edge and minus that of the lower, scaled to unit gain at the centre."""
    upper, lower = (_Rational.of(scipy.signal.butter(1, edge, fs=rate_hz)) for edge in reversed(band))
    low, high = np.tan(np.pi * np.array(band) / rate_hz)
    scale = (high + low) / (high - low)  # inverse of the difference where it is largest and has no phase
    return (
        _Rational(upper.zeros, upper.poles, scale * upper.gain),
        _Rational(lower.zeros, lower.poles, -scale * lower.gain),
    )


def _modal(bands: list[_Rational], notches: list[_Rational], rate_hz: float) -> ModalFilter:
    """The modes of (sum of bands) * (product of notches) / (1 - 1/z), whose pole at 1 is cancelled."""
    poles: list[_Complex] = []
    residues: list[_Complex] = []
    for band in bands:
        poles.append(band.poles)
        residues.append(band.residues() * np.prod([notch.at(band.poles) for notch in notches], axis=0))
    for notch in notches:
        others = np.prod([other.at(notch.poles) for other in notches if other is not notch], axis=0)
        poles.append(notch.poles)
        residues.append(notch.residues() * np.sum([band.at(notch.poles) for band in bands], axis=0) * others)
    pole = np.concatenate(poles)
    residue = np.concatenate(residues) * pole / (pole - 1)
    real = np.abs(pole.imag) < _REAL
    upper = (pole.imag > 0) & ~real
    return ModalFilter(rate_hz, pole[upper], residue[upper], pole[real].real, residue[real].real)


def _taps(settings: BandSettings, rate_hz: float) -> TapFilter:
    narrowest_hz = min(high - low for low, high in settings.bands_hz)
    order = settings.order or max(_ORDERS["fir"][0], math.ceil(2 * rate_hz / narrowest_hz))
    if order > _ORDERS["fir"][1]:
        raise OptionFault(
            f"a fir filter for a band of {narrowest_hz:g} Hz needs order {order} at {rate_hz:.6g} frames a second",
            remedy=f"widen the band to {2 * rate_hz / _ORDERS['fir'][1]:.3g} Hz, or choose butterworth",
        )
    impulse = np.sum([_fir(band, order + 1, rate_hz) for band in settings.bands_hz], axis=0)
    return TapFilter(rate_hz, np.cumsum(impulse)[:-1])  # divided by 1 - 1/z, which leaves no remainder


def _fir(band: tuple[float, float], count: int, rate_hz: float) -> NDArray[np.float64]:
    """A windowed low-pass of half the band's width on a carrier at its centre.

    The carrier starts with the newest frame and so arrives unshifted. Its two phases and a constant are
    weighed such that the gain is 1 at the centre, with no phase, and exactly 0 at 0 Hz.
    """
    low_hz, high_hz = band
    window = scipy.signal.firwin(count, (high_hz - low_hz) / 2, fs=rate_hz)
    turn = np.pi * (low_hz + high_hz) / rate_hz * np.arange(count)
    basis = window * np.stack((np.cos(turn), np.sin(turn), np.ones(count)))
    carrier = basis @ np.exp(-1j * turn)
    system = np.stack((carrier.real, carrier.imag, basis.sum(axis=1)))
    impulse: NDArray[np.float64] = np.linalg.solve(system, [1.0, 0.0, 0.0]) @ basis
    return impulse

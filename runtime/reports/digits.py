"""Numbers of a measurement as text, with the digits that mean something."""

from __future__ import annotations

import math

from tremorscope.runtime.vibration.spectra.peaks import Peak

_FREQUENCY_DIGITS, _VALUE_DIGITS = 5, 4


def short_hz(frequency_hz: float) -> str:
    """Frequency for a headline, e.g. ``64.0 Hz`` or ``0.249 Hz``: a decimal and three digits at least."""
    digits = max(1, 2 - math.floor(math.log10(frequency_hz)))
    return f"{frequency_hz:.{digits}f} Hz"


def short_frequency(peak: Peak) -> str:
    """Frequency of a peak for a headline."""
    return short_hz(peak.frequency_hz)


def hz_text(frequency_hz: float, sigma_hz: float) -> str:
    """Frequency with its uncertainty, e.g. ``64.041 ± 0.003 Hz``; no finer than a camera's clock, five digits."""
    most = _FREQUENCY_DIGITS - 1 - math.floor(math.log10(frequency_hz))
    digits = min(max(1, most), max(1, decimals(sigma_hz)))
    return f"{frequency_hz:.{digits}f} ± {max(sigma_hz, 10**-digits):.{digits}f} Hz"


def frequency_text(peak: Peak) -> str:
    """Frequency of a peak with its uncertainty."""
    return hz_text(peak.frequency_hz, peak.frequency_sigma_hz)


def damping_text(peak: Peak) -> str:
    """Damping in per cent with its uncertainty, or the bound that the recording sets."""
    if peak.damping is None:
        return "unknown" if peak.damping_below is None else f"< {100 * peak.damping_below:.2g} %"
    return f"{with_uncertainty(100 * peak.damping, 100 * (peak.damping_sigma or 0))} %"


def with_uncertainty(value: float, sigma: float) -> str:
    """A value and its standard uncertainty, rounded to the digits that mean something: four at most.

    >>> with_uncertainty(0.11812, 0.0031), with_uncertainty(12.3456, 0.15)
    ('0.118 ± 0.003', '12.35 ± 0.15')
    >>> with_uncertainty(2.0, float('inf'))
    '2 ± unknown'
    """
    if not math.isfinite(sigma):
        return f"{value:.3g} ± unknown"
    most = _VALUE_DIGITS - 1 - math.floor(math.log10(abs(value))) if value else _VALUE_DIGITS
    digits = min(decimals(sigma), max(0, most))
    return f"{value:.{digits}f} ± {max(sigma, 10**-digits if sigma else 0.0):.{digits}f}"


def decimals(sigma: float) -> int:
    """Decimals that show an uncertainty with one digit, or two where the first is a 1.

    >>> decimals(0.003), decimals(0.013), decimals(40.0)
    (3, 3, 0)
    """
    if not (math.isfinite(sigma) and sigma > 0):
        return 4
    exponent = math.floor(math.log10(sigma))
    return min(9, max(0, -exponent + (1 if sigma / 10**exponent < 2 else 0)))

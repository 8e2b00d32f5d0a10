"""Temporal filters in the form that the band step graph runs: sections side by side, driven by differences.

A filter H of a signal x is run on its steps u[t] = x[t] - x[t-1]. Where H has a zero at z = 1, the filter of the
steps, G(z) = H(z) / (1 - 1/z), is stable and its output is that of H on x. The graph runs S sections of two
states each, all driven by u alone:

    next[i] = own[i] state[i] + cross[i] state[1 - i] + drive[i] u,  i = 0, 1;  output = sum of next[0]

The coefficients are an input of every step. So a step over dropped frames needs no step of its own for each:
frames between are taken as lying on a straight line, and the coefficients span them all at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Coefficients = NDArray[np.float32]
"""f32[3, 2, sections], contiguous: own, cross and drive of both states of every section."""
_OWN, _CROSS, _DRIVE = range(3)
_SETTLED = 0.01
"""A filter has settled when its start-up transient has fallen to this share."""
_LONGEST_RESPONSE = 1 << 18


class Filter(Protocol):
    """A temporal filter, designed for one frame rate."""

    @property
    def sections(self) -> int:
        """Sections of the recursion: two states each."""

    @property
    def rate_hz(self) -> float:
        """Frames a second that it was designed for."""

    @property
    def settling_s(self) -> float:
        """Seconds until the start-up transient has fallen to 1 %; 0 where there is none."""

    @property
    def largest_gain(self) -> float:
        """Largest output for any input within -1 and 1 (L1 norm of the impulse response)."""

    def coefficients(self, elapsed: int, intervals: float) -> Coefficients:
        """Coefficients of one step.

        Args:
            elapsed: frame intervals since the state was zero, this step's included, rounded.
            intervals: frame intervals that this step spans; 1 where no frame was dropped.
        """

    def response(self, frequency_hz: ArrayLike) -> NDArray[np.complex128]:
        """Complex gain of the motion at each frequency."""


@dataclass(frozen=True)
class ModalFilter:
    """A recursive filter as the sum of its modes: G(z) = sum of residue / (1 - pole / z) over all poles.

    Poles off the real axis stand for themselves and their conjugates, as do their residues. A mode keeps its
    pole as two coordinates, not as the coefficients of a polynomial: rounded to FP32 it stays where it is.
    """

    rate_hz: float
    complex_poles: NDArray[np.complex128]
    complex_residues: NDArray[np.complex128]
    real_poles: NDArray[np.float64]
    """An even number of them."""
    real_residues: NDArray[np.float64]
    starts_settled: bool = False
    """True where a start from zero is no transient: where the first frame is the reference."""

    @property
    def sections(self) -> int:
        """Sections: one for each conjugate pair, one for each pair of real poles."""
        return self.complex_poles.size + self.real_poles.size // 2

    @property
    def pole_radius(self) -> float:
        """Largest distance of a pole from 0; below 1 for a stable filter."""
        return float(np.abs(np.concatenate((self.complex_poles, self.real_poles))).max())

    @property
    def settling_s(self) -> float:
        """Seconds until the slowest mode has decayed to 1 %."""
        return 0.0 if self.starts_settled else self._decay(_SETTLED) / self.rate_hz

    @property
    def largest_gain(self) -> float:
        """Sum of the absolute impulse response of H."""
        decay = self._decay(1e-3)
        n = np.arange(min(decay, _LONGEST_RESPONSE) + 1)
        steps = np.zeros(n.size)
        for pole, residue in zip(self.complex_poles, self.complex_residues, strict=True):
            steps += 2 * (residue * pole**n).real
        for real_pole, real_residue in zip(self.real_poles, self.real_residues, strict=True):
            steps += real_residue * real_pole**n
        return float(np.abs(np.diff(steps, prepend=0.0)).sum())

    def coefficients(self, elapsed: int, intervals: float) -> Coefficients:  # noqa: ARG002
        """Coefficients of a step over ``intervals`` frame intervals; see `Filter.coefficients`."""
        found = np.zeros((3, 2, self.sections), np.float32)
        pairs = self.complex_poles.size
        poles, drives = _spanning(self.complex_poles, self.complex_residues, intervals)
        found[_OWN, :, :pairs] = poles.real
        found[_CROSS, :, :pairs] = -poles.imag, poles.imag
        found[_DRIVE, :, :pairs] = 2 * drives.real, 2 * drives.imag
        # Two real modes a and b as their sum and their difference: a section of the same form.
        poles, drives = _spanning(self.real_poles.astype(np.complex128), self.real_residues, intervals)
        (a, b), (of_a, of_b) = poles.real.reshape(-1, 2).T, drives.real.reshape(-1, 2).T
        found[_OWN, :, pairs:] = (a + b) / 2
        found[_CROSS, :, pairs:] = (a - b) / 2
        found[_DRIVE, :, pairs:] = of_a + of_b, of_a - of_b
        return found

    def response(self, frequency_hz: ArrayLike) -> NDArray[np.complex128]:
        """Complex gain at each frequency; see `Filter.response`."""
        delay = np.exp(-2j * np.pi * np.asarray(frequency_hz)[..., None] / self.rate_hz)
        pairs = self.complex_residues / (1 - self.complex_poles * delay)
        pairs += self.complex_residues.conj() / (1 - self.complex_poles.conj() * delay)
        singles = self.real_residues / (1 - self.real_poles * delay)
        gain: NDArray[np.complex128] = (1 - delay[..., 0]) * (pairs.sum(-1) + singles.sum(-1))
        return gain

    def _decay(self, share: float) -> int:
        """Frames until the slowest mode is down to a share of what it was, capped where it never is."""
        radius = self.pole_radius
        if radius >= 1.0:
            return _LONGEST_RESPONSE
        return math.ceil(math.log(share) / math.log(radius)) if radius > 0 else 1


def _spanning(
    poles: NDArray[np.complex128], residues: ArrayLike, intervals: float
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Poles and drives of a step over several intervals, between whose ends the signal is a straight line.

    After m equal steps of u / m a mode has gone from c to p^m c + residue (1 + p + ... + p^(m-1)) u / m; the sum
    is written such that m may be any number above 0.
    """
    over = poles**intervals
    still = np.abs(1 - poles) < 1e-12
    mean = np.where(still, 1.0, (1 - over) / (intervals * np.where(still, 1.0, 1 - poles)))
    return over, np.asarray(residues) * mean


@dataclass(frozen=True)
class TapFilter:
    """A filter of finite memory: the output is ``taps[k]`` times the step of k frames ago, summed up.

    Every section holds one step of the past in its second state and weighs it into the first. What moves on
    from frame to frame is not the past but the taps, which come with the coefficients of each step.
    """

    rate_hz: float
    taps: NDArray[np.float64]

    @property
    def sections(self) -> int:
        """Sections: one for each tap."""
        return int(self.taps.size)

    @property
    def settling_s(self) -> float:
        """Length of the filter's memory in s."""
        return self.taps.size / self.rate_hz

    @property
    def largest_gain(self) -> float:
        """Sum of the absolute impulse response of H."""
        return float(np.abs(np.diff(self.taps, prepend=0.0, append=0.0)).sum())

    def coefficients(self, elapsed: int, intervals: float) -> Coefficients:
        """Coefficients of a step over ``intervals`` frame intervals, rounded; see `Filter.coefficients`."""
        spanned = max(1, round(intervals))
        found = np.zeros((3, 2, self.sections), np.float32)
        age = (elapsed - np.arange(self.sections)) % self.sections
        new = age < spanned
        weights = self.taps[age]
        found[_OWN, 1] = ~new
        found[_CROSS, 0] = np.where(new, 0.0, weights)
        found[_DRIVE] = np.where(new, weights / spanned, 0.0), new / spanned
        return found

    def response(self, frequency_hz: ArrayLike) -> NDArray[np.complex128]:
        """Complex gain at each frequency; see `Filter.response`."""
        delay = np.exp(-2j * np.pi * np.asarray(frequency_hz)[..., None] / self.rate_hz)
        gain: NDArray[np.complex128] = (1 - delay[..., 0]) * (
            self.taps * delay ** np.arange(self.taps.size)
        ).sum(-1)
        return gain

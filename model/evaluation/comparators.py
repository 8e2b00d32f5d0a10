"""Reference methods for comparison with a learned magnifier: none, linear Eulerian, phase-based.

All are functions of frame, reference and amplification, as networks are. The pyramids are pyrtools'.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tremorscope.model.evaluation.scenes import Frame

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_ORIENTATIONS = 8
_SMOOTHING_CELLS = 2.0
_CUTOFF_PX = 80.0


def unmagnified(frame: Frame, _reference: Frame, _amplification: float) -> Frame:
    """The frame as it is."""
    return frame


def linear_eulerian(frame: Frame, reference: Frame, amplification: float) -> Frame:
    """Linear Eulerian magnification of a pair, on a Laplacian pyramid.

    Wu et al., "Eulerian video magnification", SIGGRAPH 2012: the change in every band is amplified up to the limit of
    the first-order model, a displacement of an eighth of the band's wavelength. The cut-off wavelength is the one
    whose limit is 10 px.
    """
    from pyrtools.pyramids import LaplacianPyramid

    added = amplification - 1.0
    planes = []
    for channel in range(3):
        difference = frame[..., channel].astype(float) - reference[..., channel]
        pyramid: Any = LaplacianPyramid(difference)
        for level, _ in pyramid.pyr_coeffs:
            wavelength_px = 3.0 * 2.0**level  # typical of the band
            gain = min(added, max(0.0, wavelength_px * amplification / _CUTOFF_PX - 1.0))
            pyramid.pyr_coeffs[level, _] = gain * pyramid.pyr_coeffs[level, _]
        planes.append(frame[..., channel] + pyramid.recon_pyr())
    return _rounded(np.stack(planes, axis=-1))


def _evenly(magnify: Callable[[Frame, Frame, float], Frame]) -> Callable[[Frame, Frame, float], Frame]:
    """Decorate a method whose pyramid needs even sides: pad an odd side by one line, and crop the result."""

    @wraps(magnify)
    def evenly(frame: Frame, reference: Frame, amplification: float) -> Frame:
        height, width = frame.shape[:2]
        border = ((0, height % 2), (0, width % 2), (0, 0))
        moved, still = (np.pad(picture, border, mode="edge") for picture in (frame, reference))
        return magnify(moved, still, amplification)[:height, :width]

    return evenly


@_evenly
def phase_based(frame: Frame, reference: Frame, amplification: float) -> Frame:
    """Phase-based magnification of a pair, on a complex steerable pyramid of octave bands and eight orientations.

    Wadhwa et al., "Phase-based video motion processing", SIGGRAPH 2013: the phase change of each band of the luma is
    smoothed, weighted by the band's amplitude, and added (amplification - 1) times to each colour's band.
    """
    moved, still = _pyramid(frame @ _LUMA), _pyramid(reference @ _LUMA)
    turns = {
        band: np.exp(
            1j * (amplification - 1.0) * _smoothed_phase(moved.pyr_coeffs[band], still.pyr_coeffs[band])
        )
        for band in moved.pyr_coeffs
        if isinstance(band, tuple)
    }
    planes = []
    for channel in range(3):
        pyramid = _pyramid(frame[..., channel].astype(float))
        for band, turn in turns.items():
            pyramid.pyr_coeffs[band] = pyramid.pyr_coeffs[band] * turn
        planes.append(pyramid.recon_pyr())
    return _rounded(np.stack(planes, axis=-1))


def _pyramid(plane: NDArray[np.float64]) -> Any:
    from pyrtools.pyramids import SteerablePyramidFreq

    return SteerablePyramidFreq(plane, order=_ORIENTATIONS - 1, is_complex=True)


def _smoothed_phase(moved: NDArray[np.complex128], still: NDArray[np.complex128]) -> NDArray[np.float64]:
    weight = np.abs(moved) + 1e-9
    phase = np.angle(moved * np.conj(still))
    smoothed: NDArray[np.float64] = gaussian_filter(weight * phase, _SMOOTHING_CELLS) / gaussian_filter(
        weight, _SMOOTHING_CELLS
    )
    return smoothed


def _rounded(picture: NDArray[np.float64]) -> Frame:
    rounded: Frame = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return rounded


COMPARATORS = {
    "unmagnified": unmagnified,
    "linear-eulerian": linear_eulerian,
    "phase-based": phase_based,
}

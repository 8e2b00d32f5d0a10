"""Standard uncertainty of a fit as an ensemble: the result, moved by each of its independent uncertainties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def ensemble_of(fit: Callable[[Values], Values], inputs: Values, sigmas: Values) -> Values:
    """Results of a fit, one row for each independent uncertainty that its inputs cause together.

    First order: each input (m,) is moved by its standard uncertainty, the fit repeated, and the covariance of the
    results (n,) split into its principal directions.
    """
    nominal = fit(inputs)
    moved = []
    for at in np.flatnonzero(sigmas):
        shifted = inputs.copy()
        shifted[at] += sigmas[at]
        moved.append(fit(shifted) - nominal)
    return nominal + compressed(np.array(moved).reshape(-1, nominal.size))


def compressed(deviations: Values) -> Values:
    """At most n rows with the covariance of many: D^T D, for deviations D (k, n)."""
    scale = np.abs(deviations).max(axis=0)
    scale[scale == 0] = 1.0  # numbers of very different size must not lose digits to each other
    _, sizes, directions = np.linalg.svd(deviations / scale, full_matrices=False)
    found: Values = (sizes[:, None] * directions * scale)[sizes > 1e-12 * max(sizes.max(initial=0), 1e-300)]
    return found

"""Faults of calibration. Each message states in one line the problem, its place and the remedy."""

from __future__ import annotations

from tremorscope.runtime.errors import Fault


class CalibrationFault(Fault):
    """A calibration set cannot be captured, is damaged, or does not serve what is asked of it."""

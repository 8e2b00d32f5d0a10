"""The faults that calibration reports. Each says in one line what is wrong, where, and what to do."""

from __future__ import annotations

from tremorscope.runtime.errors import Fault


class CalibrationFault(Fault):
    """A calibration set cannot be captured, is damaged, or does not serve what is asked of it."""

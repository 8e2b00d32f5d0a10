"""The faults that export reports. Each says in one line what is wrong, where, and what to do."""

from __future__ import annotations

from tremorscope.runtime.errors import Fault


class ExportFault(Fault):
    """A graph differs from the network that it was made of, or a bundle cannot be written."""

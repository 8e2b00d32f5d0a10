"""Faults of export. Each message states in one line the problem, its place and the remedy."""

from __future__ import annotations

from tremorscope.runtime.errors import Fault


class ExportFault(Fault):
    """A graph differs from the network that it was made of, or a bundle cannot be written."""

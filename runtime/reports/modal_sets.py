"""Datasets of the Universal File Format beside the signals: header, units, nodes, trace lines and mode shapes.

151 "Header", 164 "Units", 15 "Nodes", 82 "Tracelines" and 55 "Data at Nodes" (SDRC/UC-SDRL). Regions are nodes; UFF's
+Y points up, so y counts upwards here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist

from tremorscope.runtime.reports.provenance import Provenance
from tremorscope.runtime.reports.signals import LENGTHS, PROGRAM, plain_ascii
from tremorscope.runtime.vibration.spectra.modes import Mode

Values = NDArray[np.float64]
UffSet = dict[str, Any]

_UNITS = {"m": (1, "SI: Meter (newton)", 1.0, 1.0), "mm": (5, "mm (milli newton)", 1000.0, 1000.0)}
"""Unit of length -> code and name of dataset 164, factors of length and force to divide by for SI."""
_PIXELS = (9, "pixel, scale unknown", 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Geometry:
    """Places of the regions in the picture's plane."""

    places: Values
    """(regions, 2): to the right and upwards."""
    unit: str
    """px, mm or m."""


def geometry_sets(provenance: Provenance, geometry: Geometry) -> list[UffSet]:
    """Header, units, nodes and trace lines, for the head of a file."""
    return [_header(provenance), _units(geometry.unit), *_nodes(geometry.places)]


def _header(provenance: Provenance) -> UffSet:
    now = datetime.now(timezone.utc)
    date, time = now.strftime("%d-%b-%y").upper(), now.strftime("%H:%M:%S")
    stamps = {
        f"{kind}_{event}": text
        for event in ("db_created", "db_saved", "file_written")
        for kind, text in (("date", date), ("time", time))
    }
    return {
        "type": 151,
        "model_name": plain_ascii(provenance.clip, 80) or "NONE",
        "description": f"clip sha256 {provenance.sha256}",
        "db_app": PROGRAM,
        "program": PROGRAM,
        **stamps,
    }


def _units(unit: str) -> UffSet:
    code, name, length, force = _UNITS.get(unit, _PIXELS)
    return {
        "type": 164,
        "units_code": code,
        "units_description": f"{name:<20}",
        "temp_mode": 1,
        "length": length,
        "force": force,
        "temp": 1.0,
        "temp_offset": 273.15,
    }


def _nodes(places: Values) -> list[UffSet]:
    """The regions as nodes, and the shortest lines that join them all."""
    numbers = np.arange(1, len(places) + 1)
    x, y = places.T
    nodes = {"type": 15, "node_nums": numbers, "x": x, "y": y, "z": np.zeros(len(places))}
    if len(places) < 2:
        return [nodes]
    ends = (
        np.argwhere(minimum_spanning_tree(cdist(places, places) + 1e-9).toarray()) + 1
    )  # 0 would be no edge
    path = [number for first, last in ends.tolist() for number in (first, last, 0)][:-1]
    lines = {"type": 82, "trace_num": 1, "color": 0, "id": "regions", "nodes": np.array(path)}
    return [nodes, lines]


def mode_sets(modes: Sequence[Mode], provenance: Provenance) -> list[UffSet]:
    """Mode shapes, each relative to its largest part, as complex normal modes in 3 translations."""
    return [_mode(number, mode, provenance) for number, mode in enumerate(modes, start=1)]


def _mode(number: int, mode: Mode, provenance: Provenance) -> UffSet:
    shape = np.asarray(mode.shape, np.complex128).reshape(-1, 2)
    return {
        "type": 55,
        "id1": f"mode {number} at {mode.frequency_hz:.6g} Hz, largest part 1",
        "id2": PROGRAM,
        "id3": plain_ascii(provenance.clip, 80) or "NONE",
        "id4": f"clip sha256 {provenance.sha256}",
        "id5": f"Mode same {number:9d} frequency {mode.frequency_hz:12.5e}",
        "model_type": 1,
        "analysis_type": 2,
        "data_ch": 2,
        "spec_data_type": LENGTHS["displacement"],
        "load_case": 0,
        "mode_n": number,
        "freq": mode.frequency_hz,
        "modal_m": 0.0,
        "modal_damp_vis": mode.peak.damping or 0.0,
        "modal_damp_his": 0.0,
        "node_nums": np.arange(1, len(shape) + 1),
        "r1": shape[:, 0],
        "r2": -shape[:, 1],
        "r3": np.zeros(len(shape), np.complex128),
    }

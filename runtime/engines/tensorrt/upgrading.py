"""Engines made obsolete by an upgrade of the system, and the attempts to build them again.

An engine is of one TensorRT, one CUDA and one L4T. After an upgrade of one of them engines do not fit any more; their
sidecars reveal it, and they are built again from the same bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, GraphName
from tremorscope.runtime.engines.tensorrt.engine_file import EnginePaths, write_whole
from tremorscope.runtime.engines.tensorrt.plan import Target
from tremorscope.runtime.engines.tensorrt.runtime import look_for_tensorrt
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.device import read_device

MOST_ATTEMPTS = 3
"""Most builds ever for one state of the system: one that fails each time must not go on for months."""
_TARGET: Target = "tensorrt"
_MOST_REMEMBERED = 16


@dataclass(frozen=True)
class StaleEngines:
    """Engines of a bundle that were built for another state of this system."""

    bundle: Path
    size: FrameSize
    graphs: tuple[GraphName, ...]
    directory: Path
    """Directory of the engines."""
    most_sections: int
    """Most sections of a band filter, as they were built for."""
    reason: str
    """Change of the system, in one line."""
    identity: str
    """Hash of the graphs and the system that they are to be built for; another upgrade makes another."""


def find_stale(
    bundle: Bundle, size: FrameSize, graphs: Collection[GraphName] | None, engines: Path | None
) -> StaleEngines | None:
    """Find engines to be built again; None where they fit, were never built, or something else is missing too.

    Args:
        bundle: what they were built from.
        size: of every frame.
        graphs: which of the bundle's; None is all of them.
        engines: directory of built engines; None takes ``engines`` within the bundle.
    """
    found = look_for_tensorrt(_TARGET, bundle, size, graphs or tuple(bundle.manifest.graphs), engines)
    if not found.lacks_engines_alone or found.library is None:
        return None
    sections = [_sections_of(found.paths[graph], bundle, graph) for graph in found.unfit]
    if None in sections:  # never built, or another bundle's
        return None
    device, _ = read_device()
    built_from = [bundle.manifest.graphs[graph].sha256 for graph in found.unfit]
    state = [asdict(device) | {"power_mode": None}, found.library.release, built_from, size.model_dump()]
    return StaleEngines(
        bundle=bundle.directory,
        size=size,
        graphs=found.unfit,
        directory=engines or bundle.directory / "engines",
        most_sections=max(number or 0 for number in sections) or 8,
        reason=found.missing[0],
        identity=hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest(),
    )


def _sections_of(paths: EnginePaths, bundle: Bundle, graph: GraphName) -> int | None:
    """Sections that an engine of this bundle's network was built for, 0 for none; None where it is not such a one.

    The sidecar is read as it is, for one of an earlier release has another form.
    """
    try:
        source = json.loads(paths.sidecar.read_bytes())["source"]
        same = (source["network"], source["graph"], source["precision"]) == (
            bundle.manifest.network,
            graph,
            bundle.manifest.precision,
        )
        return int(source.get("most_sections") or 0) if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


class _AttemptRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(ge=0)
    problem: str
    """Reason why the latest failed; empty if it did not, or did not end."""


class _RebuildRecord(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tries: dict[str, _AttemptRecord] = Field(default_factory=dict)


class Attempts:
    """Counts builds by the state of the system that they were for, across processes and power cuts."""

    def __init__(self, directory: Path) -> None:
        """Read what is known; a file that is damaged counts as none."""
        self._path = directory / "rebuilds.json"
        try:
            self._record = _RebuildRecord.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            self._record = _RebuildRecord()

    def may(self, identity: str) -> bool:
        """Tell whether one more may be tried."""
        return self._of(identity).count < MOST_ATTEMPTS

    def problem(self, identity: str) -> str:
        """Reason why the latest failed."""
        return self._of(identity).problem

    def begin(self, identity: str) -> None:
        """Count one, before it is begun: a build that takes the power down with it counts too.

        Raises:
            EngineFault: it cannot be written, and so must not be begun.
        """
        self._write(
            identity, _AttemptRecord(count=self._of(identity).count + 1, problem="it did not come to its end")
        )

    def end(self, identity: str, problem: str) -> None:
        """Note how it went; empty if well.

        Raises:
            EngineFault: it cannot be written.
        """
        self._write(identity, _AttemptRecord(count=self._of(identity).count, problem=problem))

    def withdraw(self, identity: str) -> None:
        """Uncount one that was ended on purpose.

        Raises:
            EngineFault: it cannot be written.
        """
        self._write(identity, _AttemptRecord(count=self._of(identity).count - 1, problem=""))

    def _of(self, identity: str) -> _AttemptRecord:
        return self._record.tries.get(identity, _AttemptRecord(count=0, problem=""))

    def _write(self, identity: str, tries: _AttemptRecord) -> None:
        known = self._record.tries
        known.pop(identity, None)
        known[identity] = tries  # the latest last
        self._record = _RebuildRecord(tries=dict(list(known.items())[-_MOST_REMEMBERED:]))
        write_whole(self._path, self._record.model_dump_json(indent=2).encode() + b"\n")


def refusal(stale: StaleEngines, present: str) -> EngineFault:
    """Fault of engines that are out of date; ``present`` describes the state of building them."""
    names = ", ".join(stale.graphs)
    width_px, height_px = stale.size.width_px, stale.size.height_px
    return EngineFault(
        f"the engines ({names}, {width_px}x{height_px} px) do not fit this system any more; {present}",
        remedy=f"wait for it, or run tremorscope build {stale.bundle} --size {width_px}x{height_px} "
        f"-o {stale.directory} --rebuild",
    )

"""A built engine on disk: a plain TensorRT file, and a sidecar with its source and its builder.

An engine is of one TensorRT, one GPU and one system. TensorRT itself notices some mismatches and dies of others;
so the sidecar is compared first, and a mismatch is refused with its reason.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tremorscope.files import reason_of
from tremorscope.runtime.engines.interface.bundle import sha256_of
from tremorscope.runtime.engines.interface.manifest import FrameSize, Precision
from tremorscope.runtime.engines.tensorrt.plan import Target
from tremorscope.runtime.errors import EngineFault, OutputFault
from tremorscope.runtime.gpu.device import Device
from tremorscope.runtime.host.files import whole_file

REBUILD = "build it again with tremorscope build --rebuild"
_ELSEWHERE = "name another directory with --output, or make room and give the right to write"


class _SidecarPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSource(_SidecarPart):
    """Graph, precision and frame size that an engine is built from."""

    network: str
    graph: str
    """Name of the graph in the bundle, e.g. ``pairwise``."""
    graph_sha256: str
    precision: Precision
    frame_size: FrameSize
    most_sections: int | None = None
    """Most sections of a band filter; None where there is none."""


class Builder(_SidecarPart):
    """TensorRT, GPU and system that build or run an engine."""

    target: Target
    version: str
    """Version of TensorRT, all four numbers."""
    machine: str
    gpu: str | None
    compute_capability: str | None
    cuda: str | None
    l4t: str | None
    power_mode: str | None
    sm_count: int | None = None
    cuda_toolkit: str | None = None


class BuildSettings(_SidecarPart):
    """Flags and limits that TensorRT was given."""

    rule: str
    network_flags: tuple[str, ...]
    builder_flags: tuple[str, ...]
    cleared_flags: tuple[str, ...]
    workspace_bytes: int
    dla_core: int | None


class Sidecar(_SidecarPart):
    """Stored beside an engine as JSON."""

    format_version: Literal[2] = 2
    source: EngineSource
    builder: Builder
    settings: BuildSettings
    engine_bytes: int = Field(ge=1)
    engine_sha256: str
    built_utc: str
    build_s: float
    tremorscope: str
    """The release that built it."""
    seal: str = ""
    """SHA-256 of all other keys, which reveals a change by hand."""

    def sealed(self) -> Sidecar:
        """The same with its seal."""
        return self.model_copy(update={"seal": self._digest()})

    def is_intact(self) -> bool:
        """Tell whether nothing was changed since it was sealed."""
        return self.seal == self._digest()

    def _digest(self) -> str:
        rest = self.model_dump(mode="json", exclude={"seal"})
        return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class EnginePaths:
    """Paths of an engine, its sidecar and its timing cache."""

    engine: Path
    sidecar: Path
    timing_cache: Path


def engine_paths(
    directory: Path,
    target: Target,
    graph: str,
    size: FrameSize,
    dla_core: int | None = None,
    *,
    precision: Precision = "fp32",
) -> EnginePaths:
    """The files of an engine, e.g. ``pairwise-1920x1080.tensorrt.engine``; the timing cache is shared.

    Those in INT8 have names of their own: where heat asks for INT8 they lie beside the others, in one directory.
    """
    more = ("-int8" if precision == "int8" else "") + ("" if dla_core is None else f"-dla{dla_core}")
    name = f"{graph}-{size.width_px}x{size.height_px}{more}.{target}"
    return EnginePaths(
        directory / f"{name}.engine", directory / f"{name}.json", directory / f"timing.{target}.cache"
    )


def describe_builder(target: Target, version: str, device: Device) -> Builder:
    """TensorRT, GPU and system of this machine."""
    return Builder(target=target, version=version, **asdict(device))


def check_writable(directory: Path) -> None:
    """Refuse a directory in which nothing could be written, or that could not be made.

    Raises:
        EngineFault: nothing could be written there.
    """
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise EngineFault(f"{directory}: no engine can be written there", remedy=_ELSEWHERE)


def write_engine(paths: EnginePaths, engine: bytes, sidecar: Sidecar) -> None:
    """Write an engine, then its sidecar: neither counts without the other.

    Raises:
        EngineFault: they cannot be written.
    """
    write_whole(paths.engine, engine)
    write_whole(paths.sidecar, (sidecar.sealed().model_dump_json(indent=2) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that after a kill or a power cut the old content is there, or the new.

    Raises:
        EngineFault: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise EngineFault(f"{path}: cannot be written ({reason_of(error)})", remedy=_ELSEWHERE) from None
    except OutputFault as fault:
        raise EngineFault(fault.what, remedy=_ELSEWHERE) from None


def check_engine(
    paths: EnginePaths, source: EngineSource, builder: Builder
) -> tuple[Sidecar, tuple[str, ...]]:
    """Check that an engine is whole, is of this source, and was built here.

    Args:
        paths: the engine's files.
        source: what it should have been built from.
        builder: what would run it.

    Returns:
        The sidecar, and remarks that do not stop the engine.

    Raises:
        EngineFault: it is missing, damaged, or of something else.
    """
    sidecar = read_sidecar(paths.sidecar)
    differences = _differences(sidecar.source, source, tuple(EngineSource.model_fields))
    binding = _BINDING[builder.target]
    if None in (sidecar.builder.cuda_toolkit, builder.cuda_toolkit):  # engines run without it as well
        binding = tuple(name for name in binding if name != "cuda_toolkit")
    differences += _differences(sidecar.builder, builder, binding)
    if differences:
        what, built, wanted = differences[0]
        raise EngineFault(f"{paths.engine}: its {what} is {built}, and here it is {wanted}", remedy=REBUILD)
    _check_content(paths.engine, sidecar)
    if sidecar.builder.power_mode != builder.power_mode:
        return sidecar, (
            f"built in power mode {sidecar.builder.power_mode}, now {builder.power_mode}: it runs, but its kernels "
            "were timed for the other; --rebuild times them anew",
        )
    return sidecar, ()


_BINDING: dict[Target, tuple[str, ...]] = {
    "tensorrt": (
        "target",
        "version",
        "machine",
        "gpu",
        "compute_capability",
        "sm_count",
        "cuda",
        "cuda_toolkit",
        "l4t",
    ),
    "tensorrt-rtx": ("target", "version", "machine"),  # it makes its kernels on the GPU that it finds
}
"""Fields of ``Builder`` that must be the same where an engine is built and where it runs."""

_NAMES = {
    "graph_sha256": "graph's hash",
    "frame_size": "frame size",
    "most_sections": "most sections of a filter",
    "version": "TensorRT version",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "sm_count": "number of multiprocessors",
    "cuda": "CUDA version",
    "cuda_toolkit": "CUDA toolkit",
    "l4t": "L4T release",
}


def _differences(built: BaseModel, wanted: BaseModel, fields: tuple[str, ...]) -> list[tuple[str, str, str]]:
    pairs = [(name, getattr(built, name), getattr(wanted, name)) for name in fields]
    return [(_NAMES.get(name, name), _said(one), _said(other)) for name, one, other in pairs if one != other]


def _said(value: Any) -> str:
    if isinstance(value, FrameSize):
        return f"{value.width_px}x{value.height_px}"
    return "none" if value is None else str(value)[:24]


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar and check its seal.

    Raises:
        EngineFault: it is missing, not understood, or was changed.
    """
    try:
        sidecar = Sidecar.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise EngineFault(f"{path}: missing", remedy=REBUILD) from None
    except OSError as error:
        raise EngineFault(
            f"{path}: {reason_of(error)}", remedy="check the path and its permissions"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise EngineFault(f"{path}: {key}: {first['msg']}", remedy=REBUILD) from None
    if not sidecar.is_intact():
        raise EngineFault(f"{path}: was changed since the engine was built", remedy=REBUILD)
    return sidecar


def _check_content(path: Path, sidecar: Sidecar) -> None:
    try:
        present_bytes = path.stat().st_size
        if present_bytes != sidecar.engine_bytes:
            raise EngineFault(
                f"{path}: {present_bytes} bytes, and {sidecar.engine_bytes} were built", remedy=REBUILD
            )
        digest = sha256_of(path)
    except FileNotFoundError:
        raise EngineFault(f"{path}: the engine of this sidecar is missing", remedy=REBUILD) from None
    except OSError as error:
        raise EngineFault(
            f"{path}: {reason_of(error)}", remedy="check the path and its permissions"
        ) from None
    if digest != sidecar.engine_sha256:
        raise EngineFault(f"{path}: its content is not what was built", remedy=REBUILD)

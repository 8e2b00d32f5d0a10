"""The manifest of a bundle, ``manifest.json``: format, seal and writing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tremorscope.files import replacement

MANIFEST_NAME = "manifest.json"

GraphName = Literal["pairwise", "band"]
Precision = Literal["fp32", "fp16", "int8"]
ScaleMethod = Literal["mse", "entropy", "percentile", "minmax"]


class _ManifestPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrameSize(_ManifestPart):
    """Width and height in pixels."""

    width_px: int = Field(ge=16)
    height_px: int = Field(ge=16)


class BundleGraph(_ManifestPart):
    """One ONNX file of the bundle and the hash that seals it."""

    file: str
    sha256: str
    opset: int


class AmplificationRange(_ManifestPart):
    """Amplifications (magnified over true displacement) that the weights were trained for."""

    minimum: float = Field(ge=1.0)
    maximum: float
    attenuates: bool = False
    """True where the network gives those from 0 to 1, too, which take motion away."""


class RepresentationLayout(_ManifestPart):
    """Channels and cells of the band filter's state: of the shape representation and, behind it, of its slopes."""

    channels: int = Field(ge=1)
    cell_px: int = Field(ge=1)
    """Pixels a cell along each axis; a last, partly filled cell counts."""


class Calibration(_ManifestPart):
    """Data that the scales of an INT8 bundle were measured on."""

    source: Literal["set", "drawn"]
    """A calibration set of the user's, or pairs that were drawn."""
    sha256: str
    """SHA-256 of the set; of drawn pairs, of what they are drawn from."""
    pairs: int = Field(ge=1)
    samples: int = Field(ge=1)
    """Tiles of pairs, each at an amplification, that the network was run on."""
    frame_size: FrameSize
    channels: Literal[3] = 3
    amplification: AmplificationRange
    """The deployed range, over which amplification was swept."""


class Quantisation(_ManifestPart):
    """Derivation of an INT8 bundle from an FP32 one."""

    method: ScaleMethod
    unquantised: Literal["fp32", "fp16"]
    """Type of what is not INT8."""
    fused_sums: bool = False
    """True where the residual stream is in INT8, too, if TensorRT runs it."""
    layers: tuple[str, ...]
    """The convolutions in INT8, e.g. ``decoder.0``."""
    kept: tuple[str, ...] = ()
    """Convolutions of the decoder that were kept in floating point."""
    float_graphs: dict[GraphName, str]
    """SHA-256 of the FP32 graphs that were quantised."""
    calibration: Calibration


class Manifest(_ManifestPart):
    """Description of a bundle for a device; stored as ``manifest.json``."""

    format_version: Literal[1] = 1
    network: str
    """Name of the network, e.g. ``realtime``."""
    architecture: dict[str, Any]
    """The network's configuration, enough to build it again."""
    trained: bool
    """False for random weights, which serve timing only."""
    weights_sha256: str
    precision: Precision = "fp32"
    pixel_format: Literal["rgb"] = "rgb"
    frame_size: FrameSize | None
    """The one size that the graphs take; None where they take any."""
    amplification: AmplificationRange
    magnified_motion_max_px: float | None = Field(default=None, gt=0)
    """Largest magnified motion of the training; None where it is not known."""
    graphs: dict[GraphName, BundleGraph]
    cpu_graphs: dict[GraphName, BundleGraph] = Field(default_factory=dict)
    """The same computation, arranged for ONNX Runtime on the CPU, where that has an arrangement of its own."""
    representation: RepresentationLayout | None = None
    """Stated where there is a ``band`` graph."""
    quantisation: Quantisation | None = None
    """Stated where the precision is ``int8``."""
    checks: dict[str, Any] = Field(default_factory=dict)
    """Comparisons made at export, and their results."""
    accuracy: dict[str, Any] = Field(default_factory=dict)
    """Measurements of `tremorscope compare`."""
    deployable: bool | None = None
    """Its verdict: True where no more is lost than was allowed; None without a comparison."""
    versions: dict[str, str] = Field(default_factory=dict)
    seal: str | None = None
    """SHA-256 of all other keys, which reveals an edit by hand; `write_manifest` sets it."""

    @model_validator(mode="after")
    def _states_what_its_precision_needs(self) -> Manifest:
        if (self.precision == "int8") != (self.quantisation is not None):
            raise ValueError("an int8 bundle states its quantisation, and no other does")
        return self


def write_manifest(directory: Path, manifest: Manifest) -> Manifest:
    """Seal a manifest and write it, whole or not at all; returns it with its seal.

    Raises:
        OSError: it cannot be written.
    """
    content = json.loads(manifest.model_dump_json())  # as it will be read
    sealed = manifest.model_copy(update={"seal": seal_of(content)})
    with replacement(directory / MANIFEST_NAME) as file:
        file.write(f"{sealed.model_dump_json(indent=2)}\n".encode())
    return sealed


def seal_of(content: dict[str, Any]) -> str:
    """SHA-256 of a manifest's content, the seal left out, in hexadecimal."""
    rest = {key: value for key, value in content.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()

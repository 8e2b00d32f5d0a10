"""Build settings for each TensorRT version: one table, one pure function, no import of TensorRT.

Where the versions differ, after NVIDIA's developer guides and migration notes of 8.6, 10.x and 11.x:

* precision is a builder's flag in 8.6 and a property of the graph from 10 on; the flags left with 11.0;
* a network is strongly typed by a flag in 10 and always in 11 and in TensorRT for RTX;
* a progress monitor exists since 10.0;
* DLA went with 10.8 and came back with 11.4.1, on AGX Orin alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from tremorscope.runtime.engines.interface.manifest import Precision
from tremorscope.runtime.errors import BundleFault, EngineFault, OptionFault

Target = Literal["tensorrt", "tensorrt-rtx"]
Typing = Literal["weak", "by flag", "always"]
"""Authority over precision: the builder (weak), or the graph, if asked to (by flag) or in any case (always)."""

PRODUCTS: dict[Target, str] = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX"}
IO_FORMAT = "LINEAR"
"""Memory order of every input and output. The graphs state frames as 1 x H x W x 3, which in linear order is
packed pixels; TensorRT's HWC order is that of a tensor stated as 1 x 3 x H x W, and would mix up rows here."""

EXACT = "fp32/"
"""Prefix of the names of a graph's nodes that FP16 would ruin: differences of pixels, coordinates, a filter's state.
Where the builder chooses types, the layers made of them are held to FP32."""

_MIB = 1 << 20
_LEAST_WORKSPACE_BYTES = 128 * _MIB
FLOOR_WORKSPACE_BYTES = 32 * _MIB
"""The builder is not tried with less: a layer of the networks at full HD wants about half of it."""
_MOST_WORKSPACE_BYTES = 4096 * _MIB
"""Scratch memory of a layer is a few full-resolution maps of 64 channels at most; more buys nothing."""


class Version(NamedTuple):
    """A TensorRT version; what stands behind the third number is a build of the same."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class _Rule:
    target: Target
    since: tuple[int, int]
    before: tuple[int, int]
    checked: tuple[tuple[int, int], ...]
    """Versions whose bindings, or whose builder, the tests run against."""
    typing: Typing
    progress_monitor: bool
    timing_cache: bool
    opsets: tuple[int, int]
    dla_typing: Typing | None
    """Typing of a network for DLA; None where the version has no DLA."""
    dla_since: tuple[int, int, int] = (0, 0, 0)


_RULES = (
    _Rule("tensorrt", (8, 6), (9, 0), ((8, 6),), "weak", False, True, (9, 17), "weak"),
    _Rule("tensorrt", (10, 0), (10, 8), ((10, 3),), "by flag", True, True, (9, 20), "weak"),
    _Rule("tensorrt", (10, 8), (11, 0), ((10, 13), (10, 16)), "by flag", True, True, (9, 20), None),
    _Rule("tensorrt", (11, 0), (12, 0), ((11, 4),), "always", True, True, (9, 25), "always", (11, 4, 1)),
    # Its kernels are made when an engine is first loaded, so timings have nothing to say: they are no-ops there.
    _Rule("tensorrt-rtx", (1, 0), (2, 0), ((1, 7),), "always", True, False, (13, 24), None),
)  # fmt: skip


@dataclass(frozen=True)
class BuildRequest:
    """Target, version, precision and limits of an engine to be built."""

    target: Target
    version: Version
    precision: Precision
    opset: int
    workspace_bytes: int
    dla_core: int | None = None


@dataclass(frozen=True)
class BuildPlan:
    """Build settings of TensorRT; flags and pools by the names that its enumerations give them."""

    rule: str
    """The versions that the rule was checked with, e.g. ``10.13, 10.16``."""
    network_flags: tuple[str, ...]
    """Members of ``NetworkDefinitionCreationFlag``."""
    builder_flags: tuple[str, ...]
    """Members of ``BuilderFlag`` to set."""
    cleared_flags: tuple[str, ...]
    """Members of ``BuilderFlag`` to clear."""
    holds_exact: bool
    """True where layers that must be in FP32 (`EXACT`) are held to it, because the graph's types do not bind."""
    pool_limits: tuple[tuple[str, int], ...]
    """Members of ``MemoryPoolType``, and their limits in bytes."""
    io_format: str
    """Member of ``TensorFormat`` for every input and output."""
    timing_cache: bool
    progress_monitor: bool
    dla_core: int | None
    notes: tuple[str, ...]
    """Remarks for the user."""

    @property
    def workspace_bytes(self) -> int:
        """Scratch memory of the builder."""
        return dict(self.pool_limits)["WORKSPACE"]

    def with_half_workspace(self, reason: str) -> BuildPlan | None:
        """The same with half the scratch memory, and a note why; None where that would be too little."""
        workspace_bytes = self.workspace_bytes // 2
        if workspace_bytes < FLOOR_WORKSPACE_BYTES:
            return None
        note = f"tried again with {workspace_bytes // _MIB} MiB of scratch memory: {reason}"
        return replace(self, pool_limits=(("WORKSPACE", workspace_bytes),), notes=(*self.notes, note))


def parse_version(text: str) -> Version:
    """The version that TensorRT states as its ``__version__``, e.g. ``10.13.3.9``.

    Raises:
        EngineFault: it is no version.
    """
    numbers = text.split(".")[:3]
    if len(numbers) < 3 or not all(number.isdecimal() for number in numbers):
        raise EngineFault(
            f"TensorRT states its version as {text!r}", remedy="install JetPack's TensorRT again"
        )
    return Version(*map(int, numbers))


def plan_build(request: BuildRequest) -> BuildPlan:
    """Decide everything in which TensorRT versions differ.

    Raises:
        EngineFault: the version is not supported, or has no DLA.
        BundleFault: the graph's opset is newer than the version reads.
        OptionFault: DLA cannot run the graph's precision.
    """
    rule = _rule_of(request.target, request.version)
    named = f"{PRODUCTS[request.target]} {request.version}"
    oldest, newest = rule.opsets
    if not oldest <= request.opset <= newest:
        raise BundleFault(
            f"the graph is of opset {request.opset}, and {named} reads {oldest} to {newest}",
            remedy="export the bundle for an opset that it reads, or install a JetPack that reads this one",
        )
    typing = rule.typing if request.dla_core is None else _dla_typing(rule, request, named)
    checked = ", ".join(f"{major}.{minor}" for major, minor in rule.checked)
    notes: tuple[str, ...] = ()
    if request.version[:2] not in rule.checked:
        notes = (f"{named} was not checked itself; it is built for like {checked}",)
    return BuildPlan(
        rule=checked,
        network_flags=_network_flags(typing, request.version),
        builder_flags=_precision_flags(typing, request)
        + (() if request.dla_core is None else ("GPU_FALLBACK",)),
        # TensorFloat-32 would round FP32 to 10 bits behind the graph's back.
        cleared_flags=("TF32",),
        holds_exact="OBEY_PRECISION_CONSTRAINTS" in _precision_flags(typing, request),
        pool_limits=(("WORKSPACE", request.workspace_bytes),),
        io_format=IO_FORMAT,
        timing_cache=rule.timing_cache,
        progress_monitor=rule.progress_monitor,
        dla_core=request.dla_core,
        notes=notes,
    )


def opsets_read(target: Target, version: Version) -> tuple[int, int]:
    """The oldest and the newest ONNX opset that a version reads.

    Raises:
        EngineFault: the version is not supported.
    """
    return _rule_of(target, version).opsets


def _rule_of(target: Target, version: Version) -> _Rule:
    rules = [rule for rule in _RULES if rule.target == target]
    for rule in rules:
        if rule.since <= version[:2] < rule.before:
            return rule
    if version[:2] >= rules[-1].before:
        remedy = "install a newer release of tremorscope"
    elif target == "tensorrt":
        remedy = "install JetPack 6.0 or newer, which has 8.6, 10.3 or newer"
    else:
        remedy = "pip install --upgrade tensorrt-rtx"
    raise EngineFault(f"{PRODUCTS[target]} {version} is not supported", remedy=remedy)


def _network_flags(typing: Typing, version: Version) -> tuple[str, ...]:
    # Without it 8.6 makes networks with an implicit batch; 10 has no others and ignores the flag.
    batch = ("EXPLICIT_BATCH",) if version.major < 10 and typing == "weak" else ()
    return batch + (("STRONGLY_TYPED",) if typing == "by flag" else ())


def _precision_flags(typing: Typing, request: BuildRequest) -> tuple[str, ...]:
    if typing != "weak":
        return ()
    # Q/DQ pairs say where INT8 is; the flags allow it, and FP16 for what stands between. They would allow FP16
    # everywhere, so what must not be reduced is held, and holding is obeyed.
    held = ("OBEY_PRECISION_CONSTRAINTS",)
    flags: dict[Precision, tuple[str, ...]] = {
        "fp32": (),
        "fp16": ("FP16", *held),
        "int8": ("FP16", "INT8", *held),
    }
    return flags[request.precision]


def _dla_typing(rule: _Rule, request: BuildRequest, named: str) -> Typing:
    if rule.dla_typing is None or request.version < rule.dla_since:
        raise EngineFault(
            f"{named} cannot use DLA",
            remedy="leave --dla out; TensorRT up to 10.7 has it, and 11.4.1 on AGX Orin",
        )
    if request.precision != "fp16":
        raise OptionFault(
            f"--dla {request.dla_core}: DLA runs FP16 graphs, and this one is {request.precision.upper()}",
            remedy="export the bundle with --precision fp16, or leave --dla out",
        )
    return rule.dla_typing


def fit_workspace(free_bytes: int, asked_mib: int | None) -> int:
    """Bytes that the builder may use as scratch memory: what is asked for, or half of what is free, to 4 GiB.

    On a Jetson the system and the GPU share the memory: what the builder takes, the cameras lack.

    Raises:
        OptionFault: more is asked for than is free.
        EngineFault: too little is free to build with.
    """
    if asked_mib is not None:
        if asked_mib * _MIB > free_bytes:
            raise OptionFault(
                f"--workspace-mib {asked_mib}: only {free_bytes // _MIB} MiB are free",
                remedy="ask for less, or stop other programs",
            )
        return asked_mib * _MIB
    fitted = min(free_bytes // 2, _MOST_WORKSPACE_BYTES) // _MIB * _MIB
    if fitted < _LEAST_WORKSPACE_BYTES:
        raise EngineFault(
            f"{free_bytes // _MIB} MiB of memory are free, too few to build an engine",
            remedy="stop other programs, or choose with --workspace-mib",
        )
    return fitted

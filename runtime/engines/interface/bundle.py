"""The bundle: a directory of ONNX step graphs and the manifest that describes and seals them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from tremorscope.files import open_regular, reason_of, regular_bytes
from tremorscope.runtime.engines.interface.manifest import (
    MANIFEST_NAME,
    GraphName,
    Manifest,
    RepresentationLayout,
    seal_of,
)
from tremorscope.runtime.errors import BundleFault
from tremorscope.runtime.host.files import plain_json

SHIPPED_BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
DEFAULT_NAME, LIGHTEST_NAME = "realtime", "nano"
_HALF, _FULL = "-fp16", "-fp32"
"""Endings of a shipped bundle's name that say in which precision it is run wherever that is."""


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose manifest was read and whose graphs match their hashes."""

    directory: Path
    manifest: Manifest
    half_twin: Path | None = None
    """The same network in FP16, for a GPU, where the name that was asked for says no precision."""
    stands_in: bool = False
    """True where none was named, and a lighter one may be run in its place live on a CPU."""
    why: str = ""
    """Reason why it is run in place of the one that was asked for; empty where it is that one."""

    @property
    def is_shipped(self) -> bool:
        """True if it came with this installation, whatever path leads to it; nothing is ever written into such."""
        return self.directory.resolve().is_relative_to(SHIPPED_BUNDLES.resolve())

    @property
    def named(self) -> str:
        """The bundle as a command takes it: a shipped one's name, or its directory."""
        name = self.directory.name
        if self.directory.parent != SHIPPED_BUNDLES:
            return str(self.directory)
        return name + _FULL if self.half_twin is None and _half_twin(name) else name

    def for_gpu(self) -> Bundle:
        """The bundle to run on a GPU: the twin in FP16 where there is one, which tensor cores compute.

        Raises:
            BundleFault: the twin is damaged, or not of the same weights.
        """
        if self.half_twin is None:
            return self
        twin = open_bundle(self.half_twin)
        if twin.manifest.weights_sha256 != self.manifest.weights_sha256:
            raise BundleFault(
                f"{twin.directory}: has other weights than {self.directory.name}",
                remedy="install tremorscope again",
            )
        name = self.directory.name
        why = f"{name} states no precision, and a GPU is fastest in FP16; {name}{_FULL} insists on FP32"
        return replace(twin, why=why)

    def for_live_cpu(self) -> Bundle:
        """The bundle to run live on a CPU: the lightest that is shipped, where none was named.

        Raises:
            BundleFault: it is damaged.
        """
        if not self.stands_in or not (SHIPPED_BUNDLES / LIGHTEST_NAME).is_dir():
            return self
        why = f"no network is named, and on a CPU the lightest shows most pictures a second; {DEFAULT_NAME} insists"
        return replace(open_bundle(Path(LIGHTEST_NAME)), why=why)

    def graph_path(self, mode_family: GraphName) -> Path:
        """Path of the graph of a mode family.

        Raises:
            BundleFault: the bundle has none for it.
        """
        graph = self.manifest.graphs.get(mode_family)
        if graph is None:
            raise BundleFault(
                f"{self.directory}: has no {mode_family} graph",
                remedy="export the bundle again"
                + (" from a network with a linear encoder (realtime)" if mode_family == "band" else ""),
            )
        return self.directory / graph.file

    def cpu_graph_path(self, mode_family: GraphName) -> Path:
        """Path of the graph that ONNX Runtime runs on the CPU: arranged for it, or the one that all run.

        Raises:
            BundleFault: the bundle has none for it.
        """
        arranged = self.manifest.cpu_graphs.get(mode_family)
        return self.graph_path(mode_family) if arranged is None else self.directory / arranged.file

    def check_deployable(self) -> None:
        """Refuse a bundle that `tremorscope compare` found to lose more than was allowed; one without a
        comparison passes.

        Raises:
            BundleFault: it lost too much; the first reason is named.
        """
        if self.manifest.deployable is False:
            reasons = self.manifest.accuracy.get("reasons") or ["no reason is noted"]
            more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
            raise BundleFault(
                f"{self.directory}: is not deployable: {reasons[0]}{more}",
                remedy="use FP16, or calibrate again; or accept the loss: tremorscope compare with wider limits",
            )

    @property
    def representation(self) -> RepresentationLayout:
        """Layout of the shape representation in the ``band`` graph.

        Raises:
            BundleFault: the manifest does not state it.
        """
        if self.manifest.representation is None:
            raise BundleFault(
                f"{self.directory}: its manifest states no representation", remedy="export the bundle again"
            )
        return self.manifest.representation


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def open_bundle(named: Path | None) -> Bundle:
    """Read and check a bundle: its directory or, where no such thing is here, the name of one that is shipped.

    A shipped name that says no precision, such as ``realtime``, is the bundle in FP32, which has a twin in FP16 for a
    GPU; ``realtime-fp16`` and ``realtime-fp32`` insist, as a directory does.

    Args:
        named: the directory or name; None is the shipped bundle that is run unless another is named.

    Raises:
        BundleFault: the directory is no bundle, its manifest is wrong or was edited, or a graph is missing or
            was changed.
    """
    if named is None:
        named = SHIPPED_BUNDLES / DEFAULT_NAME
        if not named.is_dir():
            raise BundleFault(
                "this installation has no bundle of its own",
                remedy="name one that was exported, with --bundle DIR",
            )
        directory: Path = named
        half_twin = _half_twin(DEFAULT_NAME)
    else:
        shipped = _shipped(named)
        directory = shipped or named
        half_twin = _half_twin(named.name) if shipped else None
    return replace(_read(directory), half_twin=half_twin, stands_in=named == SHIPPED_BUNDLES / DEFAULT_NAME)


def _read(directory: Path) -> Bundle:
    path = directory / MANIFEST_NAME
    try:
        content = plain_json(regular_bytes(path).decode())
        manifest = Manifest.model_validate(content)
    except FileNotFoundError:
        raise BundleFault(
            f"{directory}: no {MANIFEST_NAME} there",
            remedy=f"name a directory that `tremorscope export` wrote, or a shipped bundle: {shipped_names()}",
        ) from None
    except OSError as error:
        raise BundleFault(
            f"{path}: {reason_of(error)}", remedy="check the path and its permissions"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleFault(f"{path}: {key}: {first['msg']}", remedy="export the bundle again") from None
    except ValueError as error:
        raise BundleFault(f"{path}: not valid JSON ({error})", remedy="export the bundle again") from None
    # Manifests of FP32 bundles bore no seal at first.
    if manifest.seal != seal_of(content) and (manifest.seal is not None or manifest.precision != "fp32"):
        raise BundleFault(
            f"{path}: was edited: its content does not match its seal",
            remedy="copy the bundle again, or export it again",
        )
    for graph in (*manifest.graphs.values(), *manifest.cpu_graphs.values()):
        _check_graph(directory / graph.file, graph.sha256)
    return Bundle(directory, manifest)


def shipped_names() -> str:
    """Names of the bundles that come with this installation, separated by commas."""
    return ", ".join(sorted(path.name for path in SHIPPED_BUNDLES.glob("*") if path.is_dir())) or "none"


def _shipped(named: Path) -> Path | None:
    """The directory of a shipped bundle by its name; one that ends in FP32 is the one without an ending."""
    if len(named.parts) != 1 or named.exists():
        return None
    shipped = SHIPPED_BUNDLES / named.name.removesuffix(_FULL)
    return shipped if shipped.is_dir() else None


def _half_twin(name: str) -> Path | None:
    twin = SHIPPED_BUNDLES / (name + _HALF)
    return twin if twin.is_dir() else None


def _check_graph(path: Path, expected_sha256: str) -> None:
    if not path.is_file():
        raise BundleFault(
            f"{path}: missing from the bundle", remedy="copy the whole directory, or export it again"
        )
    if sha256_of(path) != expected_sha256:
        raise BundleFault(
            f"{path}: its content is not what the manifest sealed",
            remedy="copy the bundle again, or export it again",
        )

"""Who may import whom: rooms in one order, which no import runs against; each hardware library has one door."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import product_files
from support import ROOT

ROOMS = """
files
runtime.errors              runtime.settings              runtime.host
runtime.frames              runtime.gpu
runtime.engines.interface   runtime.engines.onnx          runtime.engines.tensorrt      runtime.engines
runtime.cameras.supervision runtime.cameras.gstreamer     runtime.cameras.stacks          runtime.cameras
runtime.vibration.displacement runtime.vibration.spectra  runtime.vibration.monitoring  runtime.vibration
runtime.magnification       runtime.telemetry             runtime.health
runtime.reports             runtime.store                 runtime.clips                 runtime.live
runtime.outputs             runtime.outputs.mqtt          runtime.outputs.web           runtime.configuration
runtime.jobs                runtime.service               runtime.bench                 runtime.doctor
runtime.prove               runtime.prove.steps
model.errors                model.files                   model.yaml_file               model.pairs
model.networks              model.training                model.evaluation
export.errors               export.tensorrt               export.graphs                 export.check
export.bundle               export.timing                 export.studies
calibration.errors          calibration.geometry          calibration.pairs             calibration.capture
calibration.scales          calibration.judging           calibration.quantise          calibration.comparison
api                         cli                         commands
""".split()  # noqa: SIM905
"""Every room of the house, the ground first: a folder of modules, or a module that stands loose in its stage. A room
imports only rooms that stand before it here, so that there is no circle and no way up."""

STAGES = {
    "runtime": {"files", "runtime"},
    "model": {"files", "model"},
    "export": {
        "export",
        "files",
        "model",
        "runtime.engines",
        "runtime.errors",
        "runtime.host.files",
        "runtime.magnification.filters",
        "runtime.reports.figures",
    },
    "calibration": {"calibration", "export", "files", "model", "runtime"},
    "api": {"api", "runtime"},
    "commands": {"calibration", "commands", "export", "files", "model", "runtime"},
    "cli": set(),
}
"""Parts of the package that each stage may import: the runtime needs no other, training knows nothing of it."""

OWN = ("api", "commands")
"""Rooms of the package's own, which are no stage's."""

LOOSE = 4
"""So many modules may stand loose in a stage, its face apart."""

RUNTIME_DEPENDENCIES = {
    "aiohttp", "av", "click", "matplotlib", "numpy", "onnxruntime", "prometheus_client", "pydantic", "pyuff",
    "scipy", "tifffile", "tqdm", "typing_extensions", "pydantic_core", "yaml",
    "cuda", "cv2", "distributed", "gi", "jtop", "obspy", "paho", "pycuda", "pyoma2", "tensorrt", "tensorrt_rtx",
    "tensorrt_rtx_bindings",
}  # fmt: skip
"""Third-party packages that the runtime may import at all (typing_extensions and pydantic_core are of pydantic);
the last lines only where they are at hand."""

DOORS = {
    "av": {
        "runtime/cameras/clip.py",
        "runtime/cameras/clip_stream.py",
        "runtime/cameras/stacks/deep_avi.py",
        "runtime/cameras/stacks/pictures.py",
        "runtime/clips/containers.py",
        "runtime/clips/h264.py",
        "runtime/clips/sound.py",
        "runtime/outputs/web/pictures.py",
        "runtime/clips/video.py",
        "runtime/outputs/rtsp.py",
    },
    "onnxruntime": {"runtime/engines/onnx/graph.py", "runtime/engines/onnx/profile.py"},
    "cuda": {"runtime/gpu/egl.py", "runtime/gpu/cuda_bindings.py"},
    "cv2": {"runtime/cameras/stacks/tiff.py", "runtime/vibration/displacement/warping.py"},
}
"""Where the runtime may import a library; one not named here has one door wherever that is."""
HARDWARE = [
    "av",
    "cv2",
    "cuda",
    "gi",
    "jtop",
    "onnxruntime",
    "pycuda",
    "tensorrt",
    "tensorrt_rtx",
    "tensorrt_rtx_bindings",
]


def modules(stage: str = "*") -> list[Path]:
    """Files of one stage, or of all."""
    place = ROOT / "tremorscope" / stage if stage in OWN else ROOT / stage
    return [path for path in product_files() if stage == "*" or path.is_relative_to(place)]


def name_of(path: Path) -> str:
    """Name of a module within the package: ``runtime.host.files``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "tremorscope" else parts)


def room_of(name: str) -> str:
    """Room that a module lies in; the module itself where it stands loose, or is a stage's face."""
    parts = name.removesuffix(".__init__").split(".")
    folder = (ROOT / Path(*parts)).is_dir() or (ROOT / "tremorscope" / Path(*parts)).is_dir()
    return ".".join(parts if folder or (len(parts) <= 2 and parts[0] not in OWN) else parts[:-1])


def imports_of(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports anywhere, also within functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            # `from package import module` imports the module.
            yield from (name if is_module(name) else str(node.module) for name in whole)


def is_module(name: str) -> bool:
    place = ROOT / Path(*name.removeprefix("tremorscope.").split("."))
    own = ROOT / Path(*name.split("."))
    return any(path.with_suffix(".py").exists() or (path / "__init__.py").exists() for path in (place, own))


def own_imports(path: Path) -> list[str]:
    """Modules of the package that a file imports, named within the package."""
    return [name.removeprefix("tremorscope.") for name in imports_of(path) if name.startswith("tremorscope.")]


def is_within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def against(order: list[str], imports: dict[str, list[str]]) -> list[str]:
    """Imports, module by module, that run up in the order of the rooms."""
    return [
        f"{name} imports {imported}"
        for name, found in imports.items()
        for imported in found
        if room_of(imported) != room_of(name) and order.index(room_of(imported)) > order.index(room_of(name))
    ]


FACES = {"__init__", "__main__", "runtime", "model", "export", "calibration"}


def test_no_import_runs_up() -> None:
    """Against a full order there is no circle either."""
    imports = {
        name: [imported for imported in own_imports(path) if imported not in FACES]
        for path in modules()
        if (name := name_of(path)).removesuffix(".__init__") not in FACES
    }
    assert {room_of(name) for name in imports} == set(ROOMS), "each room stands in the table, and is there"
    assert against(ROOMS, imports) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not within a room either, nor for types alone."""
    graph = {name_of(path).removesuffix(".__init__"): own_imports(path) for path in modules()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, with the circle


def test_an_import_up_is_seen() -> None:
    assert against(ROOMS, {"runtime.frames.ring": ["runtime.live.feed"]}) == [
        "runtime.frames.ring imports runtime.live.feed"
    ]
    assert against(ROOMS, {"runtime.live.feed": ["runtime.frames.ring", "runtime.live.picture"]}) == []


def test_few_modules_stand_loose() -> None:
    loose = Counter(
        path.parent.name for path in modules() if path.parent.parent == ROOT and path.stem not in FACES
    )
    assert all(count <= LOOSE for count in loose.values()), loose


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_imports_only_what_stands_before_it(stage: str) -> None:
    files = [ROOT / "tremorscope" / "cli.py"] if stage == "cli" else modules(stage)
    assert files
    assert [
        f"{name_of(path)} imports {name}"
        for path in files
        for name in own_imports(path)
        if not any(is_within(name, part) for part in STAGES[stage])
    ] == []


def test_everything_is_imported_by_its_full_name() -> None:
    """A user's own ``model.py`` must not be taken for ours."""
    files = [*modules(), *(ROOT / "tests").rglob("*.py")]
    assert [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imports_of(path)
        if name.partition(".")[0] in STAGES
    ] == []


def test_runtime_imports_only_its_declared_dependencies() -> None:
    stray = defaultdict(set)
    for path in modules("runtime"):
        for name in imports_of(path):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in RUNTIME_DEPENDENCIES | {"tremorscope"}:
                stray[name_of(path)].add(top)
    assert dict(stray) == {}


@pytest.mark.parametrize("library", HARDWARE)
def test_each_hardware_library_has_one_door(library: str) -> None:
    importers = {
        path.relative_to(ROOT).as_posix()
        for path in modules("runtime")
        if any(is_within(name, library) for name in imports_of(path))
    }
    if library in DOORS:
        assert importers == DOORS[library]
    else:
        assert len(importers) <= 1


def test_commands_import_no_stage_before_they_run() -> None:
    allowed = {"click", "tremorscope.commands.options"}
    commands = sorted((ROOT / "tremorscope" / "commands").glob("*.py"))
    assert len(commands) > 5
    for path in commands:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = {
            name
            for node in tree.body
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        }
        assert {
            name for name in top if name and name.partition(".")[0] not in sys.stdlib_module_names
        } <= allowed, path

"""Who may import whom. The stages of the kit point one way only, and each hardware library has one door."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"calibration", "export", "model", "runtime"}

# A module is allowed if it is, or lies in, one of these; a package may always import itself.
ALLOWED = {
    "model": set(),
    "runtime": set(),
    "export": {
        "model",
        "tremorscope.runtime.engines.interface.engine",
        "tremorscope.runtime.errors",
        "tremorscope.runtime.magnification.filters",
        "tremorscope.commands.options",
        "tremorscope.runtime.host.directories",
        "tremorscope.runtime.reports.figures",
    },
    "calibration": {"export", "model", "runtime"},
}

RUNTIME_DEPENDENCIES = {
    "aiohttp", "av", "click", "matplotlib", "numpy", "onnxruntime", "prometheus_client", "pydantic", "pyuff",
    "scipy", "tqdm", "typing_extensions", "pydantic_core", "yaml",
    "cuda", "gi", "jtop", "paho", "pycuda", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings",
}  # fmt: skip
"""Third-party packages that the runtime may import at all (typing_extensions and pydantic_core are of pydantic);
the last line only where they are at hand."""

DOORS = {
    "av": {
        "runtime/cameras/clip.py",
        "runtime/clips/jpeg.py",
        "runtime/clips/h264.py",
        "runtime/outputs/rtsp.py",
        "runtime/clips/video.py",
    },
    "onnxruntime": {"runtime/engines/onnx/graph.py", "runtime/engines/onnx/profile.py"},
    "cuda": {"runtime/gpu/egl.py", "runtime/gpu/graphs.py"},
}
"""Where the runtime may import a library; one not named here has one door wherever that is."""
HARDWARE = {
    "av",
    "cuda",
    "gi",
    "jtop",
    "onnxruntime",
    "pycuda",
    "tensorrt",
    "tensorrt_rtx",
    "tensorrt_rtx_bindings",
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Full names of all modules that a file imports anywhere, also within functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            # `from runtime import engines` imports runtime.engines.interface.engine as much as `import runtime.engines.interface.engine` does.
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(f"{allowed}.")


def offences(package: str, path: Path, names: set[str]) -> list[str]:
    allowed = ALLOWED[package] | {package}
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for name in sorted(names)
        if name.partition(".")[0] in OURS
        # `from runtime import engines` names runtime itself on the way to runtime.engines.interface.engine.
        and not any(is_within(name, ok) or is_within(ok, name) for ok in allowed)
    ]


@pytest.mark.parametrize("package", sorted(OURS))
def test_a_stage_imports_only_what_stands_before_it(package: str) -> None:
    found = [offence for path in modules(package) for offence in offences(package, path, imports_of(path))]
    assert found == []


@pytest.mark.parametrize(
    ("package", "name", "is_offence"),
    [
        ("runtime", "tremorscope.model.networks.families", True),
        ("runtime", "export", True),
        ("runtime", "tremorscope.runtime.frames.info", False),
        ("model", "tremorscope.runtime.errors", True),
        ("export", "tremorscope.runtime.engines.interface.bundle", False),
        ("export", "tremorscope.runtime.cameras.clip", True),
        ("export", "calibration", True),
        ("calibration", "tremorscope.runtime.jobs.magnify", False),
    ],
)
def test_the_rule_tells_right_from_wrong(package: str, name: str, is_offence: bool) -> None:
    assert bool(offences(package, ROOT / package / "x.py", {name})) is is_offence


def test_runtime_imports_only_its_declared_dependencies() -> None:
    stray = defaultdict(set)
    for path in modules("runtime"):
        for name in imports_of(path):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in RUNTIME_DEPENDENCIES | {"runtime"}:
                stray[str(path.relative_to(ROOT))].add(top)
    assert dict(stray) == {}


@pytest.mark.parametrize("library", sorted(HARDWARE))
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


def test_commands_import_only_click_before_they_run() -> None:
    allowed = {"click", "tremorscope.commands.options"}
    for path in [ROOT / "tremorscope/commands/options.py", *ROOT.glob("*/*commands.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = {
            name
            for node in tree.body
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        }
        assert {name for name in top if name.partition(".")[0] not in sys.stdlib_module_names} <= allowed, (
            path
        )


def test_the_walk_sees_every_package() -> None:
    assert {package for package in OURS if modules(package)} == OURS

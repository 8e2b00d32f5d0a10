"""The package `tremorscope`, however it is installed, and beside a user's files of the same names as its stages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from support import ROOT

from tremorscope import cli

STAGES = ("runtime", "model", "export", "calibration")
PARTS = ("pyproject.toml", "README.md", "LICENSE", "tremorscope", *STAGES)
MODULES = sorted(
    ".".join(("tremorscope", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for stage in STAGES
    for path in (ROOT / stage).rglob("*.py")
)


def run(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def build(hook: str, source: Path, directory: Path) -> Path:
    """What one of the build backend's hooks makes of the sources."""
    code = f"from setuptools import build_meta; print('made', build_meta.{hook}({str(directory)!r}))"
    done = run("-c", code, cwd=source)
    assert done.returncode == 0, done.stderr
    return directory / done.stdout.rpartition("made ")[2].strip()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built, because building leaves things behind."""
    source = tmp_path_factory.mktemp("source")
    subprocess.run(["cp", "-r", *PARTS, str(source)], cwd=ROOT, check=True)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return build("build_wheel", source, source.parent)


def held(names: list[str]) -> set[str]:
    """Python files of the package among the names of an archive."""
    return {name for name in names if name.startswith("tremorscope/") and name.endswith(".py")}


def test_a_wheel_holds_every_module_once_under_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {PurePosixPath(name).parts[0] for name in names} == {"tremorscope", "tremorscope-0.1.0.dist-info"}
    assert {
        name.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".") for name in held(names)
    } >= {
        *MODULES,
        "tremorscope.cli",
    }
    for shipped in (
        "py.typed",
        "api/clips.py",
        "runtime/bundles/realtime/pairwise.onnx",
        "runtime/outputs/web/page/app.js",
        "runtime/reports/page/report.js",
        "model/weights/lite.md",
    ):
        assert f"tremorscope/{shipped}" in names


def test_a_source_archive_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("build_sdist", source, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    with (
        zipfile.ZipFile(build("build_wheel", unpacked, tmp_path)) as made,
        zipfile.ZipFile(wheel) as straight,
    ):
        assert sorted(made.namelist()) == sorted(straight.namelist())


def test_an_editable_installation_knows_the_package_alone(source: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(build("build_editable", source, tmp_path)) as archive:
        archive.extractall(site)
    start = f"import site; site.addsitedir({str(site)!r}); "
    code = "import tremorscope.runtime.host.files as files; print(files.__file__)"
    done = run("-I", "-S", "-c", f"import sys; {start}{code}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).resolve() == source / "runtime" / "host" / "files.py"
    done = run("-I", "-S", "-c", f"{start}import runtime", cwd=tmp_path)
    assert "No module named 'runtime'" in done.stderr


def test_a_checkout_runs_without_being_installed(source: Path) -> None:
    done = run("-m", "tremorscope", "--help", cwd=source)
    assert done.returncode == 0, done.stderr
    assert all(f"\n  {name} " in done.stdout for name in cli.COMMANDS)


def test_the_types_of_linked_stages_are_checked(tmp_path: Path) -> None:
    """A planted error is found; so it is not where mypy does not follow the links."""
    package = tmp_path / "tremorscope"
    package.mkdir()
    for place in (package, *(tmp_path / stage for stage in STAGES)):
        place.mkdir(exist_ok=True)
        (place / "__init__.py").write_text('"""A stage."""\n')
    for stage in STAGES:
        assert (ROOT / "tremorscope" / stage).readlink() == Path("..", stage)
        (package / stage).symlink_to(Path("..", stage))
        (tmp_path / stage / "planted.py").write_text('"""Wrong."""\n\nCOUNT: int = "three"\n')
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = run("-m", "mypy", "--cache-dir", tmp_path / "cache", cwd=tmp_path)
    found = {line.split(":")[0] for line in done.stdout.splitlines() if "Incompatible types" in line}
    assert found == {f"tremorscope/{stage}/planted.py" for stage in STAGES}


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder in which a user keeps files that bear the names of our stages."""
    for stage in STAGES:
        (tmp_path / f"{stage}.py").write_text("raise SystemExit('a file of the user was taken for ours')\n")
    return tmp_path


def test_no_module_takes_a_users_file_for_ours(crowded: Path) -> None:
    needs_a_device = ("pycuda_gpu", "gstreamer.load")
    wanted = [name for name in MODULES if not name.endswith(needs_a_device)]
    assert len(wanted) > 300
    code = f"import importlib\nfor name in {wanted}: importlib.import_module(name)\nprint('all')"
    done = run("-c", code, cwd=crowded, PYTHONPATH=f"{crowded}{os.pathsep}{ROOT}")
    assert (done.stdout, done.returncode) == ("all\n", 0), done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "recipe.yaml", "-o", "run"],
        ["evaluate", "realtime", "--photographs", "none"],
        ["export", "--model", "none.safetensors", "-o", "bundle"],
        ["calibrate", "show", "none"],
        ["magnify", "none.mp4", "-o", "out.mp4", "-a", "5"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_runs_beside_such_files(crowded: Path, arguments: list[str]) -> None:
    done = run("-m", "tremorscope", *arguments, cwd=crowded, PYTHONPATH=str(ROOT))
    assert done.returncode == 1
    assert done.stderr.startswith("tremorscope: ")
    assert "none" in done.stderr or "recipe.yaml" in done.stderr

"""The Debian package: built here, and installed, upgraded and purged on a clean Debian with a real systemd.

That machine has what the package depends on and nothing else: no network, no compiler, no pip, nothing of ours.
Debian 12 in CI; by hand, where there is a python3.10 or python3.12 to build with, TREMORSCOPE_SUITE=jammy makes it
Ubuntu 22.04, as under JetPack 6, and TREMORSCOPE_SUITE=noble 24.04, as under JetPack 7.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from booted import Machine, boot_or_skip, changed_wheel
from packages import PYTHONS, field, python_of, run_build, unpack_clean
from support import ROOT

SUITE = os.environ.get("TREMORSCOPE_SUITE", "bookworm")
SERVICE = "tremorscope.service"
CONFIGURATION = "/etc/tremorscope/config.yaml"
JETPACK = "/usr/lib/python3/dist-packages"
ASK = (
    "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=10).status)"
)
# Directories stay where others may use them too; journals and dpkg's own records are not ours.
LEFT = (
    r"find / -xdev \( -path /var/log -o -path /var/lib/dpkg -o -path '/etc/*-' \) -prune "
    r"-o \( ! -type d -o -name '*tremorscope*' \) -print | sort"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    directory = tmp_path_factory.mktemp("package")
    try:
        python = python_of(SUITE)
    except OSError as error:
        pytest.skip(f"needs its Python to build the package: {error}")
    done = run_build(directory, "--without-cuda", "--python", python)
    assert done.returncode == 0, done.stderr
    (package,) = directory.glob("*.deb")
    assert done.stdout == f"{package}\n"
    return package


@pytest.fixture(scope="module")
def tree(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the package."""
    tree = tmp_path_factory.mktemp("tree")
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    return tree


def upgraded(package: Path, tree: Path, directory: Path) -> Path:
    """The package of a later version, whose code differs in a line."""
    wheels = tree / "usr/lib/tremorscope/wheels"
    (kit,) = wheels.glob("tremorscope-*.whl")
    changed = changed_wheel(
        kit, directory / "changed", {"tremorscope/runtime/service/process.py": b"# later\n"}
    )
    shutil.copy(changed, kit)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(field(package, "Version"), "9.0"))
    later = directory / "later.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, later], check=True)
    return later


def clean_debian(place: Path, package: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs a clean Debian, and so root")
    try:
        unpack_clean(place, package, SUITE)
    except OSError as error:
        pytest.skip(f"needs mmdebstrap: {error}")


@pytest.fixture(scope="module")
def machine(package: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    base = tmp_path_factory.mktemp("debian")
    clean_debian(base, package)
    shutil.copy(package, base / "root/first.deb")
    shutil.move(upgraded(package, tree, tmp_path_factory.mktemp("later")), base / "root/later.deb")
    # What is not imported need not be compiled: ten thousand files in each of two releases.
    (base / "etc/pip.conf").write_text("[install]\nno-compile = true\n")
    with boot_or_skip(base=base) as machine:
        yield machine
    shutil.rmtree(base)


def dpkg(machine: Machine, *arguments: str) -> str:
    done = machine.run("dpkg", *arguments, timeout_s=300)
    return done.stdout + done.stderr


def release(machine: Machine) -> str:
    return machine.run("readlink", "/opt/tremorscope/current").stdout.strip()


def test_its_libraries_are_wheels_for_one_python_and_one_architecture(package: Path, tree: Path) -> None:
    names = {path.name for path in (tree / "usr/lib/tremorscope/wheels").iterdir()}
    libraries = {name.partition("-")[0] for name in names}
    assert {"tremorscope", "pip", "numpy", "scipy", "onnxruntime", "av", "aiohttp", "paho_mqtt"} <= libraries
    assert not libraries & {"torch", "onnx", "onnxscript", "tensorrt", "pycuda", "nvidia_cuda_runtime"}
    architecture = {"amd64": "x86_64", "arm64": "aarch64"}[field(package, "Architecture")]
    minor = int(PYTHONS[SUITE].partition(".")[2])
    version = f"cp3{minor}"
    for name in names:
        assert re.search(rf"-(py3|py2\.py3)-none-any|-{version}-{version}-|-cp3\d+-abi3-", name), name
        assert "-any.whl" in name or name.endswith(f"_{architecture}.whl"), name
    assert field(package, "Version").endswith(f"+py3.{minor}")
    assert f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}~)" in field(package, "Depends")


def test_lintian_has_nothing_against_it(package: Path) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("needs lintian")
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--arch", "riscv64"), "--arch riscv64: no architecture that tremorscope runs on: take arm64 or amd64"),
        (("--python", "/bin/false"), "/bin/false is not Python 3.10, 3.11 or 3.12: name one with --python"),
        (("--colour",), "--colour: no such option: see build.sh --help"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_said_in_one_line(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = run_build(tmp_path, *options)
    assert (done.returncode, done.stderr) == (1, f"build.sh: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_installed_upgraded_and_purged(machine: Machine) -> None:
    for absent in ("cc", "pip3", "curl"):
        assert machine.run("sh", "-c", f"command -v {absent}", check=False).returncode != 0
    assert machine.run("python3", "-c", "import ensurepip", check=False).returncode != 0
    before = machine.run("sh", "-c", LEFT).stdout.splitlines()

    dpkg(machine, "--install", "/root/first.deb")
    assert machine.show(SERVICE, "ActiveState") == "active"
    assert machine.systemctl("is-enabled", SERVICE) == "enabled"
    assert machine.run("python3", "-c", ASK).stdout == "200\n"
    assert machine.run("tremorscope", "--version").stdout.startswith("tremorscope")
    assert machine.read(CONFIGURATION) == (ROOT / "configs/demo.yaml").read_text()
    first = release(machine)

    mine = machine.read(CONFIGURATION).replace("name: demo", "name: mine")
    machine.write(CONFIGURATION, mine)
    # A TensorRT that breaks the service, and that the package has no PyCUDA for.
    machine.write(f"{JETPACK}/tensorrt.py", "__version__ = '10.3.0'\n")
    failed = machine.run("dpkg", "--install", "/root/later.deb", check=False, timeout_s=300)
    assert failed.returncode == 1
    assert "PyCUDA is not in /usr/lib/tremorscope/wheels" in failed.stderr
    assert "gave no frames; " in failed.stderr
    assert release(machine) == first
    assert machine.show(SERVICE, "ActiveState") == "active"

    # Told to leave it alone, the same release runs: it was whole already, and is not installed a third time.
    mine = mine.replace("magnification:\n", "magnification:\n  runtime: onnxruntime\n")
    machine.write(CONFIGURATION, mine)
    dpkg(machine, "--configure", "tremorscope")
    machine.run("find", JETPACK, "-name", "tensorrt*", "-delete")
    assert machine.read(CONFIGURATION) == mine
    assert release(machine) != first
    assert machine.run("readlink", "/opt/tremorscope/previous").stdout.strip() == first
    assert machine.show(SERVICE, "ActiveState") == "active"
    assert machine.run("python3", "-c", ASK).stdout == "200\n"

    dpkg(machine, "--remove", "tremorscope")
    assert machine.show(SERVICE, "LoadState") == "not-found"
    assert machine.run("test", "-e", "/opt/tremorscope", check=False).returncode == 1
    assert machine.read(CONFIGURATION) == mine
    assert machine.run("ls", "/var/lib/tremorscope/main").stdout

    dpkg(machine, "--purge", "tremorscope")
    assert machine.run("sh", "-c", LEFT).stdout.splitlines() == before
    assert "tremorscope" not in machine.read("/etc/passwd") + machine.read("/etc/group")

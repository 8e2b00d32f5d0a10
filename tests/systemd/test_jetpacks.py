"""What install.sh takes on each JetPack: by its release file, and by what its Python can import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

INSTALL = ROOT / "systemd" / "install.sh"
ON_TOP = ", on top of the packages of the system"


def release(major: int, revision: str) -> str:
    """What /etc/nv_tegra_release holds."""
    return f"# R{major} (release), REVISION: {revision}, GCID: 1, BOARD: generic, EABI: aarch64, DATE: Wed Jan 8\n"


class Device:
    """A root directory, and a Python with the modules that its system has."""

    def __init__(self, directory: Path) -> None:
        self.root, self.venv = directory / "root", directory / "venv"
        self.root.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.venv)], check=True)
        (self.site,) = self.venv.glob("lib/python3*/site-packages")
        self.wheels = directory / "wheels"
        self.wheels.mkdir()
        self.write_release("")

    def write_release(self, text: str) -> None:
        (self.root / "etc").mkdir(exist_ok=True)
        (self.root / "etc/nv_tegra_release").write_text(text)

    def module(self, name: str, text: str = "") -> None:
        (self.site / name).mkdir()
        (self.site / name / "__init__.py").write_text(text)

    def dry_run(self, *options: object) -> subprocess.CompletedProcess[str]:
        given = ("--root", self.root, "--python", self.venv / "bin/python", "--dry-run", *options)
        return subprocess.run(
            [str(INSTALL), *map(str, given)], capture_output=True, text=True, check=False, timeout=60
        )

    def taken(self, *options: object) -> str:
        """What the release is made of."""
        done = self.dry_run(*options)
        assert done.returncode == 0, done.stderr
        (line,) = (
            line for line in done.stdout.splitlines() if line.startswith("+ /opt/tremorscope/releases/")
        )
        return line.partition(" with ")[2]


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.mark.parametrize(
    ("major", "revision", "extra"),
    [
        (36, "3.0", "jetson6"),
        (36, "4.0", "jetson6"),
        (36, "4.3", "jetson6"),
        (36, "4.7", "jetson6"),
        (36, "5.0", "jetson6"),
        (38, "2.0", "jetson7"),
        (38, "4.0", "jetson7"),
        (39, "2.0", "jetson7"),
    ],
)
def test_cudas_libraries_are_chosen_by_the_release(
    device: Device, major: int, revision: str, extra: str
) -> None:
    device.write_release(release(major, revision))
    device.module("tensorrt", "raise ImportError('looked for, never imported')")
    (device.wheels / "pycuda-2026.1-cp310-cp310-linux_aarch64.whl").touch()
    assert device.taken("--wheels", device.wheels) == f"tremorscope[service,{extra}]{ON_TOP}"


def test_without_tensorrt_the_cpu_magnifies_and_that_is_said(device: Device) -> None:
    device.write_release(release(36, "4.4"))
    assert device.taken() == f"tremorscope[service]{ON_TOP}"
    assert "TensorRT is not installed, so frames will be magnified on the CPU" in device.dry_run().stderr
    without = device.dry_run().stdout.splitlines()[0]
    device.module("tensorrt")
    (device.wheels / "pycuda-2026.1-cp310-cp310-linux_aarch64.whl").touch()
    # It is another release, so that installing again after JetPack takes it up.
    assert device.dry_run("--wheels", device.wheels).stdout.splitlines()[0] != without


def test_what_pycuda_is_compiled_with_is_asked_for_before_anything_is_done(device: Device) -> None:
    device.write_release(release(36, "4.4"))
    device.module("tensorrt")
    (device.site / "sitecustomize.py").write_text(
        "import sysconfig\npaths = sysconfig.get_paths\n"
        "sysconfig.get_paths = lambda *given: {**paths(*given), 'include': '/no/such'}\n"
    )
    done = device.dry_run()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("install.sh: PyCUDA cannot be compiled here: apt install")
    assert "python3-dev" in line
    assert [path.name for path in device.root.rglob("*")] == ["etc", "nv_tegra_release"]


def test_a_jetpack_that_is_too_old_is_refused_by_its_name(device: Device) -> None:
    device.write_release(release(35, "4.1"))
    done = device.dry_run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "install.sh: Jetson Linux 35.4.1 is older than JetPack 6: flash the device with JetPack 6.2 or later\n"
    )


@pytest.mark.parametrize(
    ("text", "on_top"),
    [
        ("import atexit, os\natexit.register(os.abort)\n", ON_TOP),
        ("import os\nos.abort()\n", ""),
        ("raise ImportError\n", ""),
    ],
)
def test_an_import_is_judged_by_the_line_it_prints(device: Device, text: str, on_top: str) -> None:
    device.module("gi", text)
    assert device.taken() == f"tremorscope[service]{on_top}"


def test_another_computer_with_tensorrt_gets_pycuda_alone(device: Device) -> None:
    device.module("tensorrt")
    (device.wheels / "pycuda-2026.1-cp311-cp311-linux_x86_64.whl").touch()
    assert device.taken("--wheels", device.wheels) == f"tremorscope[service,jetson]{ON_TOP}"

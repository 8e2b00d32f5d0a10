"""What doctor knows of single releases of Jetson Linux: cameras that close badly, memory, boot slots, power modes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from trees import (
    JETPACK_51,
    JETPACK_60,
    JETPACK_61,
    JETPACK_62,
    JETPACK_70,
    JETPACK_72,
    JETPACK_621,
    JETPACK_621_BY_APT,
    JETPACK_622,
    RELEASES,
    Invented,
    Release,
    camera_packages,
    orin,
    package,
    told,
)

from tremorscope.runtime.doctor.cameras import CAMERA_PACKAGES
from tremorscope.runtime.doctor.examination import Examination, examine
from tremorscope.runtime.doctor.probe import Answer, Machine, Needs, ProbeFinding

REDUNDANCY = "/sys/firmware/efi/efivars/RootfsRedundancyLevel-781e084c-a330-417c-b678-38e696380cb9"
STATUS_B = REDUNDANCY.replace("RedundancyLevel", "StatusSlotB")
SECOND_ROOT = "/dev/disk/by-partlabel/APP_b"


def look(it: Invented) -> Examination:
    return examine(it.machine(), Needs())


def named(it: Invented, name: str) -> ProbeFinding:
    (finding,) = (each for each in look(it).findings if each.name == name)
    return finding


def amiss(it: Invented) -> set[str]:
    return {each.name for each in look(it).findings if each.is_amiss}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.l4t)
def test_of_each_release_exactly_what_is_known_to_be_amiss_is_told(tmp_path: Path, release: Release) -> None:
    expected = {
        JETPACK_51: {"JetPack", "Python", "TensorRT", "cuda-bindings"},
        JETPACK_621_BY_APT: {"camera packages"},
        JETPACK_622: {"camera packages"},
    }
    assert amiss(orin(tmp_path, release)) == expected.get(release, set())


@pytest.mark.parametrize(
    ("release", "found", "command"),
    [
        (
            JETPACK_621_BY_APT,
            "36.4.7",
            "sudo apt install --allow-downgrades nvidia-l4t-gstreamer=36.4.4-20250616085344",
        ),
        (JETPACK_622, "36.5.0", "flash the device with JetPack 6.2.1 (36.4.4)"),
    ],
)
def test_cameras_that_close_badly_are_told_with_the_way_back_and_the_hold(
    tmp_path: Path, release: Release, found: str, command: str
) -> None:
    finding = named(orin(tmp_path, release), "camera packages")
    assert (finding.state, finding.needed, finding.found) == ("wrong", False, found)
    assert finding.command.startswith(command)
    assert f"sudo apt-mark hold {' '.join(CAMERA_PACKAGES)}" in finding.command


@pytest.mark.parametrize("release", [JETPACK_61, JETPACK_62, JETPACK_621])
def test_what_the_next_upgrade_would_break_is_to_be_held(tmp_path: Path, release: Release) -> None:
    it = orin(tmp_path, release)
    version = f"{release.l4t}-{release.stamp}"
    assert named(it, "camera packages").found == f"{release.l4t}, held"
    it.write("/var/lib/dpkg/status", package("nvidia-l4t-core", version) + camera_packages(version))
    finding = named(it, "camera packages")
    assert (finding.state, finding.found) == ("wrong", f"{release.l4t}, not held")
    assert finding.command == f"sudo apt-mark hold {' '.join(CAMERA_PACKAGES)}"


def test_sound_packages_on_a_newer_core_are_sound_and_a_mix_is_not(tmp_path: Path) -> None:
    """The core may be 36.5.0 with the camera's packages of 36.4.4; the four belong together."""
    it = orin(tmp_path, JETPACK_622)
    core = package("nvidia-l4t-core", "36.5.0-20260115194252")
    it.write("/var/lib/dpkg/status", core + camera_packages("36.4.4-20250616085344+site1", held=True))
    assert named(it, "camera packages").found == "36.4.4, held"
    mixed = camera_packages("36.4.4-20250616085344", held=True).replace(
        "36.4.4-20250616085344", "36.4.7-20250918154033", 1
    )
    it.write("/var/lib/dpkg/status", core + mixed)
    assert named(it, "camera packages").found == "a mix of 36.4.4 and 36.4.7"


def test_a_later_release_is_neither_praised_nor_blamed(tmp_path: Path) -> None:
    later = replace(JETPACK_622, l4t="36.5.2")
    finding = named(orin(tmp_path, later), "camera packages")
    assert (finding.state, "not known" in finding.found) == ("ok", True)


@pytest.mark.parametrize(
    ("release", "total_kb", "desktop", "state"),
    [
        (JETPACK_72, 262144, "active", "wrong"),
        (JETPACK_72, 262144, "inactive", "ok"),
        (JETPACK_72, 524288, "active", "ok"),
        (JETPACK_62, 262144, "active", "ok"),
        (JETPACK_72, 0, "active", "not needed"),
    ],
)
def test_little_memory_in_one_piece_and_a_desktop_do_not_go_together(
    tmp_path: Path, release: Release, total_kb: int, desktop: str, state: str
) -> None:
    it = orin(tmp_path, release)
    it.write(
        "/proc/meminfo",
        f"MemTotal: 7802112 kB\nMemAvailable: 4900000 kB\nSwapTotal: 3901056 kB\nCmaTotal: {total_kb} kB\n"
        "CmaFree: 1024 kB\n",
    )
    it.answers["systemctl is-active display-manager"] = Answer(0 if desktop == "active" else 3, desktop)
    finding = named(it, "memory in one piece")
    assert finding.state == state
    if state == "wrong":
        assert finding.found == "256 MB set aside (CMA), 1 MB not even lent, with a desktop"
        assert "multi-user.target" in finding.command


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("NvMapMemAllocInternalTagged: 1075072515 error 12", "the GPU was refused memory (NvMapMemAlloc)"),
        ("cma: cma_alloc: linux,cma: alloc failed, req-size: 4096 pages, ret: -12", "devices were refused memory"),
        ("Out of memory: Killed process 812 (python3) total-vm:9000kB", "the kernel ended a process"),
    ],
)  # fmt: skip
def test_memory_that_was_refused_is_found_in_the_log(tmp_path: Path, line: str, found: str) -> None:
    it = orin(tmp_path)
    it.answers["journalctl"] = Answer(0, f"something else\n{line}")
    finding = named(it, "refused memory")
    assert (finding.state, finding.needed) == ("wrong", False)
    assert finding.found.startswith(found)
    assert line[:40] in finding.found
    (asked,) = (each for each in it.asked if "journalctl" in each)
    assert "--grep" in asked
    del it.answers["journalctl"]  # no journal here: the kernel's own log is asked
    it.answers["dmesg"] = Answer(0, line)
    assert named(it, "refused memory").found == finding.found


def test_a_log_that_may_not_be_read_is_no_clean_one(tmp_path: Path) -> None:
    it = orin(tmp_path)
    it.group_ids -= {4}  # adm
    finding = named(it, "refused memory")
    assert finding.found == "not known: only root reads the log"
    assert not [each for each in it.asked if "journalctl" in each]


def test_a_second_root_file_system_that_is_never_started_is_told(tmp_path: Path) -> None:
    it = orin(tmp_path)
    assert named(it, "boot slots").found == "one root file system"
    it.write(SECOND_ROOT)
    unset = named(it, "boot slots")
    assert (unset.state, unset.needed) == ("wrong", False)
    assert "RootfsRedundancyLevel is not set" in unset.found
    assert "ROOTFS_AB=1" in unset.command
    it.write(REDUNDANCY, "\7\0\0\0\0\0\0\0")
    assert named(it, "boot slots") == unset
    it.write(REDUNDANCY, "\7\0\0\0\1\0\0\0")
    assert named(it, "boot slots").state == "ok"
    (tmp_path / STATUS_B.lstrip("/")).write_bytes(b"\7\0\0\0\xff\0\0\0")
    assert named(it, "boot slots").found == "root file system B is marked unbootable"
    it.remove(STATUS_B)
    it.answers["nvbootctrl -t rootfs dump-slots-info"] = it.answers["nvbootctrl"] = Answer(
        0,
        "Current rootfs slot: B\nActive rootfs slot: B\nnum_slots: 2\n"
        "slot: 0,             retry_count: 0,             status: unbootable\n"
        "slot: 1,             retry_count: 3,             status: normal",
    )
    assert named(it, "boot slots").found == "root file system A is marked unbootable"


@pytest.mark.parametrize(
    ("modes", "number", "found", "command"),
    [
        # Orin Nano with JetPack 6.2, Orin NX, AGX Orin, Orin Nano with JetPack 6.0, Thor
        ("15W 25W MAXN_SUPER", 0, "15W (mode 0); the fastest is MAXN_SUPER (mode 2)", "sudo nvpmodel -m 2"),
        ("MAXN 10W 15W 25W", 0, "MAXN (mode 0)", ""),
        ("MAXN 15W 30W 50W", 3, "50W (mode 3); the fastest is MAXN (mode 0)", "sudo nvpmodel -m 0"),
        ("MAXN_SUPER 10W 15W 25W 40W MAXN", 5, "MAXN (mode 5); the fastest is MAXN_SUPER (mode 0)",
         "sudo nvpmodel -m 0"),
        ("15W 7W", 1, "7W (mode 1); the fastest is 15W (mode 0)", "sudo nvpmodel -m 0"),
        ("7W 15W", 1, "15W (mode 1)", ""),
        ("MAXN 120W", 1, "120W (mode 1); the fastest is MAXN (mode 0)", "sudo nvpmodel -m 0"),
        ("", 0, "mode 0", ""),
    ],
)  # fmt: skip
def test_the_power_mode_is_told_by_its_name_on_this_board(
    tmp_path: Path, modes: str, number: int, found: str, command: str
) -> None:
    it = orin(tmp_path)
    it.write(
        "/etc/nvpmodel.conf",
        "".join(f"< POWER_MODEL ID={i} NAME={name} >\n" for i, name in enumerate(modes.split())),
    )
    it.write("/var/lib/nvpmodel/status", f"pmode:{number:04d} fmode:quiet\n")
    it.answers["nvpmodel -q"] = Answer(1, "")  # as it answers where it may not be asked
    finding = named(it, "power mode")
    assert (finding.state, finding.found, finding.command) == ("ok", found, command)


def test_a_power_mode_that_could_not_be_set_is_told(tmp_path: Path) -> None:
    """As nvpmodel answers, with status 0, where the GPU was in use before it."""
    it = orin(tmp_path)
    it.answers["nvpmodel -q"] = Answer(0, "NVPM WARN: power mode is not set!")
    finding = named(it, "power mode")
    assert (finding.state, finding.needed) == ("wrong", False)
    assert "power mode is not set" in finding.found
    assert finding.command == "sudo nvpmodel -m 1 && sudo reboot"


def test_tensorrt_without_its_bindings_needs_one_package(tmp_path: Path) -> None:
    it = orin(tmp_path)
    it.answers["import tensorrt"] = Answer(1, "ModuleNotFoundError: No module named 'tensorrt'")
    it.remove("/usr/lib/python3.10/dist-packages/tensorrt/__init__.py")
    (tmp_path / "usr/lib/python3.10/dist-packages/tensorrt").rmdir()
    assert named(it, "TensorRT").command == "sudo apt install python3-libnvinfer"


@pytest.mark.parametrize(
    ("release", "cuda"),
    [(JETPACK_60, 12), (JETPACK_62, 12), (JETPACK_622, 12), (JETPACK_70, 13), (JETPACK_72, 13)],
)
def test_without_cudas_libraries_frames_are_copied_and_the_command_is_exact(
    tmp_path: Path, release: Release, cuda: int
) -> None:
    it = orin(tmp_path, release)
    it.answers["import cuda.bindings"] = Answer(1, "ModuleNotFoundError: No module named 'cuda'")
    it.answers["import pycuda"] = Answer(1, "ModuleNotFoundError: No module named 'pycuda'")
    bindings, pycuda = named(it, "cuda-bindings"), named(it, "PyCUDA")
    assert bindings.means.startswith("frames are copied")
    assert "frames are copied" in pycuda.means
    pip = "/opt/tremorscope/bin/python -m pip install"
    assert bindings.command == f"sudo {pip} 'cuda-bindings=={cuda}.*'"
    assert pycuda.command == (
        "sudo env PATH=/usr/local/cuda/bin:$PATH " + pip + f" 'pycuda>=2024.1' 'cuda-bindings=={cuda}.*'"
    )
    it.remove("/usr/local/cuda/bin/nvcc")
    it.remove(f"/usr/include/python3.{release.python[1]}/Python.h")
    toolkit = {"36.3": "12-2", "36.4": "12-6", "36.5": "12-6", "38.2": "13-0", "39.2": "13-2"}[
        release.l4t[:4]
    ]
    wanted = f"sudo apt install cuda-toolkit-{toolkit} python3-dev build-essential && "
    assert named(it, "PyCUDA").command == wanted + pycuda.command


def test_a_library_that_aborts_when_it_is_unloaded_was_imported_all_the_same(tmp_path: Path) -> None:
    it = orin(tmp_path)
    it.answers["import onnxruntime"] = told("1.24.2", -6, "free(): invalid pointer")
    it.answers["import tensorrt"] = told("10.3.0", -11)
    assert amiss(it) == set()
    assert named(it, "ONNX Runtime").found == "1.24.2, which aborts when a process ends"
    assert named(it, "TensorRT").found == "10.3.0"


def test_a_library_that_aborts_while_it_is_imported_was_not(tmp_path: Path) -> None:
    it = orin(tmp_path)
    said = "stl_vector.h:1130: Assertion '__n < this->size()' failed."
    it.answers["import onnxruntime"] = Answer(-6, said)
    finding = named(it, "ONNX Runtime")
    assert (finding.state, finding.needed) == ("missing", True)
    assert said in finding.found
    assert "!=1.22.*" in finding.command
    it.answers["import onnxruntime"] = told("1.22.0")
    assert named(it, "ONNX Runtime").state == "wrong"


@pytest.mark.parametrize("ending", ["os.abort()", "sys.exit(3)", "os.kill(os.getpid(), 11)"])
def test_an_import_is_judged_by_the_line_it_prints(tmp_path: Path, ending: str) -> None:
    """A real interpreter, whose library works and takes the process down at its end, or before anything was told."""
    (tmp_path / "unsound.py").write_text(
        f"import atexit, os, sys\n__version__ = '1.2'\nprint('loading', end='')\natexit.register(lambda: {ending})\n"
    )

    def run(command: Sequence[str]) -> Answer:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        return Answer(done.returncode, (done.stdout + done.stderr).strip())

    machine = Machine(root=tmp_path, run=run, python=Path(sys.executable))
    answer = machine.python_tells("import unsound", "unsound.__version__")
    assert answer.value == "1.2"
    assert answer.output.startswith("loading")
    assert answer.ended_well is (ending == "sys.exit(3)")  # atexit passes over SystemExit
    broken = machine.python_tells("import os; os.abort()", "1")
    assert (broken.value, broken.ended_well) == ("", False)


def test_the_service_may_ask_jtop_where_it_is_installed(tmp_path: Path) -> None:
    it = orin(tmp_path)
    assert named(it, "jtop").state == "not needed"
    it.write("/etc/systemd/system/jtop.service")
    it.write("/etc/passwd", "tremorscope:x:990:990::/var/lib/tremorscope:/bin/false\n")
    groups = "video:x:44:tremorscope\nrender:x:104:tremorscope\nadm:x:4:\n"
    it.write("/etc/group", groups + "jtop:x:991:\n")
    assert named(it, "jtop").found == "user tremorscope is not in jtop"
    it.write("/etc/group", groups + "jtop:x:991:tremorscope\n")
    assert named(it, "jtop").found == "/run/jtop.sock is not there"
    it.write("/run/jtop.sock")
    assert named(it, "jtop").state == "ok"

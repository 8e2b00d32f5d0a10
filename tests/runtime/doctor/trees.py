"""Invented machines: trees of files and the answers of commands, as a Jetson of some release would have them.

Written after NVIDIA's documentation, not copied from devices: what a real one says must still be seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tremorscope.runtime.doctor.cameras import CAMERA_PACKAGES
from tremorscope.runtime.doctor.libraries import COMMON, DECODERS, ELEMENTS
from tremorscope.runtime.doctor.probe import TELLS, Answer, Machine

ALL_ELEMENTS = frozenset(
    (*COMMON, *(name for table in (ELEMENTS, DECODERS) for names in table.values() for name in names))
)


def told(value: str, status: int = 0, after: str = "") -> Answer:
    """What the interpreter answers that was asked for a value, and ends as it may."""
    return Answer(status, f"{TELLS}{value}\n{after}".strip())


PUBLISHING = {f"import {name}": told("1.0") for name in ("aiohttp", "paho.mqtt", "prometheus_client")}
NOT_FOUND = Answer(1, "ModuleNotFoundError: No module named 'it'")


@dataclass
class Invented:
    """A machine that can be broken piece by piece before it is examined."""

    root: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    """By what the command, in one line, contains."""
    elements: frozenset[str] = ALL_ELEMENTS
    python_version: tuple[int, int] = (3, 10)
    user_id: int = 1000
    group_ids: frozenset[int] = frozenset({1000, 4, 44, 104})
    free_bytes: int = 40 * 10**9
    closed: frozenset[str] = frozenset()
    """Devices that the user may not open."""
    site_packages: bool = True
    asked: list[str] = field(default_factory=list)

    def write(self, path: str, text: str = "") -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path.lstrip("/")).unlink()

    def run(self, command: Sequence[str]) -> Answer | None:
        line = " ".join(command)
        self.asked.append(line)
        if "ElementFactory" in line:
            there = json.dumps({"version": "1.20.3", "elements": sorted(self.elements)})
            return self.answers.get("ElementFactory") or told(there)
        return next((answer for part, answer in self.answers.items() if part in line), None)

    def machine(self) -> Machine:
        self.write("venv/pyvenv.cfg", f"include-system-site-packages = {str(self.site_packages).lower()}\n")
        return Machine(
            root=self.root,
            run=self.run,
            architecture="aarch64",
            python=Path("/opt/tremorscope/bin/python"),
            python_version=self.python_version,
            prefix=self.root / "venv",
            user_id=self.user_id,
            group_ids=self.group_ids,
            may_use=lambda path: str(path.relative_to(self.root)) not in self.closed,
            free_bytes=lambda _path: self.free_bytes,
        )


def package(name: str, version: str, *, held: bool = False) -> str:
    """An entry of /var/lib/dpkg/status."""
    wanted = "hold" if held else "install"  # as `apt-mark hold` writes it
    return (
        f"Package: {name}\nStatus: {wanted} ok installed\nPriority: standard\nSection: metapackages\n"
        f"Maintainer: NVIDIA Corporation\nArchitecture: arm64\nVersion: {version}\n"
        f"Description: what it is\n it goes on here\n\n"
    )


def camera_packages(version: str, *, held: bool = False) -> str:
    """Entries of the camera's packages."""
    return "".join(package(each, version, held=held) for each in CAMERA_PACKAGES)


@dataclass(frozen=True)
class Release:
    """One JetPack."""

    jetpack: str
    l4t: str
    tensorrt: str
    cuda: str
    python: tuple[int, int]
    stamp: str = "20250107174145"
    """Of the packages of Jetson Linux."""


# https://developer.nvidia.com/embedded/jetpack-archive; 36.4.7 and 36.5.0 after ARK's docs/argus_relaunch_regression.md
JETPACK_51 = Release("5.1.2-b104", "35.4.1", "8.5.2.2", "11.4", (3, 8), "20230801124926")
JETPACK_60 = Release("6.0+b106", "36.3.0", "8.6.2.3", "12.2", (3, 10), "20240506102626")
JETPACK_61 = Release("6.1+b123", "36.4.0", "10.3.0.30", "12.6", (3, 10), "20240912212859")
JETPACK_62 = Release("6.2+b77", "36.4.3", "10.3.0.30", "12.6", (3, 10))
JETPACK_621 = Release("6.2.1+b38", "36.4.4", "10.3.0.30", "12.6", (3, 10), "20250616085344")
JETPACK_621_BY_APT = Release("6.2.1+b38", "36.4.7", "10.3.0.30", "12.6", (3, 10), "20250918154033")
JETPACK_622 = Release("6.2.2+b24", "36.5.0", "10.3.0.30", "12.6", (3, 10), "20260115194252")
JETPACK_70 = Release("7.0-b128", "38.2.0", "10.13.3.9", "13.0", (3, 12), "20250821174705")
JETPACK_72 = Release("7.2+b12", "39.2.0", "10.16.2.10", "13.2", (3, 12), "20260601000000")
RELEASES = (
    JETPACK_51, JETPACK_60, JETPACK_61, JETPACK_62, JETPACK_621, JETPACK_621_BY_APT, JETPACK_622, JETPACK_70,
    JETPACK_72,
)  # fmt: skip


def release_file(release: Release) -> str:
    """What /etc/nv_tegra_release holds."""
    major, _, revision = release.l4t.partition(".")
    return (
        f"# R{major} (release), REVISION: {revision}, GCID: 12345678, BOARD: generic, EABI: aarch64, DATE: "
        "Wed Jan  8 01:49:37 UTC 2025\n"
    )


def orin(root: Path, release: Release = JETPACK_62) -> Invented:
    """A Jetson Orin Nano with a camera, on which all is well."""
    library = {"8": "libnvinfer8", "10": "libnvinfer10"}[release.tensorrt.partition(".")[0]]
    it = Invented(root, python_version=release.python)
    it.write("/proc/device-tree/model", "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0")
    it.write("/etc/nv_tegra_release", release_file(release))
    version = f"{release.l4t}-{release.stamp}"
    it.write(
        "/var/lib/dpkg/status",
        package("adduser", "3.118")
        + package("nvidia-jetpack", release.jetpack)
        + package("nvidia-l4t-core", version)
        + camera_packages(version, held=release.l4t.startswith("36.4"))
        + package(library, f"{release.tensorrt}-1+cuda{release.cuda}"),
    )
    it.write("/var/lib/nvpmodel/status", "pmode:0002 fmode:quiet\n")
    it.write(
        "/etc/nvpmodel.conf",
        "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
        "< PM_CONFIG DEFAULT=1 >\n",
    )
    for name, value in {"min_freq": 306000000, "cur_freq": 612000000, "max_freq": 1020000000}.items():
        it.write(f"/sys/class/devfreq/17000000.gpu/{name}", f"{value}\n")
    for number, (kind, millidegrees) in enumerate({"cpu-thermal": 48250, "gpu-thermal": 47100}.items()):
        it.write(f"/sys/class/thermal/thermal_zone{number}/type", f"{kind}\n")
        it.write(f"/sys/class/thermal/thermal_zone{number}/temp", f"{millidegrees}\n")
    for number in (1, 2, 3):
        it.write(f"/sys/class/hwmon/hwmon2/oc{number}_event_cnt", "0\n")
    it.write(
        "/proc/meminfo",
        "MemTotal:        7802112 kB\nMemFree:          523000 kB\nMemAvailable:    4900000 kB\n"
        "SwapTotal:       3901056 kB\nSwapFree:        3901056 kB\nCmaTotal:         262144 kB\n"
        "CmaFree:          201000 kB\n",
    )
    it.write("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition\t650176\t0\t5\n")
    it.write("/proc/mounts", "/dev/nvme0n1p1 / ext4 rw,relatime 0 0\ntmpfs /tmp tmpfs rw 0 0\n")
    it.write("/sys/class/video4linux/video0/name", "vi-output, imx219 9-0010\n")
    it.write("/sys/class/video4linux/video0/index", "0\n")
    it.write(
        "/etc/group", "root:x:0:\nadm:x:4:ubuntu\nvideo:x:44:ubuntu\nrender:x:104:ubuntu\nubuntu:x:1000:\n"
    )
    it.write("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n")
    for path in ("/dev/video0", "/dev/nvmap", "/dev/dri/renderD128", "/tmp/argus_socket"):
        it.write(path)
    python = f"python{release.python[0]}.{release.python[1]}"
    for path in (
        "/usr/local/cuda/bin/nvcc",
        f"/usr/include/{python}/Python.h",
        "/run/systemd/journal/socket",
        "/var/log/journal/id/system.journal",
    ):
        it.write(path)
    it.write(f"/usr/lib/{python}/dist-packages/tensorrt/__init__.py")
    it.answers = {
        "nvpmodel -q": Answer(0, "NV Power Mode: MAXN_SUPER\n2"),
        "systemctl is-active nvargus-daemon": Answer(0, "active"),
        "systemctl is-active display-manager": Answer(3, "inactive"),
        "journalctl": Answer(1, ""),
        "nvbootctrl": Answer(1, "nvbootctrl must be run as root"),
        "timedatectl show": Answer(0, "Timezone=Europe/Zurich\nNTP=yes\nNTPSynchronized=yes"),
        "import onnxruntime": told("1.23.2"),
        "import tensorrt": told(release.tensorrt),
        "import pycuda": told("2026.1, Orin"),
        "import cuda.bindings": told(f"{release.cuda}.0"),
        **PUBLISHING,
    }
    return it


def desktop(root: Path) -> Invented:
    """An x86-64 machine without a GPU or a camera."""
    it = Invented(root, python_version=(3, 11), group_ids=frozenset({1000}), site_packages=False)
    it.write("/proc/meminfo", "MemTotal: 24000000 kB\nMemAvailable: 20000000 kB\nSwapTotal: 0 kB\n")
    it.write("/proc/mounts", "/dev/vda / ext4 rw 0 0\n")
    it.write("/etc/group", "root:x:0:\nvideo:x:44:\n")
    it.write("/run/systemd/timesync/synchronized")
    it.answers = {
        "import onnxruntime": told("1.23.2"),
        "import tensorrt": NOT_FOUND,
        "import pycuda": NOT_FOUND,
        "import cuda.bindings": NOT_FOUND,
        **PUBLISHING,
    }
    return it

"""Every probe against invented machines: sound ones, and one fault at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from support import run_command as run_command_line
from trees import (
    ALL_ELEMENTS,
    JETPACK_60,
    JETPACK_61,
    JETPACK_62,
    JETPACK_70,
    JETPACK_72,
    JETPACK_621,
    NOT_FOUND,
    Invented,
    Release,
    desktop,
    orin,
    package,
    told,
)

from tremorscope import cli
from tremorscope.runtime.cameras import csi, rtsp, v4l2
from tremorscope.runtime.cameras.gstreamer.load import PACKAGES
from tremorscope.runtime.cameras.settings import CsiSettings, RtspCameraSettings, V4l2Settings
from tremorscope.runtime.doctor.examination import Examination, examine, lines
from tremorscope.runtime.doctor.probe import Answer, Machine, Needs, ProbeFinding, run_command

CSI = Needs(camera="csi", configured=True)
USB = Needs(camera="v4l2", device=Path("/dev/video2"), configured=True)


def look(it: Invented, needs: Needs | None = None) -> Examination:
    return examine(it.machine(), needs or Needs())


def amiss(examined: Examination) -> list[ProbeFinding]:
    return [finding for finding in examined.findings if finding.is_amiss]


def named(examined: Examination, name: str) -> ProbeFinding:
    (finding,) = (finding for finding in examined.findings if finding.name == name)
    return finding


@pytest.mark.parametrize(
    ("release", "title"),
    [
        (JETPACK_60, "6.0, Jetson Linux 36.3.0"),
        (JETPACK_61, "6.1, Jetson Linux 36.4.0"),
        (JETPACK_62, "6.2, Jetson Linux 36.4.3"),
        (JETPACK_621, "6.2.1, Jetson Linux 36.4.4"),
        (JETPACK_70, "7.0, Jetson Linux 38.2.0"),
        (JETPACK_72, "7.2, Jetson Linux 39.2.0"),
    ],
)
@pytest.mark.parametrize("needs", [Needs(), CSI])
def test_on_a_sound_orin_nothing_is_amiss(tmp_path: Path, release: Release, title: str, needs: Needs) -> None:
    examined = look(orin(tmp_path, release), needs)
    assert amiss(examined) == []
    assert examined.can_run
    assert named(examined, "JetPack").found == title
    assert named(examined, "TensorRT").found == release.tensorrt
    assert named(examined, "board").found.startswith("NVIDIA Jetson Orin Nano")
    assert named(examined, "camera /dev/video0").found == "vi-output, imx219 9-0010"
    assert named(examined, "power mode").found == "MAXN_SUPER (mode 2)"
    assert named(examined, "temperature").found == "48 °C at cpu-thermal"
    assert named(examined, "swap").found == "4.0 GB, compressed memory"
    assert lines(examined)[-1] == "This device can run, and nothing is amiss."


def test_on_a_computer_without_a_gpu_what_is_jetsons_is_not_needed(tmp_path: Path) -> None:
    examined = look(desktop(tmp_path))
    assert amiss(examined) == []
    assert examined.can_run
    for name in ("JetPack", "power mode", "TensorRT", "PyCUDA", "nvargus-daemon", "camera", "groups", "swap"):
        assert named(examined, name).state == "not needed", name


Break = Callable[[Invented], None]


def answer(part: str, said: Answer | None) -> Break:
    def act(it: Invented) -> None:
        if said is None:
            del it.answers[part]
        else:
            it.answers[part] = said

    return act


def write(path: str, text: str) -> Break:
    return lambda it: it.write(path, text)


def put(**changes: object) -> Break:
    def act(it: Invented) -> None:
        for name, value in changes.items():
            setattr(it, name, value)

    return act


def without(element: str) -> Break:
    return lambda it: setattr(it, "elements", it.elements - {element})


ARGUS = "systemctl is-active nvargus-daemon"
NO_SUCH = Answer(1, "Traceback (most recent call last):\nModuleNotFoundError: No module named 'x'")
FAULTS: dict[str, tuple[Break, Needs, str, str, bool, str]] = {
    "an old JetPack": (
        write("/etc/nv_tegra_release", "# R35 (release), REVISION: 4.1, GCID: 1"),
        Needs(), "JetPack", "wrong", True, "JetPack 6.2 or later",
    ),
    "no software of a Jetson": (
        lambda it: (it.remove("/etc/nv_tegra_release"), it.write("/var/lib/dpkg/status"))[1],  # type: ignore[func-returns-value]
        Needs(), "JetPack", "wrong", True, "flash",
    ),
    "a Python that is too new": (put(python_version=(3, 13)), Needs(), "Python", "wrong", True, "python3.10"),
    "an environment of its own": (
        put(site_packages=False), Needs(), "virtual environment", "wrong", True, "--system-site-packages",
    ),
    "no ONNX Runtime": (answer("import onnxruntime", NO_SUCH), Needs(), "ONNX Runtime", "missing", True, "pip install"),
    "TensorRT that is not seen": (
        answer("import tensorrt", NO_SUCH), Needs(), "TensorRT", "wrong", True, "--system-site-packages",
    ),
    "TensorRT from pip": (
        answer("import tensorrt", told("10.16.1.11")), Needs(), "TensorRT", "wrong", True, "pip uninstall",
    ),
    "an old TensorRT": (
        answer("import tensorrt", told("8.5.2.2")), Needs(), "TensorRT", "wrong", True, "JetPack",
    ),
    "no PyCUDA": (answer("import pycuda", NO_SUCH), Needs(), "PyCUDA", "missing", True, "install 'pycuda>="),
    "PyCUDA that finds no GPU": (
        answer("import pycuda", Answer(1, "Traceback\npycuda._driver.LogicError: cuInit failed: no device")),
        Needs(), "PyCUDA", "wrong", True, "--force-reinstall",
    ),
    "no cuda-bindings": (
        answer("import cuda.bindings", NO_SUCH), Needs(), "cuda-bindings", "missing", False, "cuda-bindings==12.*",
    ),
    "cuda-bindings of another CUDA": (
        answer("import cuda.bindings", told("13.2.0")), Needs(), "cuda-bindings", "wrong", False, "==12.*",
    ),
    "no bindings of GStreamer": (
        answer("ElementFactory", Answer(1, "ModuleNotFoundError: No module named 'gi'")),
        Needs(), "GStreamer", "missing", True, "python3-gi",
    ),
    "no nvarguscamerasrc": (
        lambda it: (it.write("/var/lib/dpkg/status"), without("nvarguscamerasrc")(it))[1],  # type: ignore[func-returns-value]
        Needs(), "element nvarguscamerasrc", "missing", True, "apt install nvidia-l4t-camera",
    ),
    "an nvarguscamerasrc that GStreamer has given up": (
        without("nvarguscamerasrc"), Needs(), "element nvarguscamerasrc", "missing", True, "rm -f ~/.cache/gstreamer",
    ),
    "no jpegdec": (
        without("jpegdec"), Needs(), "element jpegdec", "missing", False, "gstreamer1.0-plugins-good",
    ),
    "no appsink": (without("appsink"), Needs(), "element appsink", "missing", True, "gstreamer1.0-plugins-base"),
    "no decoder": (
        without("nvv4l2decoder"),
        Needs(camera="rtsp", configured=True),
        "element nvv4l2decoder",
        "missing",
        True,
        "gstreamer-registry.bin",
    ),
    "no HTTP": (answer("import aiohttp", NO_SUCH), CSI, "publishing", "missing", True, "tremorscope[service]"),
    "no CSI camera": (
        lambda it: it.remove("/sys/class/video4linux/video0/name"), CSI, "camera", "missing", True, "jetson-io",
    ),
    "no second CSI camera": (
        lambda _it: None, replace(CSI, sensor_id=1), "camera", "missing", True, "jetson-io",
    ),
    "no USB camera": (lambda _it: None, USB, "camera /dev/video2", "missing", True, "/dev/v4l/by-id"),
    "Argus that has failed": (
        answer(ARGUS, Answer(3, "failed")), CSI, "nvargus-daemon", "wrong", True, "restart nvargus",
    ),
    "Argus that is switched off": (
        answer(ARGUS, Answer(3, "inactive")), Needs(), "nvargus-daemon", "missing", True, "enable --now",
    ),
    "Argus without its socket": (
        lambda it: it.remove("/tmp/argus_socket"), Needs(), "nvargus-daemon", "wrong", True, "restart nvargus",
    ),
    "little memory": (
        write("/proc/meminfo", "MemTotal: 3900000 kB\nMemAvailable: 600000 kB\nSwapTotal: 1900000 kB\n"),
        Needs(), "memory", "wrong", True, "multi-user.target",
    ),
    "no swap": (
        write("/proc/meminfo", "MemTotal: 7800000 kB\nMemAvailable: 5000000 kB\nSwapTotal: 0 kB\n"),
        Needs(), "swap", "wrong", False, "nvzramconfig",
    ),
    "a low supply": (
        write("/sys/class/hwmon/hwmon2/oc1_event_cnt", "12\n"), Needs(), "power supply", "wrong", False, "event_cnt",
    ),
    "a device that is hot": (
        write("/sys/class/thermal/thermal_zone1/temp", "91000\n"), Needs(), "temperature", "wrong", False, "nvpmodel",
    ),
    "a full disk": (put(free_bytes=5 * 10**7), Needs(), "disk", "wrong", True, "du -xh"),
    "a disk that fills": (put(free_bytes=10**9), Needs(), "disk", "wrong", False, "du -xh"),
    "a disk that Linux made read-only": (
        write("/proc/mounts", "/dev/mmcblk0p1 / ext4 ro,relatime 0 0\n"),
        Needs(), "file system", "wrong", True, "remount,rw",
    ),
    "data on a share": (
        write("/proc/mounts", "/dev/x / ext4 rw 0 0\nnas:/v /var/lib/tremorscope nfs4 rw 0 0\n"),
        Needs(), "file system", "wrong", True, "ext4",
    ),
    "data in memory": (
        write("/proc/mounts", "/dev/x / ext4 rw 0 0\ntmpfs /var/lib tmpfs rw 0 0\n"),
        CSI, "file system", "wrong", True, "ext4",
    ),
    "data on a stick": (
        write("/proc/mounts", "/dev/x / ext4 rw 0 0\n/dev/sda1 /media/my\\040stick exfat rw 0 0\n"),
        replace(CSI, data=PurePosixPath("/media/my stick/data")), "file system", "wrong", False, "ext4",
    ),
    "a user without rights": (put(group_ids=frozenset({1000})), Needs(), "groups", "wrong", True, "video,render $USER"),
    "the service's user without rights": (
        write("/etc/passwd", "tremorscope:x:990:990::/var/lib/tremorscope:/bin/false\n"),
        Needs(), "groups", "wrong", True, "video,render tremorscope",
    ),
    "a camera that may not be opened": (
        put(closed=frozenset({"dev/video0"})),
        replace(USB, device=Path("/dev/video0")), "devices", "wrong", True, "usermod",
    ),
    "a clock that nobody sets": (
        answer("timedatectl show", Answer(0, "Timezone=UTC\nNTP=no\nNTPSynchronized=no")),
        Needs(), "time", "wrong", False, "set-ntp true",
    ),
    "no time server": (
        answer("timedatectl show", Answer(0, "Timezone=UTC\nNTP=yes\nNTPSynchronized=no")),
        Needs(), "time", "wrong", False, "timesync-status",
    ),
    "a log in memory": (
        write("/etc/systemd/journald.conf.d/10-flash.conf", "[Journal]\nStorage=volatile\n"),
        Needs(), "log", "wrong", False, "10-flash.conf",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_alone_with_the_command_that_mends_it(fault: str, tmp_path: Path) -> None:
    damage, needs, name, state, needed, command = FAULTS[fault]
    it = orin(tmp_path)
    damage(it)
    examined = look(it, needs)
    found = named(examined, name)
    assert (found.state, found.needed) == (state, needed)
    assert command in found.command
    assert found.means
    # Whatever else is amiss follows from the same cause.
    assert {each.name for each in amiss(examined)} - {name} <= {
        "camera",
        "element jpegdec",
        "camera /dev/video2",
    }
    assert examined.can_run is not needed
    report = lines(examined)
    assert any(f"$ {found.command}" in line for line in report)
    assert report[-1].startswith("This device cannot run yet" if needed else "This device can run;")


def test_a_broken_device_is_told_whole_and_the_needed_things_first(tmp_path: Path) -> None:
    it = orin(tmp_path)
    it.answers = {"import onnxruntime": told("1.23.2"), "ElementFactory": NOT_FOUND}
    it.write("/var/lib/nvpmodel/status")
    it.write("/proc/mounts", "/dev/mmcblk0p1 / ext4 ro 0 0\n")
    it.group_ids, it.site_packages = frozenset({1000}), False
    examined = look(it, CSI)
    assert not examined.can_run
    assert {each.name for each in examined.findings if each.prevents} == {
        "virtual environment", "TensorRT", "PyCUDA", "GStreamer", "publishing", "file system", "groups",
    }  # fmt: skip
    report = lines(examined)
    advice = [line.split()[0] for line in report if line.startswith(("  needed", "  advised"))]
    assert advice == sorted(advice, reverse=True)
    assert (
        report[-1] == "This device cannot run yet: 7 things that it needs are amiss; 3 more should be mended."
    )
    assert max(len(line) for line in report if "$ " not in line) < 120


def test_what_no_command_answers_is_no_crash(tmp_path: Path) -> None:
    """A tree with nothing in it, and a machine on which no command can be run."""
    empty = Machine(root=tmp_path, run=lambda _command: None, architecture="aarch64")
    examined = examine(empty, Needs())
    assert {"ONNX Runtime", "memory"} <= {each.name for each in examined.findings if each.prevents}


def test_a_jetson_that_computes_on_the_cpu_needs_no_tensorrt(tmp_path: Path) -> None:
    it = orin(tmp_path)
    it.answers |= {"import tensorrt": NO_SUCH, "import pycuda": NO_SUCH}
    examined = look(it, Needs(camera="clip", runtime="onnxruntime", configured=True))
    assert examined.can_run
    assert named(examined, "GStreamer").state == "not needed"
    assert named(examined, "nvargus-daemon").state == "not needed"


def test_versions_are_read_from_packages_where_the_release_file_is_gone(tmp_path: Path) -> None:
    it = orin(tmp_path)
    it.remove("/etc/nv_tegra_release")
    assert named(look(it), "JetPack").found == "6.2, Jetson Linux 36.4.3"
    it.write("/var/lib/dpkg/status", package("nvidia-l4t-core", "36.4.4-20250616085344"))
    assert named(look(it), "JetPack").found == "6.2.1, Jetson Linux 36.4.4"


def test_every_element_of_every_cameras_pipeline_is_looked_for() -> None:
    """The plans are the cameras' own."""
    cameras = [
        csi.plan(CsiSettings(), "copy"),
        csi.plan(CsiSettings(), "nvmm"),
        v4l2.plan(V4l2Settings(format="raw", flip="rotate-90")),
        v4l2.plan(V4l2Settings(format="mjpeg", flip="mirror")),
        rtsp.plan(RtspCameraSettings(url="rtsp://10.0.0.5/1", flip="mirror"), jetson=False),
        rtsp.plan(RtspCameraSettings(url="rtsp://10.0.0.5/1"), jetson=True),
    ]
    used = {element for camera in cameras for element in camera.elements}
    assert used <= ALL_ELEMENTS
    assert set(PACKAGES) >= ALL_ELEMENTS


def test_json_tells_the_same_as_the_report(tmp_path: Path) -> None:
    it = orin(tmp_path)
    it.free_bytes = 1
    told = json.loads(json.dumps(look(it).as_json()))
    assert told["can_run"] is False
    assert told["amiss"] == 1
    disk = next(each for each in told["findings"] if each["name"] == "disk")
    assert disk["state"] == "wrong"
    assert disk["needed"] is True
    assert disk["about"] == "keeping"


def test_the_devices_own_commands_are_bounded_and_their_absence_is_told() -> None:
    assert run_command(["/no/such/command"]) is None
    assert run_command([sys.executable, "-c", "print('there'); raise SystemExit(3)"]) == Answer(3, "there")


def test_the_command_says_something_sensible_of_this_machine(tmp_path: Path) -> None:
    configuration = tmp_path / "site.yaml"
    configuration.write_text("version: 1\ncamera: {kind: v4l2, device: /dev/no-such-camera}\n")
    done = run_command_line("doctor", "--json", "--config", configuration)
    told = json.loads(done.stdout)
    states = {each["name"]: each["state"] for each in told["findings"]}
    assert states["ONNX Runtime"] == states["Python"] == states["board"] == states["memory"] == "ok"
    assert states["camera /dev/no-such-camera"] == "missing"
    assert told["camera"] == "v4l2"
    assert (told["can_run"], done.returncode, done.stderr) == (False, 1, "")


def test_a_configuration_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = tmp_path / "site.yaml"
    configuration.write_text("version: 1\ncamera: {kind: csl}\n")
    monkeypatch.setattr("sys.argv", ["tremorscope", "doctor", "--config", str(configuration)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.out) == (1, "")
    assert len(printed.err.splitlines()) == 1
    assert "site.yaml" in printed.err

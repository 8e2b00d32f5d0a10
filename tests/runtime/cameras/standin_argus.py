"""nvarguscamerasrc without a Jetson, with the habits that the real one has, and nvargus-daemon as far as it needs one.

The source is gstnvarguscamerasrc.cpp of NVIDIA's gst-nvarguscamera (L4T 36, "2024"; older ones where that is said):

* one provider a process: ``g_cameraProvider`` is a static of the plugin, made when that is loaded, and holds the list
  of cameras of that moment; it is never made again, so that a process which lives through a restart of the daemon
  creates no session any more;
* ``start`` never fails: everything happens in a thread that ``set_caps`` begins, and where it fails ``create`` gives
  the end of the stream, without any message;
* what went wrong is printed: ``GST_ARGUS_PRINT`` and ``GST_ARGUS_ERROR`` are ``printf``, and ``ORIGINATE_ERROR`` of its
  Error.h writes to stderr. C's stdout holds text back where it leads into a pipe;
* rates are whole: ``frameRate = src->fps_n / src->fps_d`` divides integers, and the caps go on saying what they said;
* a size for which no mode is large and fast enough takes mode 0 and is scaled, with a word at the level INFO alone; a
  rate above the mode's rounded one is refused ("Frame Rate specified is greater than supported"), and ``create``
  returns an error then;
* ranges of exposure and gain that it does not take are passed over, with a printed word;
* ``sensor-mode`` reads as the mode that was chosen;
* a daemon that gives no event for ``event-wait``, 3 s, ends the stream, without any message;
* number and time of the sensor are attached as GstBufferMetaData by the plugin of L4T 32 to 35; that of 36 only ever
  takes them away, and the buffers have the time at which they came (``do-timestamp``).
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import standins
from standin_elements import NVMM, Source, describe, recorded

from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer
from tremorscope.runtime.cameras.gstreamer.memory import _library, pointer_to

load_gstreamer()
from gi.repository import Gst  # noqa: E402

CODE = struct.Struct("<qii")
_ATTACHED: deque[Any] = deque(maxlen=256)
_LIBC = ctypes.CDLL(None)
_FILE = "/dvs/git/dirty/git-master_linux/multimedia/nvgstreamer/gst-nvarguscamera/gstnvarguscamerasrc.cpp"


def printf(text: str) -> None:
    """Print as C does."""
    _LIBC.printf(b"%s", text.encode())


@dataclass(frozen=True)
class Mode:
    """One of a sensor's modes."""

    width: int
    height: int
    rate_hz: float

    @property
    def least_duration_ns(self) -> int:
        return round(1e9 / self.rate_hz)


IMX219 = (
    Mode(3264, 2464, 21.0),
    Mode(3264, 1848, 28.000001),
    Mode(1920, 1080, 29.999999),
    Mode(1640, 1232, 29.999999),
    Mode(1280, 720, 59.999999),
)
"""As the plugin prints them on an Orin Nano."""
SMALL = (*IMX219, Mode(64, 48, 120.000005), Mode(80, 60, 60.0))


RANGES = (
    ("exposuretimerange", "Exposure Time", 34_000, 358_733_000),
    ("gainrange", "Gain", 1, 16),
    ("ispdigitalgainrange", "ISP Digital Gain", 1, 256),
)
"""MIN_EXPOSURE_TIME ... MAX_DIGITAL_GAIN of the plugin, in ns and as factors."""


class Daemon(Protocol):
    """What the plugin asks of nvargus-daemon, each time by the connection of its process."""

    def connect(self) -> Any:
        """A connection, made once when the plugin is loaded; None: nobody listens."""

    def cameras(self, connection: Any) -> tuple[tuple[Mode, ...], ...]:
        """Modes of each camera."""

    def is_connected(self, connection: Any) -> bool:
        """Whether that daemon is still the one which was connected to."""

    def create_session(self, connection: Any, sensor_id: int) -> bool:
        """Whether the camera can be used over this connection."""

    def gives_frames(self, connection: Any) -> bool:
        """Whether frames come at present."""


@dataclass
class DaemonHere:
    """nvargus-daemon in this process."""

    sensors: tuple[tuple[Mode, ...], ...] = (SMALL, SMALL)
    running: bool = True
    wedged: bool = False
    busy: bool = False
    generation: int = 0

    def restart(self) -> str:
        self.generation += 1
        self.running, self.wedged = True, False
        return ""

    def connect(self) -> int | None:
        return self.generation if self.running else None

    def cameras(self, connection: Any) -> tuple[tuple[Mode, ...], ...]:  # noqa: ARG002
        return self.sensors

    def is_connected(self, connection: Any) -> bool:
        return self.running and connection == self.generation

    def create_session(self, connection: Any, sensor_id: int) -> bool:  # noqa: ARG002
        return self.is_connected(connection) and not self.busy

    def gives_frames(self, connection: Any) -> bool:
        return self.is_connected(connection) and not self.wedged


class Provider:
    """The plugin's static ``g_cameraProvider``."""

    def __init__(self, daemon: Daemon) -> None:
        self.connection = daemon.connect()
        self.cameras = () if self.connection is None else daemon.cameras(self.connection)


class Refused(Exception):
    """An ``ORIGINATE_ERROR``, with its line."""


class ArgusSource(Source):
    __gtype_name__ = "StandInArgusSource"
    sensor_id = recorded("sensor-id", int, 0)
    sensor_mode = recorded("sensor-mode", int, -1)
    tnr_mode = recorded("tnr-mode", int, 1)
    ee_mode = recorded("ee-mode", int, 1)
    exposuretimerange = recorded("exposuretimerange", str, None)
    gainrange = recorded("gainrange", str, None)
    ispdigitalgainrange = recorded("ispdigitalgainrange", str, None)
    aelock = recorded("aelock", bool, False)
    awblock = recorded("awblock", bool, False)

    def __init__(self) -> None:
        super().__init__()
        standins.PROVIDER = standins.PROVIDER or Provider(standins.SCENE.daemon)

    def do_set_caps(self, caps: Any) -> bool:
        Source.do_set_caps(self, caps)
        _, numerator, denominator = caps.get_structure(0).get_fraction("framerate")
        self.rate_hz = numerator // denominator
        self.period_ns = 10**9 // self.rate_hz
        self.gave_up = self.in_error = False
        try:
            self.execute(1e9 * denominator / numerator)
        except Refused as refused:
            os.write(2, f"Error generated. {_FILE}, execute:{refused}\n".encode())
            self.gave_up = True
        return True

    def print_ranges(self) -> None:
        for name, what, least, most in RANGES:
            stated = [float(each) for each in (self.values.get(name) or "").split()]
            if stated and not least <= stated[0] <= stated[1] <= most:
                printf(f"GST_ARGUS: Invalid {what} Range Input\n")

    def execute(self, duration_ns: float) -> None:
        daemon, provider = standins.SCENE.daemon, standins.PROVIDER
        if provider.connection is None:
            raise Refused("740 Failed to create CameraProvider")
        if not provider.cameras:
            raise Refused("751 No cameras available")
        sensor_id, last = self.values.get("sensor-id", 0), len(provider.cameras) - 1
        if sensor_id > last:
            raise Refused(f"756 Invalid camera device specified {sensor_id} specified, {last} max index")
        if not daemon.is_connected(provider.connection):
            # libargus, once the daemon that it was connected to is gone.
            os.write(2, b"(Argus) Error InvalidState: Receive thread is not running cannot send. (in src/rpc/socket/"
                        b"client/ClientSocketManager.cpp, function send(), line 96)\n")  # fmt: skip
        if not daemon.create_session(provider.connection, sensor_id):
            raise Refused("802 Failed to create CaptureSession")
        self.print_ranges()
        printf("GST_ARGUS: Creating output stream\nCONSUMER: Waiting until producer is connected...\n")
        modes, number = provider.cameras[sensor_id], self.values.get("sensor-mode", -1)
        if number >= len(modes):
            raise Refused(f"863 Invalid sensor mode {number} selected {len(modes)} present")
        printf("GST_ARGUS: Available Sensor modes :\n")
        for mode in modes:
            printf(
                f"GST_ARGUS: {mode.width} x {mode.height} FR = {mode.rate_hz:.6f} fps Duration = "
                f"{mode.least_duration_ns} ; Analog Gain range min 1.000000, max 10.625000; "
                "Exposure Range min 13000, max 683709000;\n\n"
            )
        number = number if number >= 0 else best_match(modes, *self.size, duration_ns)
        self.values["sensor-mode"] = number
        if self.rate_hz > round(modes[number].rate_hz):
            self.in_error = True
            printf(
                f"ARGUS_ERROR: Error generated. {_FILE}, execute: 969 "
                "Frame Rate specified is greater than supported\n"
            )
        mode = modes[number]
        printf(
            f"GST_ARGUS: Running with following settings:\n   Camera index = {sensor_id} \n"
            f"   Camera mode  = {number} \n   Output Stream W = {mode.width} H = {mode.height} \n"
            f"   seconds to Run    = 0 \n   Frame Rate = {mode.rate_hz:.6f} \n"
        )
        printf("GST_ARGUS: Setup Complete, Starting captures for 0 seconds\n")
        printf("GST_ARGUS: Starting repeat capture requests.\n")
        if self.in_error:
            printf(
                f"ARGUS_ERROR: Error generated. {_FILE}, execute: 1231 InvalidState.\nGST_ARGUS: Cleaning up\n"
            )
        else:
            printf("CONSUMER: Producer has connected; continuing.\n")

    def do_create(self, offset: int, size: int, given: Any) -> Any:
        if self.in_error:
            return Gst.FlowReturn.ERROR, None
        if self.gave_up:
            return Gst.FlowReturn.EOS, None
        daemon, until_s = standins.SCENE.daemon, time.monotonic() + standins.SCENE.event_wait_s
        while not daemon.gives_frames(standins.PROVIDER.connection):
            if self.interrupted.wait(0.01) or time.monotonic() > until_s:
                printf("CONSUMER: Done Success\nGST_ARGUS: Cleaning up\n")
                return Gst.FlowReturn.EOS, None
        return Source.do_create(self, offset, size, given)

    def content(self, number: int) -> bytes:
        return CODE.pack(number, *self.size)

    def mark(self, buffer: Any) -> None:
        if standins.SCENE.sensor_time is not None:
            data = struct.pack("<qq", self.number, standins.SCENE.sensor_time(self.number))
            attached = ctypes.create_string_buffer(data)
            _ATTACHED.append(attached)
            quark = _library("glib-2.0").g_quark_from_string(b"GstBufferMetaData")
            setter = _library("gstreamer-1.0").gst_mini_object_set_qdata
            setter.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p]
            setter.restype = None
            setter(pointer_to(buffer), quark, ctypes.addressof(attached), None)


def best_match(modes: tuple[Mode, ...], width: int, height: int, duration_ns: float) -> int:
    """The mode that the plugin takes: 0 where none will do."""
    best = -1
    for number, mode in enumerate(modes):
        # As single precision, in which the plugin reckons; 33333333.3 ns is 33333334 there.
        duration = struct.unpack("f", struct.pack("f", duration_ns))[0]
        if width > mode.width or height > mode.height or duration < mode.least_duration_ns:
            continue
        smaller = best == -1 or mode.width <= modes[best].width
        exact = (width, height) == (mode.width, mode.height)
        if smaller or (exact and modes[best].least_duration_ns >= mode.least_duration_ns):
            best = number
    return max(0, best)


describe(
    ArgusSource,
    "Video/Capture",
    {"src": f"{NVMM},format=NV12,width=[1,2147483647],height=[1,2147483647],framerate=[0/1,2147483647/1]"},
)

"""What several tests share: a stand-in network, clips made on the spot, and the command as a process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tremorscope.runtime.cameras.supervision.settings import SupervisorState

ROOT = Path(__file__).resolve().parent.parent
Picture = NDArray[np.uint8]


def linear_graph(size: tuple[int | str, int | str] = ("height", "width"), channels: int = 3) -> bytes:
    """Linear Eulerian magnification as a pairwise step graph: clamp(frame + (A - 1) * (frame - reference)).

    It has the interface of an exported network, and its output can be foretold exactly. Of four channels that go in
    it leaves the last out.
    """
    onnx = pytest.importorskip("onnx")
    uint8, float32 = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    node, value, tensor = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.helper.make_tensor
    nodes = [
        node("Cast", ["frame"], ["f_all"], to=float32),
        node("Cast", ["reference"], ["r_all"], to=float32),
        node("Slice", ["f_all", "from_first", "to_third", "last_axis"], ["f"]),
        node("Slice", ["r_all", "from_first", "to_third", "last_axis"], ["r"]),
        node("Sub", ["f", "r"], ["difference"]),
        node("Sub", ["amplification", "one"], ["gain"]),
        node("Mul", ["difference", "gain"], ["motion"]),
        node("Add", ["f", "motion"], ["sum"]),
        node("Round", ["sum"], ["rounded"]),
        node("Clip", ["rounded", "black", "white"], ["clamped"]),
        node("Cast", ["clamped"], ["magnified"], to=uint8),
    ]
    shape, picture = [1, *size, channels], [1, *size, 3]
    constants = {"one": 1.0, "black": 0.0, "white": 255.0}
    places = {"from_first": 0, "to_third": 3, "last_axis": 3}
    graph = onnx.helper.make_graph(
        nodes,
        "linear",
        [
            value("frame", uint8, shape),
            value("reference", uint8, shape),
            value("amplification", float32, [1]),
        ],
        [value("magnified", uint8, picture)],
        [
            *(tensor(name, float32, [], [number]) for name, number in constants.items()),
            *(tensor(name, onnx.TensorProto.INT64, [1], [place]) for name, place in places.items()),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def linear_band_graph(size: tuple[int | str, int | str] = ("height", "width")) -> bytes:
    """The same as a band step graph, with a cell for each pixel: clamp(frame + (A - 1) * mask * filtered pixels).

    Its activity is the mean square of the filtered pixels; the cap is not used.
    """
    onnx = pytest.importorskip("onnx")
    uint8, float32, int64 = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    node, value, tensor = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.helper.make_tensor
    nodes = [
        node("Cast", ["frame"], ["frame_f"], to=float32),
        node("Cast", ["previous"], ["previous_f"], to=float32),
        node("Sub", ["frame_f", "previous_f"], ["difference"]),
        node("Transpose", ["difference"], ["planes"], perm=[0, 3, 1, 2]),
        node("Div", ["planes", "white"], ["step"]),
        node("Unsqueeze", ["coefficients", "last_axes"], ["coefficients_6d"]),
        node("Split", ["coefficients_6d"], ["own", "cross", "drive"], axis=0),
        *(node("Squeeze", [name, "axis_0"], [f"{name}_5d"]) for name in ("own", "cross", "drive")),
        node("Gather", ["state", "swapped"], ["other"], axis=0),
        node("Mul", ["own_5d", "state"], ["kept"]),
        node("Mul", ["cross_5d", "other"], ["turned"]),
        node("Mul", ["drive_5d", "step"], ["driven"]),
        node("Sum", ["kept", "turned", "driven"], ["next_state"]),
        node("Gather", ["next_state", "first"], ["outputs"], axis=0),
        node("ReduceSum", ["outputs", "axes_01"], ["filtered"], keepdims=0),
        node("Mul", ["filtered", "filtered"], ["squares"]),
        node("ReduceMean", ["squares"], ["mean_square"], keepdims=0),
        node("Reshape", ["mean_square", "one_value"], ["activity"]),
        node("Sub", ["amplification", "one"], ["gain"]),
        node("Mul", ["filtered", "mask"], ["masked"]),
        node("Transpose", ["masked"], ["masked_nhwc"], perm=[0, 2, 3, 1]),
        node("Mul", ["masked_nhwc", "gain"], ["motion"]),
        node("Mul", ["motion", "white"], ["motion_px"]),
        node("Add", ["frame_f", "motion_px"], ["sum"]),
        node("Round", ["sum"], ["rounded"]),
        node("Clip", ["rounded", "black", "white"], ["clamped"]),
        node("Cast", ["clamped"], ["magnified"], to=uint8),
    ]
    height, width = size
    rows, columns = ("rows", "columns") if isinstance(height, str) else size
    state = [2, "sections", 3, rows, columns]
    lists = {"last_axes": [3, 4, 5], "axis_0": [0], "swapped": [1, 0], "first": [0], "axes_01": [0, 1]}
    graph = onnx.helper.make_graph(
        nodes,
        "linear_band",
        [
            value("frame", uint8, [1, height, width, 3]),
            value("previous", uint8, [1, height, width, 3]),
            value("amplification", float32, [1]),
            value("max_displacement_px", float32, [1]),
            value("mask", float32, [1, 1, rows, columns]),
            value("coefficients", float32, [3, 2, "sections"]),
            value("state", float32, state),
        ],
        [
            value("magnified", uint8, [1, height, width, 3]),
            value("next_state", float32, state),
            value("activity", float32, [1]),
        ],
        [
            *(tensor(name, float32, [], [v]) for name, v in (("one", 1.0), ("black", 0.0), ("white", 255.0))),
            *(tensor(name, int64, [len(v)], v) for name, v in (lists | {"one_value": [1]}).items()),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def write_bundle(
    directory: Path, *, graph: bytes | None = None, band_graph: bytes | None = None, **changes: Any
) -> Path:
    """A bundle around the two graphs; ``changes`` replace entries of its manifest."""
    contents = {
        "pairwise": linear_graph() if graph is None else graph,
        "band": linear_band_graph() if band_graph is None else band_graph,
    }
    directory.mkdir(parents=True, exist_ok=True)
    sealed = {}
    for name, content in contents.items():
        (directory / f"{name}.onnx").write_bytes(content)
        sealed[name] = {
            "file": f"{name}.onnx",
            "sha256": hashlib.sha256(content).hexdigest(),
            "opset": 17,
        }
    manifest: dict[str, Any] = {
        "network": "linear",
        "architecture": {},
        "trained": True,
        "weights_sha256": "0" * 64,
        "frame_size": None,
        "amplification": {"minimum": 1, "maximum": 100, "attenuates": True},
        "graphs": sealed,
        "representation": {"channels": 3, "cell_px": 1},
    }
    (directory / "manifest.json").write_text(json.dumps(manifest | changes))
    return directory


def textured_frames(
    count: int, width_px: int = 64, height_px: int = 48, step_px: float = 0.3
) -> list[Picture]:
    """Pictures, u8[H, W, 3], of smooth coloured waves that drift by ``step_px`` a frame along x."""
    y, x = np.mgrid[:height_px, :width_px]
    return [
        np.stack(
            [128 + 60 * np.sin((x - number * step_px) / 5.0 + y / 9.0 + phase) for phase in (0.0, 0.7, 1.4)],
            axis=-1,
        )
        .round()
        .astype(np.uint8)
        for number in range(count)
    ]


def write_clip(
    path: Path,
    frames: Iterable[Picture],
    *,
    codec: str = "libx264rgb",
    pixel_format: str = "rgb24",
    rate: int = 25,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    faststart: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode pictures with PyAV; by default without any loss, so that pixels can be compared one by one."""
    time_base = time_base or Fraction(1, rate)
    container_options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", options=container_options) as container:
        stream: Any = None
        for number, picture in enumerate(frames):
            if stream is None:
                lossless = {"qp": "0", "preset": "ultrafast"} if codec == "libx264rgb" else {}
                stream = container.add_stream(codec, rate=rate, options=lossless | (options or {}))
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pixel_format
                stream.codec_context.time_base = time_base
            frame: Any = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = number if ticks is None else ticks[number], time_base
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def read_video(path: Path) -> tuple[list[Picture], list[Fraction]]:
    """All pictures of a video, as RGB, and the times at which they are shown, in seconds, exactly."""
    with av.open(str(path)) as container:
        frames: list[Any] = list(container.decode(video=0))
    return [frame.to_ndarray(format="rgb24") for frame in frames], [
        frame.pts * frame.time_base for frame in frames
    ]


def command_line(*arguments: object) -> list[str]:
    """The command as its own process."""
    return [sys.executable, "-m", "tremorscope", *map(str, arguments)]


@dataclass
class Done:
    """What a command that was run in this process came to."""

    returncode: object
    stdout: str
    stderr: str


def run_command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command_line(*arguments), capture_output=True, text=True, cwd=cwd, timeout=120, check=False
    )


def frames_of(state: SupervisorState) -> int:
    """Frames that a supervisor accounts for: each is taken, waits, or was dropped for a reason."""
    return state.taken + state.waiting + state.drops.total


def mount_small_disk(directory: Path, options: str) -> None:
    """Mount a tmpfs, e.g. with ``size=256k`` or ``ro``; skips the test where that is not allowed."""
    mounting = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")


def unmount(directory: Path) -> None:
    """Take the file system away again."""
    subprocess.run(["umount", str(directory)], check=True)

"""What several tests share: a stand-in network, clips made on the spot, and the command as a process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
Picture = NDArray[np.uint8]


def linear_graph(size: tuple[int | str, int | str] = ("height", "width")) -> bytes:
    """Linear Eulerian magnification as a pairwise step graph: clamp(frame + (A - 1) * (frame - reference)).

    It has the interface of an exported network, and its output can be foretold exactly.
    """
    onnx = pytest.importorskip("onnx")
    uint8, float32 = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    node, value, tensor = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.helper.make_tensor
    nodes = [
        node("Cast", ["frame"], ["f"], to=float32),
        node("Cast", ["reference"], ["r"], to=float32),
        node("Sub", ["f", "r"], ["difference"]),
        node("Sub", ["amplification", "one"], ["gain"]),
        node("Mul", ["difference", "gain"], ["motion"]),
        node("Add", ["f", "motion"], ["sum"]),
        node("Round", ["sum"], ["rounded"]),
        node("Clip", ["rounded", "black", "white"], ["clamped"]),
        node("Cast", ["clamped"], ["magnified"], to=uint8),
    ]
    shape = [1, *size, 3]
    constants = {"one": 1.0, "black": 0.0, "white": 255.0}
    graph = onnx.helper.make_graph(
        nodes,
        "linear",
        [
            value("frame", uint8, shape),
            value("reference", uint8, shape),
            value("amplification", float32, [1]),
        ],
        [value("magnified", uint8, shape)],
        [tensor(name, float32, [], [number]) for name, number in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def write_bundle(directory: Path, *, graph: bytes | None = None, **changes: Any) -> Path:
    """A bundle around ``graph``; ``changes`` replace entries of its manifest."""
    graph = linear_graph() if graph is None else graph
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pairwise.onnx").write_bytes(graph)
    sealed = {"file": "pairwise.onnx", "sha256": hashlib.sha256(graph).hexdigest(), "opset": 17}
    manifest: dict[str, Any] = {
        "network": "linear",
        "architecture": {},
        "trained": True,
        "weights_sha256": "0" * 64,
        "frame_size": None,
        "amplification": {"minimum": 1, "maximum": 100},
        "graphs": {"pairwise": sealed},
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
                lossless = {"qp": "0"} if codec == "libx264rgb" else {}
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
    """The command as its own process, found without being installed."""
    return [sys.executable, str(ROOT / "tremorscope.py"), *map(str, arguments)]


def run_command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command_line(*arguments), capture_output=True, text=True, cwd=cwd, timeout=120, check=False
    )


def mount_small_disk(directory: Path, options: str) -> None:
    """Mount a tmpfs, e.g. with ``size=256k`` or ``ro``; skips the test where that is not allowed."""
    mounting = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")


def unmount(directory: Path) -> None:
    """Take the file system away again."""
    subprocess.run(["umount", str(directory)], check=True)

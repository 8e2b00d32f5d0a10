"""Installs the arm64 package on an emulated machine, imports its libraries, and magnifies frames there and here.

    sudo apt install mmdebstrap qemu-user-static
    sudo python tests/systemd/arm64.py bookworm   # Debian 12, with Python 3.11; some minutes
    sudo python tests/systemd/arm64.py jammy      # Ubuntu 22.04, as under JetPack 6, with Python 3.10
    sudo python tests/systemd/arm64.py noble      # Ubuntu 24.04, as under JetPack 7, with Python 3.12

A Python of the same version must be on this machine, to build the package with.

It is what can be tried of a Jetson's processor without one: that wheels of every library exist for it, install without
a network and load, that each interpreter ends as it should, and that the network's frames are those of this machine,
to a grey level. Speed says nothing under emulation, and there is no GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WIDTH_PX, HEIGHT_PX, FRAMES, AMPLIFICATION = 96, 64, 4, 20.0
LIBRARIES = (
    "numpy", "scipy.fft", "scipy.signal", "scipy.linalg", "onnxruntime", "av", "matplotlib.pyplot", "pydantic", "yaml",
    "pyuff", "tifffile", "click", "tqdm", "aiohttp", "paho.mqtt.client", "prometheus_client",
)  # fmt: skip
HANDLERS = Path("/proc/sys/fs/binfmt_misc")
HANDLER = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
PYTHON = "/opt/tremorscope/current/bin/python3"


def magnify(source: Path, target: Path) -> None:
    """Magnify frames, u8[N, H, W, 3], against the first of them with the shipped network."""
    import numpy as np
    import onnxruntime

    from tremorscope.runtime.engines.interface.bundle import open_bundle
    from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine

    frames = np.load(source)
    magnified = np.zeros_like(frames)
    graph = open_bundle(None).cpu_graph_path("pairwise")
    engine = OnnxRuntimeEngine(graph, width_px=frames.shape[2], height_px=frames.shape[1], threads=1)
    for frame, picture in zip(frames, magnified, strict=True):
        engine.step(frame, frames[0], AMPLIFICATION, picture)
    np.save(target, magnified)
    print(json.dumps({"onnxruntime": onnxruntime.__version__, "numpy": np.__version__}))


@contextmanager
def emulation() -> Iterator[None]:
    """Have the kernel hand arm64 programs to QEMU, as long as needed."""
    mounted = (HANDLERS / "register").exists()
    if not mounted:
        subprocess.run(["mount", "-t", "binfmt_misc", "none", HANDLERS], check=True)
    ours = not (HANDLERS / "qemu-aarch64").exists()
    try:
        if ours:
            (HANDLERS / "register").write_text(HANDLER.read_text().strip())
        yield
    finally:
        if ours and (HANDLERS / "qemu-aarch64").exists():
            (HANDLERS / "qemu-aarch64").write_text("-1")
        if not mounted:
            subprocess.run(["umount", HANDLERS], check=True)


def within(root: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command below a directory, with processes and devices but without a network."""
    script = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$@"'
    environment = ["env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
    return subprocess.run(
        [*environment, "unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", script, "-", str(root), *command],
        capture_output=True, text=True, check=check,
    )  # fmt: skip


def import_all(root: Path) -> list[str]:
    """Import each library in an interpreter of its own, and return what went wrong."""
    wrong = []
    for name in LIBRARIES:
        code = f"import {name} as it; print('imported', getattr(it, '__version__', ''))"
        done = within(root, PYTHON, "-I", "-c", code, check=False)
        imported = done.stdout.startswith("imported")
        print(
            f"  {name:20} {done.stdout.split()[1:] if imported else 'NOT IMPORTED'}, exit status {done.returncode}"
        )
        if not imported or done.returncode:
            wrong.append(f"{name}: exit status {done.returncode}: {done.stderr.strip()[-300:]}")
    return wrong


def compare(root: Path) -> list[str]:
    """Magnify the same frames on both machines, and return what differs too much."""
    import numpy as np
    from support import textured_frames, write_clip

    frames = textured_frames(FRAMES, WIDTH_PX, HEIGHT_PX)
    np.save(root / "root/frames.npy", np.stack(frames))
    write_clip(root / "root/clip.mp4", frames)
    (root / "root/arm64.py").write_bytes(Path(__file__).read_bytes())
    there = within(root, PYTHON, "-I", "/root/arm64.py", "/root/frames.npy", "/root/there.npy")
    print("  there", there.stdout.strip())
    magnify(root / "root/frames.npy", root / "root/here.npy")
    here, emulated = np.load(root / "root/here.npy"), np.load(root / "root/there.npy")
    difference = np.abs(here.astype(int) - emulated.astype(int))
    moved = np.abs(here.astype(int) - np.stack(frames).astype(int)).max()
    print(f"  {FRAMES} frames, moved by up to {moved} grey levels, differ by at most {difference.max()};"
          f" {np.count_nonzero(difference)} of {difference.size} values do")  # fmt: skip
    clip = ["-o", "/root/o.mp4", "-a", str(AMPLIFICATION)]
    said = within(root, "tremorscope", "magnify", "/root/clip.mp4", *clip)
    print("  " + said.stdout.strip().replace("\n", "\n  "))
    return [f"frames differ by {difference.max()} grey levels"] if difference.max() > 1 else []


def main(suite: str) -> int:
    """Build, install, import, compare; 1 where anything was not as it should be."""
    from packages import python_of, run_build, unpack_clean

    if os.geteuid() != 0 or not HANDLER.exists():
        print("needs root, and qemu-user-static", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, emulation():
        directory, root = Path(name), Path(name) / "root"
        built = run_build(directory, "--arch", "arm64", "--python", python_of(suite))
        print(built.stdout + built.stderr, end="")
        package = Path(built.stdout.strip())
        unpack_clean(root, package, suite)
        (root / "root/tremorscope.deb").write_bytes(package.read_bytes())
        print(f"installing on {suite}, {within(root, 'uname', '-m').stdout.strip()}")
        installed = within(root, "dpkg", "--install", "/root/tremorscope.deb", check=False)
        if installed.returncode:
            print(installed.stdout + installed.stderr)
            return 1
        wrong = [*import_all(root), *compare(root)]
        removed = within(root, "dpkg", "--purge", "tremorscope", check=False)
        if removed.returncode:
            wrong.append(removed.stderr)
    print("\n".join(wrong) or "all as it should be")
    return bool(wrong)


if __name__ == "__main__":
    if len(sys.argv) == 3:  # on the emulated machine
        magnify(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]
        sys.exit(main(*sys.argv[1:] or ["bookworm"]))

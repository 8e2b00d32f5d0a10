"""The device guide's commands, in its order, on a stand-in for a Jetson: they end with engines in FP16 that are run."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from host_gpu import HostGpu
from support import ROOT
from tensorrt_fake_build import Asked, fake_builder

from tremorscope import cli
from tremorscope.runtime.configuration.checking import open_configured_bundle
from tremorscope.runtime.configuration.reading import load_configuration
from tremorscope.runtime.engines import selection as choosing
from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.selection import closing_runtime
from tremorscope.runtime.engines.tensorrt import build_job
from tremorscope.runtime.engines.tensorrt import runtime as tensorrt_runtime
from tremorscope.runtime.engines.tensorrt.engine_file import Sidecar
from tremorscope.runtime.engines.tensorrt.plan import EXACT
from tremorscope.runtime.engines.upkeep import EngineUpkeep
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.gpu.device import Device
from tremorscope.runtime.magnification.factory import open_configured_runtime

GUIDE = ROOT / "docs" / "device-guide.md"
SIZE = FrameSize(width_px=64, height_px=48)
ORIN = Device("aarch64", "Orin", "8.7", "12.6", "36.4.3", "0")
WALKED = ("check", "build", "bench")


def commands() -> list[list[str]]:
    """Every command of ours in the guide that needs the device alone, in order, without who it is run as."""
    found = []
    for line in GUIDE.read_text(encoding="utf-8").replace("\\\n", "").splitlines():
        words = shlex.split(line, comments=True) if line.startswith("    ") and "tremorscope" in line else []
        if words[:3] == ["sudo", "-u", "tremorscope"]:
            words = words[3:]
        if words[:1] == ["tremorscope"] and words[1] in WALKED:
            found.append(words[1:])
    return found


def engines_stated() -> str:
    """Where the guide's configuration says that engines are."""
    match = re.search(r"^    magnification:\n      engines: (\S+)$", GUIDE.read_text(encoding="utf-8"), re.M)
    assert match is not None
    return match[1]


@dataclass
class Site:
    """A device and what the guide calls by absolute paths."""

    directory: Path
    builds: list[Asked]

    def here(self, word: str) -> str:
        """A word of a command, with paths and the size of this site."""
        word = word.replace("/var/lib/tremorscope", f"{self.directory}/lib")
        word = word.replace("/etc/tremorscope", f"{self.directory}/etc")
        return f"{SIZE.width_px}x{SIZE.height_px}" if re.fullmatch(r"\d+x\d+", word) else word


@pytest.fixture(params=["8.6.2", "10.3.0"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("lib", "etc", "graphs"):
        (tmp_path / name).mkdir()
    library, builds = fake_builder(
        tmp_path / "graphs", SIZE, open_bundle(None).representation.cell_px, request.param
    )
    for module in (build_job, tensorrt_runtime):
        monkeypatch.setattr(module, "read_device", lambda: (ORIN, 1 << 32))
        monkeypatch.setattr(module, "load_library", lambda _: library)
    monkeypatch.setattr(tensorrt_runtime, "load_pycuda", lambda: "pycuda")
    monkeypatch.setattr("tremorscope.runtime.gpu.pycuda_gpu.open_gpu", HostGpu)
    monkeypatch.setattr(choosing, "_targets", lambda: ("tensorrt",))
    it = Site(tmp_path, builds)
    configured = {
        "version": 1,
        "name": "bridge",
        "camera": {
            "kind": "synthetic",
            "width_px": SIZE.width_px,
            "height_px": SIZE.height_px,
            "rate_hz": 10,
        },
        "magnification": {"engines": it.here(engines_stated())},
        "store": {"directory": str(tmp_path / "lib")},
    }
    (tmp_path / "etc" / "config.yaml").write_text(yaml.safe_dump(configured))
    return it


def test_the_guide_ends_with_an_engine_in_fp16(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    walked = commands()
    assert [words[0] for words in walked] == ["check", "build", "bench"]
    printed = {}
    for words in walked:
        more = ["--frames", "10", "--rate", "1000"] if words[0] == "bench" else []
        monkeypatch.setattr("sys.argv", ["tremorscope", *map(site.here, words), *more])
        with suppress(SystemExit):  # of the commands that end by one
            cli.main()
        ended = capsys.readouterr()
        assert "tremorscope: " not in ended.err, ended.err
        printed[words[0]] = ended.out

    assert printed["check"].rstrip().endswith("ok")
    why = "realtime states no precision, and a GPU is fastest in FP16; realtime-fp32 insists on FP32"
    assert "graph          pairwise of realtime, FP16, 64x48 px" in printed["build"]
    assert f"note           {why}" in printed["build"]
    assert printed["bench"].startswith("realtime (fp16), static mode, 64x48, ")
    assert f"the fastest that this machine has; in FP16: {why}" in printed["bench"]
    twin = open_bundle(Path("realtime-fp16"))
    for graph in ("pairwise", "band"):
        path = Path(site.here(engines_stated())) / f"{graph}-64x48.tensorrt.json"
        sidecar = Sidecar.model_validate_json(path.read_text())
        assert (sidecar.source.precision, sidecar.source.graph_sha256) == (
            "fp16", twin.manifest.graphs[graph].sha256,  # type: ignore[index]
        )  # fmt: skip


def test_fp16_is_asked_for_in_each_versions_own_way(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """By types that bind, or by a flag, and then what FP16 would ruin is held to FP32. FP32 stays FP32."""
    for name in ("realtime", "realtime-fp32"):
        words = ["tremorscope", "build", name, "--size", "64x48", "-o", str(site.directory / name)]
        monkeypatch.setattr("sys.argv", words)
        cli.main()
    half, full = site.builds[:2], site.builds[2:]
    strongly = half[0].flags == []
    for asked in half:
        assert asked.network_flags == (1 << 1 if strongly else 1 << 0)
        assert asked.flags == ([] if strongly else ["FP16", "OBEY_PRECISION_CONSTRAINTS"])
        assert bool(asked.held) is not strongly
        assert all(name.startswith(EXACT) for name in asked.held)
        if asked.held:
            assert {f"{EXACT}gridsample.1", f"{EXACT}shape_encoder"} <= set(asked.held)
    for asked in full:
        assert (asked.flags, asked.held) == ([], [])


@pytest.mark.usefixtures("site")
def test_the_service_runs_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tremorscope", *map(site.here, commands()[1])])
    cli.main()
    configuration = load_configuration(site.directory / "etc" / "config.yaml").configuration
    bundle = open_configured_bundle(configuration)
    assert bundle.manifest.precision == "fp32", "which a CPU would run"
    size = (SIZE.width_px, SIZE.height_px)
    with closing_runtime(
        open_configured_runtime(configuration.magnification, bundle, size, CopyAccount(), EngineUpkeep())
    ) as runtime:
        assert (runtime.name, runtime.bundle.manifest.precision) == ("tensorrt", "fp16")
        assert runtime.passed_over == ()

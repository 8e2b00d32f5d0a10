"""Which bundle magnifies, and in which precision, as doctor tells it."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import Invented, desktop, orin

from tremorscope.runtime.doctor.gpu import network
from tremorscope.runtime.doctor.probe import Needs
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES


@pytest.mark.parametrize(
    ("bundle", "found"),
    [
        (None, "realtime, FP16 on a GPU; nano, the lightest, live on a CPU: none is named"),
        ("lite", "lite: FP16 on a GPU, FP32 on the CPU"),
        ("realtime-fp16", "realtime-fp16, FP16"),
    ],
)
def test_it_names_the_bundle_and_its_precisions(tmp_path: Path, bundle: str | None, found: str) -> None:
    finding = network(orin(tmp_path).machine(), Needs(bundle=None if bundle is None else Path(bundle)))
    assert (finding.state, finding.found) == ("ok", found)


@pytest.mark.parametrize("bundle", [Path("realtime-fp32"), SHIPPED_BUNDLES / "realtime"])
def test_fp32_on_a_jetsons_gpu_is_told(tmp_path: Path, bundle: Path) -> None:
    finding = network(orin(tmp_path).machine(), Needs(bundle=bundle))
    assert (finding.state, finding.found) == ("wrong", "realtime-fp32, FP32 on a GPU, too")
    assert not finding.prevents
    assert finding.command.startswith("name realtime, lite or nano")


def fine_with_fp32(machine: Invented, **needs: str) -> bool:
    return network(machine.machine(), Needs(bundle=Path("realtime-fp32"), **needs)).state == "ok"  # type: ignore[arg-type]


def test_where_no_gpu_of_a_jetson_computes_fp32_is_right(tmp_path: Path) -> None:
    assert fine_with_fp32(desktop(tmp_path / "desktop"))
    assert fine_with_fp32(orin(tmp_path / "orin"), runtime="onnxruntime")


def test_a_bundle_that_is_not_there_prevents_running(tmp_path: Path) -> None:
    finding = network(orin(tmp_path).machine(), Needs(bundle=tmp_path / "none"))
    assert finding.prevents
    assert "no manifest.json there" in finding.found

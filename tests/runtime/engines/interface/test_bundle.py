"""A bundle is read only if all of it is there, unchanged and understood."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import write_bundle

from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.manifest import Manifest, write_manifest
from tremorscope.runtime.engines.selection import for_live, open_runtime
from tremorscope.runtime.errors import BundleFault

MakeBundle = Callable[..., Path]


def change(bundle: Path, **entries: Any) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_a_whole_bundle_is_read(make_bundle: MakeBundle) -> None:
    directory = make_bundle()
    bundle = open_bundle(directory)
    assert bundle.graph_path("pairwise") == directory / "pairwise.onnx"
    assert bundle.manifest.frame_size is None
    assert (bundle.manifest.amplification.minimum, bundle.manifest.amplification.maximum) == (1, 100)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"trained": "perhaps"}, "trained: "),
        ({"colour": "blue"}, "colour: Extra inputs"),
        ({"format_version": 2}, "format_version: "),
        ({"amplification": {"minimum": 0.5, "maximum": 10}}, r"amplification\.minimum: "),
        ({"frame_size": {"width_px": 8, "height_px": 64}}, r"frame_size\.width_px: "),
    ],
)
def test_a_manifest_that_is_not_understood_names_the_entry(
    make_bundle: MakeBundle, entries: dict[str, Any], expected: str
) -> None:
    bundle = make_bundle()
    change(bundle, **entries)
    with pytest.raises(BundleFault, match=rf"manifest\.json: {expected}.*: export the bundle again"):
        open_bundle(bundle)


@pytest.mark.parametrize("content", ["{", 100_000 * "[", 100_000 * '{"a":'])
def test_a_manifest_that_is_not_json_is_refused(make_bundle: MakeBundle, content: str) -> None:
    bundle = make_bundle()
    (bundle / "manifest.json").write_text(content)
    with pytest.raises(BundleFault, match="not valid JSON"):
        open_bundle(bundle)


def test_a_shipped_bundle_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_bundle: MakeBundle
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_bundle(Path("lite")).directory == SHIPPED_BUNDLES / "lite"
    make_bundle().rename(tmp_path / "lite")
    assert open_bundle(Path("lite")).directory == Path("lite"), "what is here comes first"
    with pytest.raises(BundleFault, match="or a shipped bundle: lite, lite-fp16, nano, nano-fp16, realtime"):
        open_bundle(Path("heavy"))


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with one network in FP32 and FP16."""
    directory = tmp_path / "shipped"
    for name, precision in (("tiny", "fp32"), ("tiny-fp16", "fp16")):
        write_bundle(directory / name, precision=precision)
        manifest = Manifest.model_validate_json((directory / name / "manifest.json").read_text())
        write_manifest(directory / name, manifest)
    monkeypatch.setattr("tremorscope.runtime.engines.interface.bundle.SHIPPED_BUNDLES", directory)
    monkeypatch.chdir(tmp_path)
    return directory


def test_a_name_that_states_no_precision_is_fp16_on_a_gpu(shipped: Path) -> None:
    bundle = open_bundle(Path("tiny"))
    assert (bundle.directory, bundle.manifest.precision, bundle.why) == (shipped / "tiny", "fp32", "")
    on_gpu = bundle.for_gpu()
    assert (on_gpu.directory, on_gpu.manifest.precision) == (shipped / "tiny-fp16", "fp16")
    assert on_gpu.why == "tiny states no precision, and a GPU is fastest in FP16; tiny-fp32 insists on FP32"
    assert (bundle.named, on_gpu.named) == ("tiny", "tiny-fp16")
    assert open_bundle(Path("tiny-fp32")).named == "tiny-fp32"


@pytest.mark.parametrize(
    ("named", "directory", "precision"),
    [("tiny-fp32", "tiny", "fp32"), ("tiny-fp16", "tiny-fp16", "fp16"), ("shipped/tiny", "tiny", "fp32")],
)
def test_a_name_that_states_one_and_a_directory_insist(
    shipped: Path, named: str, directory: str, precision: str
) -> None:
    bundle = open_bundle(Path(named))
    assert bundle.for_gpu() is bundle
    assert bundle.directory.resolve() == shipped / directory
    assert (bundle.manifest.precision, bundle.why) == (precision, "")


@pytest.mark.usefixtures("shipped")
def test_what_is_here_has_no_twin(tmp_path: Path) -> None:
    write_bundle(tmp_path / "tiny")
    bundle = open_bundle(Path("tiny"))
    assert bundle.directory == Path("tiny")
    assert bundle.for_gpu() is bundle


def test_a_twin_of_other_weights_is_refused(shipped: Path) -> None:
    write_bundle(shipped / "tiny", weights_sha256="1" * 64)
    with pytest.raises(
        BundleFault, match="tiny-fp16: has other weights than tiny: install tremorscope again"
    ):
        open_bundle(Path("tiny")).for_gpu()


def test_the_bundle_that_is_run_unless_another_is_named() -> None:
    bundle = open_bundle(None)
    assert replace(bundle, stands_in=False) == open_bundle(Path("realtime"))
    assert bundle.for_gpu().directory == SHIPPED_BUNDLES / "realtime-fp16"


def test_live_on_a_cpu_the_lightest_stands_in_unless_one_is_named() -> None:
    def network(choice: str | None) -> tuple[str, str]:
        bundle = open_bundle(Path(choice) if choice else None)
        runtime = for_live(open_runtime("onnxruntime", bundle, (64, 48)))
        return runtime.bundle.manifest.network, runtime.why

    assert network("realtime") == ("realtime", "the configuration asks for it")
    name, why = network(None)
    assert name == "nano"
    assert (
        "no network is named, and on a CPU the lightest shows most pictures a second; realtime insists" in why
    )


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleFault, match=r"no manifest\.json there: name a directory"):
        open_bundle(tmp_path / "none")


def test_a_file_in_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    path.touch()
    with pytest.raises(BundleFault, match="not a directory: check the path"):
        open_bundle(path)


def test_a_missing_graph_is_refused(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    (bundle / "pairwise.onnx").unlink()
    with pytest.raises(BundleFault, match=r"pairwise\.onnx: missing from the bundle"):
        open_bundle(bundle)


def test_a_graph_of_which_one_bit_changed_is_refused(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    content = bytearray((bundle / "pairwise.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "pairwise.onnx").write_bytes(content)
    with pytest.raises(BundleFault, match="not what the manifest sealed"):
        open_bundle(bundle)


def test_a_bundle_without_the_graph_that_is_asked_for_says_so(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    change(bundle, graphs={})
    with pytest.raises(BundleFault, match="has no pairwise graph"):
        open_bundle(bundle).graph_path("pairwise")


def test_a_sealed_manifest_is_read_and_no_edit_passes(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    sealed = write_manifest(bundle, open_bundle(bundle).manifest)
    assert sealed.seal is not None
    assert open_bundle(bundle).manifest == sealed
    change(bundle, amplification={"minimum": 1, "maximum": 200})
    with pytest.raises(BundleFault, match=r"manifest\.json: was edited: .* seal: copy the bundle again"):
        open_bundle(bundle)


def test_reduced_precision_needs_a_seal(make_bundle: MakeBundle) -> None:
    with pytest.raises(BundleFault, match="does not match its seal"):
        open_bundle(make_bundle(precision="fp16"))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"precision": "int4"}, "precision: Input should be 'fp32', 'fp16' or 'int8'"),
        ({"precision": "int8"}, "an int8 bundle states its quantisation"),
    ],
)
def test_a_precision_that_is_not_understood_is_refused(
    make_bundle: MakeBundle, entries: dict[str, Any], expected: str
) -> None:
    with pytest.raises(BundleFault, match=expected):
        open_bundle(make_bundle(**entries))


def test_the_cpu_runs_the_graph_that_is_arranged_for_it_where_there_is_one(
    make_bundle: Callable[..., Path],
) -> None:
    directory = make_bundle()
    manifest = json.loads((directory / "manifest.json").read_text())
    arranged = manifest["graphs"]["band"] | {"file": "band-cpu.onnx"}
    (directory / "band-cpu.onnx").write_bytes((directory / "band.onnx").read_bytes())
    bundle = open_bundle(make_bundle(cpu_graphs={"band": arranged}))
    assert bundle.cpu_graph_path("band") == directory / "band-cpu.onnx"
    assert bundle.cpu_graph_path("pairwise") == bundle.graph_path("pairwise") == directory / "pairwise.onnx"
    assert bundle.graph_path("band") == directory / "band.onnx"

"""Results are read by the programs of the field, and say where they come from."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyuff
from browser_rig import DESK, changes, eventually, open_chromium, run, show
from click.testing import CliRunner
from scipy.io import loadmat
from support import Picture, write_clip

from tremorscope.commands.measure import measure
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticMode, SyntheticSettings
from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.reports.interactive import interactive_part, moving_section, thinned
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.measurement_files import geometry
from tremorscope.runtime.reports.moving import bend_weights
from tremorscope.runtime.reports.provenance import provenance_of
from tremorscope.runtime.vibration.displacement.regions import Region, Scale

SETTINGS = SyntheticSettings(
    480, 270, rate_hz=25.0, modes=(SyntheticMode(2.13, 0.2, 1), SyntheticMode(4.71, 0.1, 2)), duration_s=8.0
)
GIRDER = tuple(Region(*SETTINGS.girder_px(along)) for along in (0.25, 0.5, 0.75))
HAS_OBSPY = importlib.util.find_spec("obspy") is not None
COMMAND = "tremorscope measure bridge.mp4 -o out"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, Path, Path]:
    def film() -> list[Picture]:
        camera, frame, pictures = SyntheticCamera(SETTINGS), np.empty((270, 480, 3), np.uint8), []
        while camera.read_into(frame) is not None:
            pictures.append(frame.copy())
        return pictures

    root = tmp_path_factory.mktemp("modal")
    clip = write_clip(root / "bridge.mp4", iter(film()))
    job = MeasureJob(
        clip,
        root / "out",
        GIRDER,
        scale=Scale.stated(2.0),
        export=("mat", "mseed") if HAS_OBSPY else ("mat",),
        command=COMMAND,
    )
    return measure_clip(job), root / "out", clip


class TestUniversalFile:
    def test_geometry_and_units_stand_before_the_signals(
        self, results: tuple[Measurement, Path, Path]
    ) -> None:
        file = pyuff.UFF(str(results[1] / "displacement.uff"))
        assert list(file.get_set_types()) == [151, 164, 15, 82, *[58] * 6]
        header, units, nodes, lines = file.read_sets([0, 1, 2, 3])
        digest = hashlib.sha256(results[2].read_bytes()).hexdigest()
        assert (header["model_name"], header["description"]) == ("bridge.mp4", f"clip sha256 {digest}")
        assert header["program"].startswith("tremorscope 0")
        assert (units["units_code"], units["length"]) == (5, 1000.0)
        assert nodes["node_nums"] == [1, 2, 3]
        middles = np.array([each.centre_px for each in GIRDER])
        assert nodes["x"] == pytest.approx(2 * middles[:, 0])
        assert nodes["y"] == pytest.approx(2 * (270 - middles[:, 1]))  # +Y points up
        assert lines["nodes"].tolist() == [1, 2, 0, 2, 3]
        assert file.read_sets([4])["id5"] == f"clip sha256 {digest}"

    def test_openmodal_finds_the_fields_that_it_takes(self, results: tuple[Measurement, Path, Path]) -> None:
        """As its importer asks pyuff for them (OpenModal/modaldata.py); it itself needs a Python of its own."""
        for name in ("displacement.uff", "modes.uff"):
            sets = pyuff.UFF(str(results[1] / name)).read_sets()
            assert [each["type"] for each in sets].index(151) == 0  # begins a model
            for each in sets:
                wanted = {
                    151: "model_name description",
                    164: "units_code length force temp temp_offset",
                    15: "x y z node_nums disp_cs def_cs color",
                    82: "id trace_num color n_nodes",
                    58: "func_type rsp_node rsp_dir ref_node ref_dir ordinate_spec_data_type x data",
                    55: "analysis_type data_ch spec_data_type load_case mode_n freq node_nums r1 r2 r3",
                }[each["type"]]
                assert set(wanted.split()) <= each.keys()

    def test_acceleration_and_its_geometry_are_in_metres(
        self, results: tuple[Measurement, Path, Path]
    ) -> None:
        file = pyuff.UFF(str(results[1] / "acceleration.uff"))
        _, units, nodes = file.read_sets([0, 1, 2])
        assert (units["units_code"], units["length"]) == (1, 1.0)
        assert nodes["x"][0] == pytest.approx(2e-3 * GIRDER[0].centre_px[0])
        assert file.read_sets([4])["ordinate_axis_units_lab"] == "m/s2"

    def test_without_a_scale_lengths_are_pixels(self, results: tuple[Measurement, Path, Path]) -> None:
        found = geometry(replace(results[0], scale=None))
        assert (found.unit, found.places[1, 0]) == ("px", GIRDER[1].centre_px[0])

    def test_shapes_are_those_of_the_modes(self, results: tuple[Measurement, Path, Path]) -> None:
        file = pyuff.UFF(str(results[1] / "modes.uff"))
        assert list(file.get_set_types()) == [151, 164, 15, 82, 55, 55]
        for found, mode in zip(file.read_sets([4, 5]), results[0].analysis.modes, strict=True):
            assert found["freq"] == pytest.approx(mode.frequency_hz, rel=1e-5)
            assert found["r1"] == pytest.approx(mode.shape[0::2], abs=1e-5)
            assert found["r2"] == pytest.approx(-mode.shape[1::2], abs=1e-5)

    def test_pyoma_sees_the_same_frequency(self, results: tuple[Measurement, Path, Path]) -> None:
        pytest.importorskip("pyoma2", reason="needs the extra ssi")
        from pyoma2.algorithms.fdd import FDD
        from pyoma2.setup.single import SingleSetup

        file = pyuff.UFF(str(results[1] / "displacement.uff"))
        signals = file.read_sets(list(range(4, 10)))
        setup = SingleSetup(
            np.stack([each["data"] for each in signals], axis=1), 1 / signals[0]["abscissa_inc"]
        )
        algorithm = FDD(name="fdd", nxseg=100)
        setup.add_algorithms(algorithm)
        setup.run_by_name("fdd")
        peak_hz = algorithm.result.freq[np.argmax(algorithm.result.S_val[0, 0])]
        assert peak_hz == pytest.approx(2.13, abs=0.26)


class TestFurtherFormats:
    def test_matlab_holds_everything(self, results: tuple[Measurement, Path, Path]) -> None:
        found = loadmat(results[1] / "measurement.mat", squeeze_me=True)
        assert list(found["channels"]) == ["R1 x", "R1 y", "R2 x", "R2 y", "R3 x", "R3 y"]
        assert found["displacement"].shape == (200, 6)
        assert found["displacement"][:, 3] == pytest.approx(
            2 * results[0].motion.series["displacement", 1, "y"]
        )
        assert (found["displacement_unit"], found["acceleration_unit"]) == ("mm", "m/s2")
        assert found["mode_shape"][:, 0] == pytest.approx(results[0].analysis.modes[0].shape)
        assert found["provenance"]["command"].item() == COMMAND

    @pytest.mark.skipif(not HAS_OBSPY, reason="needs the extra mseed")
    def test_obspy_reads_miniseed(self, results: tuple[Measurement, Path, Path]) -> None:
        import obspy

        stream = obspy.read(str(results[1] / "displacement.mseed"))
        assert [f"{each.stats.station} {each.stats.channel}" for each in stream][:2] == ["R1 SY1", "R1 SY2"]
        trace = stream.select(station="R2", channel="SY2")[0]
        assert trace.stats.sampling_rate == pytest.approx(25.0)
        assert trace.data == pytest.approx(2 * results[0].motion.series["displacement", 1, "y"])
        rates = obspy.read(str(results[1] / "velocity.mseed"))
        assert {each.stats.channel for each in rates} == {"SL1", "SL2"}

    def test_an_unknown_format_is_told_before_any_work(self, results: tuple[Measurement, Path, Path]) -> None:
        done = CliRunner().invoke(measure, [str(results[2]), "--export", "matt", "-o", "out"])
        assert done.exit_code == 2
        assert "'matt' is not one of 'mat', 'mseed'" in done.output

    def test_a_missing_library_is_told_before_any_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "obspy", None)
        with pytest.raises(OptionFault, match=r"ObsPy is not installed: pip install 'tremorscope\[mseed\]'"):
            measure_clip(MeasureJob(Path("none.mp4"), Path("out"), export=("mseed",)))


class TestProvenance:
    def test_tables_stay_plain_and_are_described_beside(
        self, results: tuple[Measurement, Path, Path]
    ) -> None:
        described = json.loads((results[1] / "csv-metadata.json").read_text())
        digest = hashlib.sha256(results[2].read_bytes()).hexdigest()
        assert described["dc:source"]["clip"]["sha256"] == digest
        for table in described["tables"]:
            with (results[1] / table["url"]).open(newline="") as file:
                heading = next(csv.reader(file))
            assert heading == [each["titles"] for each in table["tableSchema"]["columns"]]

    def test_the_report_says_how_to_repeat_it(self, results: tuple[Measurement, Path, Path]) -> None:
        page = (results[1] / "report.html").read_text()
        digest = hashlib.sha256(results[2].read_bytes()).hexdigest()
        for text in (COMMAND, digest, "tremorscope 0", "scale 2 mm/px"):
            assert text in page
        summary = json.loads((results[1] / "summary.json").read_text())
        assert summary["provenance"]["settings"]["regions"].startswith(
            " ".join(map(str, SETTINGS.girder_px(0.25)))
        )

    def test_pictures_have_the_hash_of_their_list(self, tmp_path: Path) -> None:
        for number in (10, 9):
            (tmp_path / f"shot{number}.png").write_bytes(b"%d" % number)
        lines = [f"{hashlib.sha256(b'%d' % number).hexdigest()}  shot{number}.png\n" for number in (9, 10)]
        found = provenance_of(tmp_path, "", {})
        assert (found.bytes, found.sha256) == (3, hashlib.sha256("".join(lines).encode()).hexdigest())

    def test_a_clip_that_is_gone_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ClipFault, match="no such file"):
            provenance_of(tmp_path / "gone.mp4", "", {})


class TestPicturesThatMove:
    def test_the_field_holds_the_measured_motion_at_every_region(self) -> None:
        anchors = np.array([[50.0, 80], [120, 75], [200, 80], [300, 90]])
        parts = np.array([[0, 0.7], [0.1j, 1], [0, 0.7 - 0.2j], [0, 0]])
        weights = np.exp(-(np.linalg.norm(anchors[:, None] - anchors, axis=2) ** 2) / (2 * 60.0**2))
        field = weights / (weights.sum(axis=1, keepdims=True) + 0.03) @ bend_weights(anchors, parts, 60.0)
        assert field == pytest.approx(parts, abs=0.02)

    def test_regions_on_one_place_do_not_overshoot(self) -> None:
        anchors, parts = np.array([[50.0, 80], [50.5, 80]]), np.array([[0, 1.0], [0, -1.0]], complex)
        assert np.abs(bend_weights(anchors, parts, 60.0)).max() < 3

    def test_the_photograph_is_left_out_where_no_mode_is_sure(
        self, results: tuple[Measurement, Path, Path]
    ) -> None:
        measurement = results[0]
        assert "data:image/jpeg" in moving_section(measurement)
        unsure = tuple(
            replace(each, peak=replace(each.peak, amplitude_sigma=each.peak.amplitude / 2))
            for each in measurement.analysis.modes
        )
        doubtful = replace(measurement, analysis=replace(measurement.analysis, modes=unsure))
        assert moving_section(doubtful) == ""
        assert '"moving":null' in interactive_part(doubtful)

    def test_a_long_trace_keeps_its_extremes(self) -> None:
        times = np.arange(100_000) / 100
        values = np.sin(times)
        values[31_415], values[50_000:50_200] = 9.0, np.nan
        at, kept = thinned(times, values, 2000)
        assert at.size <= 2000
        assert np.nanmax(kept) == 9.0
        assert np.all(np.diff(at) >= 0)
        assert np.isnan(kept).any()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with open_chromium() as driver:
        yield driver


def animated(chromium: Any, *, reduced: bool = False) -> None:
    preference = {"name": "prefers-reduced-motion", "value": "reduce" if reduced else "no-preference"}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": [preference]})


class TestReportInABrowser:
    """The page from a file, as it lies on a desk."""

    def open(self, chromium: Any, page: Path) -> None:
        show(chromium, page.as_uri(), DESK)
        eventually(chromium, "return document.querySelectorAll('.uplot').length === 4")
        eventually(chromium, "return !document.getElementById('moving').hidden")

    def test_charts_zoom_and_modes_move(self, chromium: Any, results: tuple[Measurement, Path, Path]) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        animated(chromium)
        self.open(chromium, results[1] / "report.html")
        assert [each for each in chromium.get_log("browser") if "mode-1.mp4" not in each["message"]] == []
        eventually(chromium, "document.getElementById('moving').scrollIntoView(); return true")
        assert changes(chromium, "moving")
        told = run(chromium, "return document.querySelector('.told').textContent")
        assert re.match(r"2\.13 Hz, up to 0\.\d+ ± .* shown \d+ times as large", told)
        assert "tremorscope magnify bridge.mp4 --mode band --band 1.81 2.45" in run(
            chromium, "return document.body.innerText"
        )
        run(chromium, "document.querySelector('#moving .controls button').click()")
        run(
            chromium, "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        assert not changes(chromium, "moving", within_s=0.5)
        spectrum = chromium.find_element("css selector", "#spectrum .u-over")
        run(chromium, "document.getElementById('spectrum').scrollIntoView()")
        span = (
            "const {min, max} = made.find((each) => each.kind === 'spectrum').plot.scales.x; return max - min"
        )
        whole = run(chromium, span)
        mouse = ActionChains(chromium, duration=30)
        mouse.move_to_element_with_offset(spectrum, -100, 0).click_and_hold().move_by_offset(
            200, 0
        ).release().perform()
        width = spectrum.size["width"]
        assert run(chromium, span) == pytest.approx(whole * 200 / width, rel=0.05)
        run(chromium, "document.querySelector('#spectrum p button').click()")
        assert run(chromium, span) == pytest.approx(whole)
        mouse.move_to_element_with_offset(spectrum, 0, 0).click().move_by_offset(50, 0).perform()
        legend = run(chromium, "return document.querySelector('#spectrum .u-legend').innerText")
        assert "from the mark" in legend

    def test_who_wants_no_motion_gets_none(
        self, chromium: Any, results: tuple[Measurement, Path, Path]
    ) -> None:
        animated(chromium, reduced=True)
        self.open(chromium, results[1] / "report.html")
        assert (
            run(chromium, "return document.querySelector('#moving .controls button').textContent") == "Play"
        )
        assert not changes(chromium, "moving", within_s=0.5)

    def test_a_magnified_clip_beside_it_is_shown(
        self, chromium: Any, results: tuple[Measurement, Path, Path], tmp_path: Path
    ) -> None:
        page = tmp_path / "report.html"
        page.write_bytes((results[1] / "report.html").read_bytes())
        pictures = [np.full((64, 96, 3), 20 * number, np.uint8) for number in range(10)]
        write_clip(tmp_path / "mode-1.mp4", pictures, codec="libx264", pixel_format="yuv420p")
        animated(chromium)
        self.open(chromium, page)
        eventually(
            chromium,
            "const video = document.querySelector('#moving video'); return !video.hidden && video.videoWidth === 96",
        )
        assert (
            run(chromium, "return document.querySelector('#moving a').getAttribute('href')") == "mode-1.mp4"
        )

    def test_it_prints_whole(self, chromium: Any, results: tuple[Measurement, Path, Path]) -> None:
        self.open(chromium, results[1] / "report.html")
        pdf = chromium.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
        pages = len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(pdf)))
        assert 4 <= pages <= 9
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        hidden = "return [...document.querySelectorAll('.chart, #moving, button')].every((each) => !each.offsetParent)"
        assert run(chromium, hidden)
        pictures = "[...document.querySelectorAll('.picture > img')].filter((each) => each.offsetParent)"
        heights = run(chromium, f"return {pictures}.map((each) => each.offsetHeight / each.offsetWidth)")
        assert len(heights) == 4
        assert max(heights) < 267 / 188  # of A4's height and width in mm, less margins and heading

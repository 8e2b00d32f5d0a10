"""The report: whole whatever ends the run, without secrets, and with every open point."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, mount_small_disk, unmount

from tremorscope.runtime.cameras.settings import RtspCameraSettings
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.prove import conductor
from tremorscope.runtime.prove.conductor import ProveProgress, prove, step_lines, verdict
from tremorscope.runtime.prove.open_points import OPEN_POINTS, answer_points
from tremorscope.runtime.prove.outcome import Check, Outcome, Table
from tremorscope.runtime.prove.page import page
from tremorscope.runtime.prove.plan import ProvePlan, ProveStep, steps_of
from tremorscope.runtime.prove.record import HIDDEN, ProveReport, known_secrets, redacted

STEPS = [ProveStep(name, f"Step {name}", f"none.{name}", 10.0) for name in ("machine", "clock", "load")]
HELD = Outcome("holds", "it is <so>", facts={"board": "A board & co", "rate_hz": 29.97})


class Text(HTMLParser):
    """The text of a page; complains of elements that are not closed."""

    VOID = frozenset({"meta", "br", "img", "link", "hr"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        del attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Outcome | BaseException]], None]:
    """Puts steps in place of the real ones, whose outcomes are as given."""

    def put(given: dict[str, Outcome | BaseException]) -> None:
        def run(step: ProveStep, plan: ProvePlan, tick: Callable[[float], None]) -> Outcome:
            del plan
            tick(0.0)
            outcome = given[step.name]
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(conductor, "run_apart", run)
        monkeypatch.setattr(conductor, "steps_of", lambda _: STEPS)

    return put


def plan_in(directory: Path) -> ProvePlan:
    return ProvePlan(directory / "report", directory / "report/work", quick=True)


def report_in(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "report/prove.json").read_text())
    return found


def test_a_run_that_holds(tmp_path: Path, outcomes: Any) -> None:
    outcomes({"machine": HELD, "clock": Outcome("skipped", "no clock"), "load": HELD})
    seen: list[str] = []
    record = prove(plan_in(tmp_path), ProveProgress(step=lambda step, *_: seen.append(step.name)))
    assert seen == ["machine", "clock", "load"]
    assert record.holds
    report = report_in(tmp_path)
    assert (report["end"], report["holds"]) == ("complete", True)
    assert report["counts"] == {"holds": 2, "fails": 0, "skipped": 1}
    text = Text((tmp_path / "report/prove.html").read_text()).text
    assert "All holds" in text
    assert "A board & co" in text
    assert "it is <so>" in text
    assert verdict(record)[1] == "All that exists holds: 2 hold, 1 skipped."


def test_a_run_in_which_something_fails(tmp_path: Path, outcomes: Any) -> None:
    failed = Outcome(
        "fails",
        "rate: 12 Hz, not 30 Hz",
        "check the cable",
        (Check("rate", "12 Hz", "30 Hz", False),),
        tables=(Table("Openings", ["a"], [[n] for n in range(30)]),),
        output="GST_ARGUS: <boom>",
    )
    outcomes({"machine": HELD, "clock": failed, "load": HELD})
    record = prove(plan_in(tmp_path), ProveProgress())
    assert not record.holds
    assert report_in(tmp_path)["counts"]["fails"] == 1
    text = Text((tmp_path / "report/prove.html").read_text()).text
    for said in ("Not all holds", "rate: 12 Hz, not 30 Hz", "check the cable", "GST_ARGUS: <boom>", "29"):
        assert said in text
    assert verdict(record)[1] == "clock failed; 2 hold, 0 skipped."
    assert step_lines(STEPS[1], failed, 1.0)[0].startswith("FAILS    clock")
    assert "check the cable" in step_lines(STEPS[1], failed, 1.0)[1]


def test_an_interrupted_run_leaves_a_valid_report(tmp_path: Path, outcomes: Any) -> None:
    outcomes({"machine": HELD, "clock": KeyboardInterrupt(), "load": HELD})
    with pytest.raises(KeyboardInterrupt):
        prove(plan_in(tmp_path), ProveProgress())
    report = report_in(tmp_path)
    assert (report["end"], report["holds"]) == ("interrupted", False)
    assert [(each["name"], each["state"]) for each in report["steps"]] == [
        ("machine", "holds"), ("clock", "unfinished"), ("load", "unfinished"),
    ]  # fmt: skip
    assert "Interrupted" in Text((tmp_path / "report/prove.html").read_text()).text
    assert len(report["open_points"]) == len(OPEN_POINTS)
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "prove.html",
        "prove.json",
        "work",
    ]


def test_a_run_that_is_killed_leaves_the_report_of_the_step_before(tmp_path: Path, outcomes: Any) -> None:
    class PowerCut(BaseException):
        """Nothing of ours catches it."""

    outcomes({"machine": HELD, "clock": HELD, "load": PowerCut()})
    with pytest.raises(PowerCut):
        prove(plan_in(tmp_path), ProveProgress())
    assert [each["state"] for each in report_in(tmp_path)["steps"]] == ["holds", "holds", "unfinished"]
    assert report_in(tmp_path)["end"] == "running"


def test_a_disk_that_fills_midway_keeps_the_last_report_and_is_told_at_the_end(
    tmp_path: Path, outcomes: Any
) -> None:
    mount_small_disk(tmp_path, "size=256k")
    try:
        filler = tmp_path / "filler"
        seen: list[str] = []

        def told(step: ProveStep, *_: object) -> None:
            seen.append(step.name)
            if step.name == "machine":
                with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                    while True:
                        file.write(b"x" * 4096)

        outcomes(dict.fromkeys(("machine", "clock", "load"), HELD))
        with pytest.raises(OutputFault, match="the disk is full"):
            prove(plan_in(tmp_path), ProveProgress(step=told))
        assert seen == ["machine", "clock", "load"]  # the steps ran all the same
        assert report_in(tmp_path)["end"] == "running"  # as it was when the disk filled
        Text((tmp_path / "report/prove.html").read_text())
        filler.unlink()
        assert prove(plan_in(tmp_path), ProveProgress()).holds
    finally:
        unmount(tmp_path)


def test_a_report_that_cannot_be_written_is_told_before_the_first_step(tmp_path: Path, outcomes: Any) -> None:
    (tmp_path / "report").write_text("a file")
    outcomes({"machine": AssertionError("nothing is run")})
    with pytest.raises(OutputFault, match="report: cannot be written"):
        prove(plan_in(tmp_path), ProveProgress())


def test_secrets_are_left_out_wherever_they_stand(tmp_path: Path, outcomes: Any, monkeypatch: Any) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "web-token").write_text("tok<en>&-1234\n")
    (credentials / "camera-password").write_text("s3cret/pass")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("TREMORSCOPE_MQTT_PASSWORD", "mqtt-pass-word")
    secrets = ("tok<en>&-1234", "s3cret/pass", "mqtt-pass-word")
    leaky = Outcome(
        "fails",
        f"opened rtsp://user:other-pass@host/{secrets[1]}",
        f"say {secrets[0]}",
        (Check(secrets[0], secrets[1], secrets[2], False),),
        {f"fact {secrets[2]}": secrets[0]},
        (Table(secrets[0], [secrets[1]], [[secrets[2]]]),),
        f"log: {secrets}",
    )
    outcomes({"machine": leaky, "clock": HELD, "load": HELD})
    prove(plan_in(tmp_path), ProveProgress())
    for name in ("prove.json", "prove.html"):
        text = (tmp_path / "report" / name).read_text()
        for secret in (*secrets, "other-pass", "tok&lt;en", "user:"):
            assert secret not in text, (name, secret)
        assert HIDDEN in text


def test_a_cameras_password_is_known_by_the_name_in_its_configuration() -> None:
    camera = RtspCameraSettings(url="rtsp://10.0.0.5/1", user="viewer", credential="BRIDGE_CAMERA")
    configuration = Configuration.model_construct(camera=camera)
    found = known_secrets([configuration], {"BRIDGE_CAMERA": "hunter22", "TREMORSCOPE_WEB_TOKEN": "abc"})
    assert found == {"hunter22"}  # what is shorter than four letters would take ordinary words away
    assert redacted({"a": ["x hunter22", 1, None, True]}, found) == {"a": [f"x {HIDDEN}", 1, None, True]}


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    record = ProveReport(tmp_path, STEPS, "1.0", quick=False)
    record.add(STEPS[0], HELD, 1.5)
    source = page(record.as_json())
    assert not re.search(r"(src|href)=\"(?!#)", source)
    assert "@import" not in source
    assert "url(" not in source
    ids = set(re.findall(r'id="([^"]+)"', source))
    assert set(re.findall(r'href="#([^"]+)"', source)) >= ids
    assert "Not finished" in Text(source).text


# Open points.


def test_every_open_point_has_its_step_or_says_how_else_it_is_answered(tmp_path: Path) -> None:
    names = {step.name for step in steps_of(ProvePlan(tmp_path, tmp_path, quick=True))}
    assert len({point.id for point in OPEN_POINTS}) == len(OPEN_POINTS)
    for point in OPEN_POINTS:
        assert (point.step in names) != bool(point.by), point.id
        assert (ROOT / "docs" / point.guide).is_file()
        assert point.question.endswith("?")
    assert {point.step for point in OPEN_POINTS if point.step} == names  # no step is for nothing


def test_the_guide_lists_the_open_points_as_they_are() -> None:
    text = (ROOT / "docs/prove.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([TCDB]\d+) \| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    assert rows == [
        (
            each.id,
            each.question,
            f"[{each.guide}]({each.guide})",
            f"`{each.step}`" if each.step else f"by hand: {each.by}",
        )
        for each in OPEN_POINTS
    ]


@pytest.mark.parametrize("guide", sorted({point.guide for point in OPEN_POINTS}))
def test_each_guide_refers_to_its_open_points(guide: str) -> None:
    text = (ROOT / "docs" / guide).read_text(encoding="utf-8")
    assert "](prove.md)" in text
    first, *_, last = [point.id for point in OPEN_POINTS if point.guide == guide] * 2
    assert first in text
    assert last in text


def test_answers_are_those_of_the_steps_and_only_of_a_jetson() -> None:
    outcomes = {
        "engine-site": Outcome(
            "holds",
            "built",
            facts={
                "on_tensorrt": True,
                "built_pairwise": "now",
                "build_pairwise_s": 312.5,
                "build_band_s": None,
            },
        ),
        "camera-1": Outcome("holds", "fine", facts={"kind": "csi"}),
        "camera-2": Outcome("fails", "it is blind", facts={"kind": "csi"}),
        "graphs": Outcome("skipped", "no GPU answers here"),
    }
    here = {each.point.id: each for each in answer_points(outcomes, on_a_jetson=True)}
    assert (here["T2"].answer, here["T2"].said) == ("holds", "built (build_pairwise_s 312.5)")
    assert (here["C1"].answer, here["C1"].said) == ("fails", "it is blind")  # one of several is enough
    assert (here["T5"].answer, here["T5"].said) == ("open", "not looked at: no GPU answers here")
    assert (here["T4"].answer, here["T4"].said) == ("open", "its step was not run")
    assert here["T10"].said.startswith("by hand: ")
    on_a_pc = answer_points(outcomes, on_a_jetson=False)
    assert {each.answer for each in on_a_pc} == {"open"}


ON = {"on_tensorrt": True}
CSI = {"kind": "csi", "on_gpu": True}
STAYED = CSI | {
    "memory": "nvmm",
    "copied_bytes_per_frame": 0.0,
    "why": "",
    "pitch_bytes": 7680,
    "times": "sensor",
}
COPIED = CSI | {"memory": "copy", "copied_bytes_per_frame": 6220800.0, "why": "", "times": "arrival"}
FELL_BACK = COPIED | {"why": "the GPU refused to register the camera's buffer"}
USB = {"kind": "v4l2", "memory": "copy", "copied_bytes_per_frame": 6220800.0, "times": "driver"}
OPENED = {"frames": True, "true rate": True, "opening 1": True, "opening 2": True}


def checks(**holds: bool) -> dict[str, bool]:
    return {name.replace("_", " "): each for name, each in holds.items()}


@pytest.mark.parametrize(
    ("point", "answer", "facts", "checked"),
    [
        ("T1", "holds", ON | {"build_pairwise_s": 9.0}, {}),
        ("T1", "open", {"on_tensorrt": False}, {}),
        ("T2", "holds", ON | {"built_pairwise": "now", "build_pairwise_s": 9.0}, {}),
        ("T2", "open", ON | {"built_pairwise": "on 2026-01-01", "build_pairwise_s": 9.0}, {}),
        ("T3", "holds", ON | {"step_median_ms": 9.0}, {}),
        ("T3", "open", {"on_tensorrt": False, "step_median_ms": 9.0}, {}),
        ("T4", "holds", ON, {}),
        ("T4", "open", ON | {"int8": "not looked at: no bundle of it is here"}, {}),
        ("T4", "open", {"on_tensorrt": False}, {}),
        ("T5", "holds", {"launched": 590, "captured": 2}, {}),
        ("T5", "fails", {"launched": 0, "captured": 0}, {}),
        ("T5", "open", {"captures": "none: cuda-bindings are not installed"}, {}),
        ("T6", "holds", ON | {"rate_hz": 60.0, "roofline_reached": 0.4}, {}),
        ("T6", "open", ON | {"rate_hz": 60.0, "roofline_reached": None}, {}),
        ("T6", "open", {"on_tensorrt": False, "rate_hz": 60.0, "roofline_reached": 0.4}, {}),
        ("T7", "holds", ON | {"warp_part": 0.2}, {}),
        ("T7", "open", ON | {"warp_part": 0.0, "warp": "no layer is named after GridSample"}, {}),
        ("T7", "open", {"on_tensorrt": False, "warp_part": 0.2}, {}),
        ("T8", "holds", {"mapped_ms": 10.5, "device_ms": 10.0}, {}),
        ("T8", "fails", {"mapped_ms": 30.0, "device_ms": 10.0}, {}),
        ("C1", "holds", CSI, OPENED),
        ("C1", "fails", CSI, OPENED | checks(true_rate=False)),
        ("C1", "open", USB, OPENED),
        ("C2", "holds", STAYED, {}),
        ("C2", "open", COPIED, {}),
        ("C2", "fails", FELL_BACK, {}),
        ("C2", "fails", STAYED | {"copied_bytes_per_frame": 1.0}, {}),
        ("C2", "open", FELL_BACK | {"on_gpu": False}, {}),
        ("C2", "open", USB, {}),
        ("C3", "holds", STAYED, {}),
        ("C3", "open", COPIED, {}),
        ("C4", "holds", STAYED, {}),
        ("C4", "fails", COPIED, {}),
        ("C4", "open", USB, {}),
        ("C5", "holds", STAYED, checks(brightness_while_exposure_is_held=True)),
        ("C5", "fails", STAYED, checks(brightness_while_exposure_is_held=False)),
        ("C5", "open", STAYED | {"brightness_moved": 0.1}, {}),
        ("C6", "holds", {}, {"GPU, 64x36: bytes that differ": True, "CPU, RGBA 64x36": True}),
        ("C6", "open", {"gpu_kernel": "not looked at"}, {"CPU, RGBA 64x36": True}),
        ("C7", "holds", CSI | {"openings": 2}, OPENED),
        ("C7", "fails", CSI | {"openings": 2}, OPENED | {"opening 2": False}),
        ("C7", "fails", CSI, OPENED),
        ("C7", "open", USB | {"openings": 2}, OPENED),
        ("D2", "holds", {}, {"a frame before": False, "the restart": True, "a frame after the restart": True}),
        ("D2", "open", {}, {"a frame before": True, "the restart": False, "a frame after the restart": True}),
        ("D4", "holds", {"temperature_most_c": 61.0}, checks(last_third_against_the_first=True)),
        ("D4", "fails", {"temperature_most_c": 61.0}, checks(last_third_against_the_first=False)),
        ("D4", "fails", {"temperature_most_c": 98.0, "throttled": "cpu"}, {}),
        ("D4", "open", {"temperature_most_c": None}, {}),
        ("D6", "holds", {"kept_right_by": "chrony"}, {}),
        ("D6", "fails", {"kept_right_by": "nobody", "what_mends_it": "timedatectl set-ntp true"}, {}),
        ("D7", "holds", {"encoder": "nvv4l2h264enc"}, {"speed": True}),
        ("D7", "fails", {"encoder": "nvv4l2h264enc"}, {"speed": False}),
        ("D7", "open", {"encoder": "nvv4l2h264enc"}, {}),
        ("D7", "open", {"encoder": "libx264"}, {"speed": True}),
        ("B1", "holds", {"power_w": 14.0}, {}),
        ("B1", "open", {"power_w": None}, {}),
    ],
)  # fmt: skip
def test_a_point_is_answered_by_what_was_found_not_by_the_end_of_the_step(
    point: str, answer: str, facts: dict[str, Any], checked: dict[str, bool]
) -> None:
    step = next(each.step for each in OPEN_POINTS if each.id == point)
    found = tuple(Check(what, "", "", holds) for what, holds in checked.items())
    state = "holds" if all(checked.values()) else "fails"
    outcome = Outcome(state, "told", checks=found, facts=facts)  # type: ignore[arg-type]
    answered = {each.point.id: each.answer for each in answer_points({step: outcome}, on_a_jetson=True)}
    assert answered[point] == answer


def test_another_check_that_fails_answers_no_question_but_its_own() -> None:
    found = (
        Check("brightness while exposure is held", "9", "3", False),
        Check("true rate", "30", "30", True),
    )
    outcome = Outcome("fails", "brightness", checks=found, facts=dict(STAYED))
    answered = {
        each.point.id: each.answer for each in answer_points({"camera": outcome}, on_a_jetson=True)
        if each.point.step == "camera"
    }  # fmt: skip
    assert answered == {
        "C1": "holds", "C2": "holds", "C3": "holds", "C4": "holds", "C5": "fails", "C7": "open",
    }  # fmt: skip


def test_a_camera_of_another_kind_does_not_speak_for_argus() -> None:
    usb = Outcome("fails", "it is blind", facts=dict(USB))
    csi = Outcome("holds", "fine", facts=dict(STAYED))
    answered = {
        each.point.id: each.answer
        for each in answer_points({"camera-1": usb, "camera-2": csi}, on_a_jetson=True)
    }
    assert (answered["C1"], answered["C2"]) == ("holds", "holds")

"""Configurations: what is accepted, and that everything else is told with file, line, key, value and remedy."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml
from support import ROOT, run_command

from tremorscope.runtime.configuration.checking import contradictions
from tremorscope.runtime.configuration.problems import ConfigurationFault
from tremorscope.runtime.configuration.reading import (
    LoadedConfiguration,
    load_configuration,
    migrate,
    parse_configuration,
)
from tremorscope.runtime.configuration.schema import VERSION, json_schema, schema_text, write_configuration
from tremorscope.runtime.configuration.surroundings import remarks
from tremorscope.runtime.configuration.yaml_document import parse_yaml
from tremorscope.runtime.vibration.settings import SignalAlarmSettings, VibrationSettings

READY = ["bridge", "demo", "mast", "rotating-machine"]
WHOLE = """\
version: 1
camera: {kind: synthetic}
magnification:
  amplification: 20
vibration:
  regions:
    - {name: mid-span, x_px: 288, y_px: 195, width_px: 64, height_px: 20}
  modes:
    - {name: bending, low_hz: 1.8, high_hz: 2.4}
  alarms:
    - {name: sway, quantity: rms, region: mid-span, above_px: 2}
store:
  directory: state
"""


def read(text: str) -> LoadedConfiguration:
    return parse_configuration(text.encode(), Path("a.yaml"))


def lines(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationFault) as caught:
        read(text)
    for line in caught.value.lines:
        assert line.startswith("a.yaml")
        assert "\n" not in line
    return caught.value.lines


def changed(before: str, after: str) -> str:
    assert WHOLE.count(before) == 1
    return WHOLE.replace(before, after)


class TestReadyFiles:
    @pytest.mark.parametrize("name", READY)
    def test_can_be_followed(self, name: str) -> None:
        loaded = load_configuration(ROOT / "configs" / f"{name}.yaml")
        assert loaded.warnings == ()
        assert loaded.configuration.vibration.regions
        assert {alarm.quantity for alarm in loaded.configuration.vibration.alarms} >= {"signal"}

    @pytest.mark.parametrize("name", READY)
    def test_name_their_schema_so_that_editors_help(self, name: str) -> None:
        first = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        assert first == "# yaml-language-server: $schema=schema.json"

    def test_the_schema_beside_them_is_the_present_one(self) -> None:
        kept = (ROOT / "configs" / "schema.json").read_text(encoding="utf-8")
        assert kept == schema_text(), "tremorscope schema -o configs/schema.json"

    def test_every_key_is_described(self) -> None:
        bare = [
            f"{name}.{key}"
            for name, section in json_schema()["$defs"].items()
            for key, field in section.get("properties", {}).items()
            if "description" not in field
            and "$ref" not in field
            and key not in ("kind", "quantity")
            # Sections of their own are described where they are defined.
            and not any("$ref" in each for each in field.get("anyOf", field.get("allOf", [])))
        ]
        assert bare == []


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                changed("amplification: 20", "amplificaton: 20"),
                "a.yaml:4: magnification.amplificaton = 20: there is no such key: did you mean amplification?",
            ),
            (
                changed("amplification: 20", "amplification: lots"),
                'a.yaml:4: magnification.amplification = "lots": a number is wanted: '
                "write it without quotes or unit, e.g. 0.5 or 1000",
            ),
            (
                changed("amplification: 20", "amplification: 0.5"),
                "a.yaml:4: magnification.amplification = 0.5: must be at least 1: change it",
            ),
            (
                changed("amplification: 20", "amplification: 5000"),
                "a.yaml:4: magnification.amplification = 5000: must be at most 1000: change it",
            ),
            (
                changed("amplification: 20", "amplification: yes"),
                "a.yaml:4: magnification.amplification = true: a number is wanted: "
                "write it without quotes or unit, e.g. 0.5 or 1000",
            ),
            (
                changed("amplification: 20", "mode: bond"),
                'a.yaml:4: magnification.mode = "bond": is none of the choices: did you mean band? '
                "Else choose 'static', 'dynamic' or 'band'",
            ),
            (
                changed("kind: synthetic", "kind: film"),
                'a.yaml:2: camera = {"kind": "film"}: kind \'film\' is none of the choices: '
                "choose 'csi', 'v4l2', 'rtsp', 'clip', 'synthetic'",
            ),
            (
                changed("camera: {kind: synthetic}\n", ""),
                "a.yaml:1: camera: is missing: add it",
            ),
            (
                changed("region: mid-span, above_px: 2", "region: mid-spam, above_px: 2"),
                'a.yaml:11: vibration.alarms[0].region = "mid-spam": is none of vibration.regions: '
                "choose mid-span, or add it to vibration.regions",
            ),
            (
                changed("above_px: 2", "above_mm: 2"),
                "a.yaml:11: vibration.alarms[0].above_mm = 2: needs a scale, and region mid-span has none: "
                "add vibration.scale, or give above_px",
            ),
            (
                changed("x_px: 288", "x_px: 600"),
                "a.yaml:7: vibration.regions[0]: region 64x20 at x 600, y 195: "
                "reaches outside the picture of 640x360 px: move it inside or make it smaller",
            ),
            (
                changed("kind: synthetic", "kind: synthetic, rate_hz: 9"),
                'a.yaml:2: camera = {"kind": "synthetic", "rate_hz": 9}: synthetic camera: a mode at 4.7 Hz cannot be '
                "seen at 9.0 frames a second: choose a frequency above 0 and below 4.5 Hz, or film faster",
            ),
            (
                changed("high_hz: 2.4", "high_hz: 24"),
                "a.yaml:9: vibration.modes[0].high_hz = 24: cannot be seen at 30 frames a second: "
                "choose below 15 Hz, or film faster",
            ),
            (
                changed("amplification: 20", "mode: band"),
                'a.yaml:4: magnification.mode = "band": and band mode go together: give mode: band and bands_hz, '
                "or neither",
            ),
            (
                changed("directory: state", "directory: state\n  directory: other"),
                "a.yaml:14: store.directory: stands twice, first on line 13: keep one of them",
            ),
            (
                changed("version: 1", "version: 2"),
                "a.yaml:1: version = 2: is no version that is known here: update tremorscope",
            ),
            (changed("version: 1\n", ""), "a.yaml:1: version: is missing: add `version: 1`"),
            ("", "a.yaml:1: holds no configuration: begin with `version: 1` and a `camera` section"),
            (
                changed("  amplification: 20", "\tamplification: 20"),
                "a.yaml:4: found character '\\t' that cannot start any token: mend the YAML: indent with blanks, "
                "write `key: value`, quote text that holds : or #",
            ),
            (
                changed("amplification: 20", "max_displacement_px: 010"),
                'a.yaml:4: magnification.max_displacement_px = "010": a number is wanted: '
                "write it without quotes or unit, e.g. 0.5 or 1000",
            ),
            (
                changed("above_px: 2", "above_px: .nan"),
                "a.yaml:11: vibration.alarms[0].above_px = NaN: a finite number is wanted: write it in full",
            ),
        ],
    )
    def test_name_file_line_key_value_and_remedy(self, text: str, expected: str) -> None:
        assert lines(text) == (expected,)

    @pytest.mark.parametrize(
        ("alarm", "expected"),
        [
            (
                {"standard": "din4150", "class": "residential"},
                "there is no standard din4150: did you mean din-4150-3?",
            ),
            (
                {"standard": "din-4150-3", "class": "residental"},
                "there is no din-4150-3 class residental: did you mean residential?",
            ),
            (
                {"standard": "din-4150-3", "class": "residential", "boundary": "A/B"},
                "din-4150-3 has no boundary of zones: leave A/B out",
            ),
            (
                {"standard": "din-4150-3", "class": "residential", "speed_rpm": 300},
                "din-4150-3 asks for no speed: leave speed_rpm out",
            ),
            (
                {"standard": "iso-20816-3", "class": "group-1-rigid"},
                "nothing of it can be judged: 30 frames/s show up to 12 Hz, and its band begins at 10 Hz: film faster",
            ),
            (
                {"standard": "iso-20816-3", "class": "group-1-rigid", "speed": 300},
                "there is no such key: did you mean speed_rpm?",
            ),
            (
                {"quantity": "velocity", "unit": "furlongs", "limits": [[1, 5], [9, 5]]},
                "furlongs is no unit that exists here, the limit is one of velocity: choose px/s or mm/s",
            ),
            (
                {"quantity": "velocity", "unit": "m/s2", "limits": [[1, 5], [9, 5]]},
                "m/s2 is a unit of acceleration, the limit is one of velocity",
            ),
            (
                {"quantity": "velocity", "unit": "mm/s", "limits": [[4, 5], [2, 5]]},
                "the curve runs backwards from 4 to 2 Hz: give rising frequencies, each once",
            ),
            (
                {"quantity": "velocity", "unit": "mm/s", "limits": [[1, 5], [2, None]]},
                "limits[1][1] = null: a number is wanted",
            ),
            (
                {"quantity": "velocity", "unit": "mm/s", "limits": [[1, 5], [2, 0]]},
                "the curve has a gap at 2 Hz: its limit is 0",
            ),
            (
                {"quantity": "velocity", "unit": "mm/s", "limits": [[1, 5]]},
                "a curve of one point bounds no band",
            ),
            (
                {"quantity": "velocity", "unit": "mm/s", "limits": [[1, 5], [2, 5]], "statistic": "rmz"},
                "is none of the choices: did you mean rms? Else choose 'peak' or 'rms'",
            ),
        ],
    )
    def test_of_limits_name_the_nearest_and_the_gap(self, alarm: dict[str, object], expected: str) -> None:
        statistic = {} if alarm.get("quantity") is None else {"statistic": "rms"}
        whole = {"name": "limit", "quantity": "standard", "region": "mid-span"} | statistic | alarm
        text = changed("{name: sway, quantity: rms, region: mid-span, above_px: 2}", json.dumps(whole))
        (line,) = lines(text.replace("vibration:", "vibration:\n  scale: {mm_per_px: 2}"))
        assert expected in line
        assert line.startswith("a.yaml:12: vibration.alarms[0]")

    def test_of_a_scale_that_limits_need_and_that_px_do_not(self) -> None:
        standard = {
            "name": "a",
            "quantity": "standard",
            "standard": "en-1990-footbridge",
            "class": "vertical",
        }
        before = "{name: sway, quantity: rms, region: mid-span, above_px: 2}"
        (line,) = lines(changed(before, json.dumps(standard | {"region": "mid-span"})))
        assert "needs a scale, and region mid-span has none: add vibration.scale" in line
        curve = {
            "name": "a",
            "quantity": "velocity",
            "statistic": "rms",
            "region": "mid-span",
            "limits": [[1, 5], [9, 5]],
        }
        read(changed(before, json.dumps(curve | {"unit": "px/s"})))
        (line,) = lines(changed(before, json.dumps(curve | {"unit": "mm/s"})))
        assert 'alarms[0].unit = "mm/s": needs a scale' in line

    def test_a_limit_that_is_judged_in_part_is_remarked(self, tmp_path: Path) -> None:
        alarm = {
            "name": "a",
            "quantity": "standard",
            "standard": "din-4150-3",
            "class": "sensitive",
            "region": "mid-span",
        }
        text = changed("{name: sway, quantity: rms, region: mid-span, above_px: 2}", json.dumps(alarm))
        loaded = read(text.replace("vibration:", "vibration:\n  scale: {mm_per_px: 2}"))
        found = [what for path, what, _ in remarks(loaded.configuration, tmp_path) if path[0] == "vibration"]
        assert found == ["is judged only up to 12 of 100 Hz at 30 frames a second"]

    @pytest.mark.parametrize(
        "section",
        [
            "camera: {kind: rtsp, url: 'rtsp://u:hidden@h/x'}",
            "camera: {kind: rtsp, url: 'rtsp://h/x', password: hidden}",
            "camera: {kind: rtsp, url: 'rtsp://h/x', credential: 'not/hidden'}",
            "outputs: {mqtt: {host: 'mqtt://u:hidden@h', password: {is: hidden}}}",
            "outputs: {rtsp: {url: 'rtspx://u:hidden@h/x'}}",
        ],
    )
    def test_say_no_password_for_they_go_into_the_journal(self, section: str) -> None:
        found = lines(f"version: 1\n{section}\n")
        assert any("camera." in line or "outputs." in line for line in found)
        assert not [line for line in found if "hidden" in line]

    def test_are_told_all_at_once_in_the_order_of_the_file(self) -> None:
        text = changed("amplification: 20", "amplification: 0").replace("high_hz: 2.4", "high: 2.4")
        found = lines(text)
        assert [int(re.match(r"a\.yaml:(\d+):", line)[1]) for line in found] == [4, 9, 9]  # type: ignore[index]
        assert "did you mean high_hz?" in found[2] or "did you mean high_hz?" in found[1]

    def test_the_first_is_told_where_there_is_room_for_one(self) -> None:
        with pytest.raises(ConfigurationFault) as caught:
            read(changed("amplification: 20", "amplification: 0").replace("kind: synthetic", "kind: 3"))
        assert str(caught.value).count("\n") == 0
        assert str(caught.value).endswith("(and 1 more: tremorscope check a.yaml)")

    def test_what_is_no_file_is_refused_at_once(self, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo.yaml"
        os.mkfifo(fifo)
        for file in (fifo, Path("/dev/zero"), Path("/dev/null")):
            with pytest.raises(ConfigurationFault, match=r"is no regular file\): name a configuration file"):
                load_configuration(file)
        with pytest.raises(ConfigurationFault, match=r"is no regular file|cannot be read \(is a directory"):
            load_configuration(tmp_path)

    def test_a_long_text_is_given_up_while_it_is_parsed(self) -> None:
        assert lines("a: [" + "1," * 200_000 + "]\n") == (
            "a.yaml:1: more than 20000 entries are no configuration: name the right file",
        )

    def test_of_the_file_itself(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationFault, match=r"cannot be read \(no such file"):
            load_configuration(tmp_path / "none.yaml")
        with pytest.raises(ConfigurationFault, match="not text in UTF-8: save the file as UTF-8"):
            parse_configuration(b"version: 1\nname: \xff\n", Path("a.yaml"))
        with pytest.raises(ConfigurationFault, match="more than a megabyte"):
            parse_configuration(b"#" * 1_100_000, Path("a.yaml"))

    def test_of_text_that_means_more_than_it_says(self) -> None:
        bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)
        )
        assert "aliases that grow without end" in lines(bomb)[0]
        assert (
            "nested too deeply" in lines("version: &v [*v]\n")[0] or "alias" in lines("version: &v [*v]\n")[0]
        )


class TestKindsOfAlarms:
    """A kind that the checks or the service do not know must not pass as one without faults."""

    def test_one_that_does_not_check_itself_cannot_be_made(self) -> None:
        class Forgetful(SignalAlarmSettings.__base__):  # type: ignore[misc, name-defined]
            quantity: str = "tilt"

        with pytest.raises(TypeError, match="abstract"):
            Forgetful(name="forgetful")

    def test_what_a_new_kind_says_of_itself_is_told(self) -> None:
        class Tilt(SignalAlarmSettings):
            def contradictions(self, _: VibrationSettings) -> Iterator[tuple[str, str, str]]:
                yield "source", "cannot tilt", "choose one that can"

        loaded = read(WHOLE).configuration
        vibration = loaded.vibration.model_copy(
            update={"alarms": (Tilt(name="tilt", quantity="signal", source="x"),)}
        )
        assert contradictions(loaded.model_copy(update={"vibration": vibration})) == [
            (("vibration", "alarms", 0, "source"), "cannot tilt", "choose one that can")
        ]


class TestValues:
    def test_are_not_guessed(self) -> None:
        """YAML 1.1 reads octal, sexagesimal and dates into what looks like a number; here all of it stays text."""
        data = parse_yaml(b"a: 010\nb: 1:30\nc: 2026-11-22\nd: 1_000\ne: 1.5\nf: -3\ng: off\nh: ~\n").data
        assert data == {
            "a": "010",
            "b": "1:30",
            "c": "2026-11-22",
            "d": 1000,
            "e": 1.5,
            "f": -3,
            "g": False,
            "h": None,
        }

    def test_a_null_section_records_no_clips(self) -> None:
        assert read(WHOLE + "recording: null\n").configuration.recording is None

    def test_written_again_they_are_the_same(self, tmp_path: Path) -> None:
        loaded = load_configuration(ROOT / "configs" / "bridge.yaml")
        write_configuration(loaded.configuration, tmp_path / "again.yaml")
        assert load_configuration(tmp_path / "again.yaml").configuration == loaded.configuration


OLD = """\
version: 0
source: synthetic
size: [640, 360]
fps: 30
alpha: 20
band: [1.8, 2.4]
roi: {mid-span: [288, 195, 64, 20], quarter: [164, 197, 64, 20]}
mm_per_px: 2.4
limit: {mid-span: 3.5}
path: /var/lib/tremorscope
"""
PRESENT = {
    "version": 1,
    "camera": {"kind": "synthetic", "rate_hz": 30, "width_px": 640, "height_px": 360},
    "magnification": {"amplification": 20, "mode": "band", "bands_hz": [[1.8, 2.4]]},
    "store": {"directory": "/var/lib/tremorscope"},
    "vibration": {
        "scale": {"mm_per_px": 2.4},
        "regions": [
            {"name": "mid-span", "x_px": 288, "y_px": 195, "width_px": 64, "height_px": 20},
            {"name": "quarter", "x_px": 164, "y_px": 197, "width_px": 64, "height_px": 20},
        ],
        "alarms": [{"name": "mid-span moves", "quantity": "rms", "region": "mid-span", "above_px": 3.5}],
    },
}


class TestMigration:
    def test_brings_version_0_forward(self) -> None:
        document, found = migrate(parse_yaml(OLD.encode()))
        assert found == 0
        assert document.data == PRESENT
        loaded = read(OLD)
        assert loaded.configuration == read(yaml.safe_dump(PRESENT)).configuration
        assert loaded.warnings == ("a.yaml: has the format of version 0; it is read as version 1",)

    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            ("alpha: 20", "alpha: 0", "a.yaml:5: magnification.amplification = 0: must be at least 1"),
            ("[288, 195, 64, 20]", "[600, 195, 64, 20]", "a.yaml:7: vibration.regions[0]"),
            ("[288, 195, 64, 20]", "[288, 195]", "a.yaml:7: roi.mid-span = [288, 195]: is no region"),
            ("size: [640, 360]", "size: 640", "a.yaml:3: size = 640: is no size"),
            ("fps: 30", "fsp: 30", "a.yaml:4: fsp = 30: there is no such key"),
            ("3.5}", "x}", 'a.yaml:9: vibration.alarms[0].above_px = "x": a number is wanted'),
        ],
    )
    def test_keeps_the_lines_of_the_old_file(self, before: str, after: str, expected: str) -> None:
        assert any(line.startswith(expected) for line in lines(OLD.replace(before, after)))

    def test_of_the_present_version_changes_nothing(self) -> None:
        document = parse_yaml(WHOLE.encode())
        assert migrate(document) == (document, 1)


class TestCommands:
    def test_check_says_ok(self) -> None:
        done = run_command("check", ROOT / "configs" / "demo.yaml")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("demo.yaml: ok\n")

    def test_check_gives_each_problem_a_line(self, tmp_path: Path) -> None:
        file = tmp_path / "bad.yaml"
        file.write_text(
            changed("amplification: 20", "amplification: 0").replace("above_px: 2", "above_px: -2")
        )
        done = run_command("check", file)
        assert done.returncode == 78
        assert done.stderr == ""
        assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [f"{file}:4", f"{file}:11"]

    def test_check_writes_the_present_format(self, tmp_path: Path) -> None:
        old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
        old.write_text(OLD)
        done = run_command("check", old, "--migrate", new)
        assert done.returncode == 0, done.stderr
        assert load_configuration(new).configuration == load_configuration(old).configuration
        assert load_configuration(new).from_version == VERSION

    def test_schema_prints_json(self) -> None:
        done = run_command("schema")
        assert json.loads(done.stdout) == json_schema()

    def test_run_refuses_with_the_status_that_systemd_does_not_restart(self, tmp_path: Path) -> None:
        file = tmp_path / "bad.yaml"
        file.write_text(changed("amplification: 20", "amplification: 0"))
        done = run_command("run", "--config", file)
        assert done.returncode == 78
        (line,) = done.stderr.splitlines()
        assert line.endswith(f"{file}:4: magnification.amplification = 0: must be at least 1: change it")


def test_json_of_every_ready_file_follows_the_schema() -> None:
    """Editors judge by the schema alone: what it says of the ready files is what the service says."""
    for name in READY:
        data = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(json_schema()).validate(data)

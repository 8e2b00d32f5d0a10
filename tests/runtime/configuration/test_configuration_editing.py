"""Regions changed in the text of a configuration: what was asked for changes, and nothing else does."""

from __future__ import annotations

import codecs
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT

from tremorscope.runtime.configuration.editing import regions_block, with_regions
from tremorscope.runtime.configuration.reading import load_configuration, parse_configuration
from tremorscope.runtime.configuration.yaml_document import parse_yaml
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.regions import Region, RegionEdit

BRIDGE = (ROOT / "configs/bridge.yaml").read_bytes()
SIDES = ("x_px", "y_px", "width_px", "height_px")


def edit(name: str, *sides: int, was: str | None = None) -> RegionEdit:
    return RegionEdit(name, Region(*(sides or (1, 2, 30, 40))), was)


def still(number: int | None, *sides: int) -> RegionEdit:
    return RegionEdit("", Region(*sides), None if number is None else f"still {number}", still=True)


BRIDGE_STILL = [still(1, 40, 820, 96, 64), still(2, 1760, 800, 96, 64)]


def regions_of(content: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parse_yaml(content).data["vibration"]["regions"]
    return found


def test_a_bridge_keeps_every_other_character() -> None:
    wanted = [
        edit("mid-span", 910, 500, 64, 48, was="mid-span"),
        edit("near pier", 160, 560, 64, 64, was="near-pier"),
        edit("deck", 20, 30, 64, 65),
        *BRIDGE_STILL,
    ]
    before, after = BRIDGE.decode().splitlines(), with_regions(BRIDGE, wanted).decode().splitlines()
    gone, come = (
        [each for each in one if each not in other] for one, other in ((before, after), (after, before))
    )
    assert gone == [
        "    - {name: mid-span, x_px: 900, y_px: 500, width_px: 64, height_px: 64}",
        "    - {name: quarter-span, x_px: 500, y_px: 512, width_px: 64, height_px: 64}",
        "    - name: near-pier",
    ]
    assert come == [
        "    - {name: mid-span, x_px: 910, y_px: 500, width_px: 64, height_px: 48}",
        "    - name: near pier",
        "    - {name: deck, x_px: 20, y_px: 30, width_px: 64, height_px: 65}",
    ]
    place = after.index("      scale: {mm_per_px: 1.6}          # nearer to the camera than the others")
    assert after[place + 1] == come[-1]
    assert len(parse_yaml("\n".join(after).encode()).data) == len(parse_yaml(BRIDGE).data)


@pytest.mark.parametrize("name", ["bridge", "mast", "rotating-machine", "demo"])
def test_nothing_asked_is_nothing_changed(name: str) -> None:
    file = ROOT / f"configs/{name}.yaml"
    content = file.read_bytes()
    configured = load_configuration(file).configuration.vibration
    wanted = [RegionEdit(each.name, each.region(), each.name) for each in configured.regions]
    wanted += [RegionEdit("", e.region(), f"still {n}", True) for n, e in enumerate(configured.still, 1)]
    assert with_regions(content, wanted) == content


def test_still_regions_are_moved_deleted_and_drawn_where_they_stand() -> None:
    kept = [
        edit(each["name"], *(each[side] for side in SIDES), was=each["name"]) for each in regions_of(BRIDGE)
    ]
    moved = with_regions(BRIDGE, [*kept, still(2, 1700, 790, 96, 64), still(None, 8, 9, 32, 33)]).decode()
    line = "    - {x_px: 40, y_px: 820, width_px: 96, height_px: 64}\n"
    expected = BRIDGE.decode().replace(line, "").replace("x_px: 1760, y_px: 800", "x_px: 1700, y_px: 790")
    new = "    - {x_px: 8, y_px: 9, width_px: 32, height_px: 33}\n"
    assert moved == expected.replace("  scale: {distance_m", f"{new}  scale: {{distance_m")
    assert new in regions_block(moved.encode())
    assert "name: mid-span" in regions_block(moved.encode())
    first = with_regions(HEAD.encode(), [edit("deck"), still(None, 8, 9, 32, 33)])
    assert len(parse_configuration(first, ROOT / "x.yaml").configuration.vibration.still) == 1
    none = parse_yaml(with_regions(BRIDGE, kept)).data["vibration"]
    assert none["still"] == []
    with pytest.raises(OptionFault, match="the file has no region still 3"):
        with_regions(BRIDGE, [*kept, still(3, 1, 2, 30, 40)])


HEAD = "version: 1\ncamera: {kind: synthetic}  # drawn\n"
ONE = "{name: deck, x_px: 1, y_px: 2, width_px: 30, height_px: 40}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"vibration:\n  regions:\n    - {ONE}\n"),
        ("vibration:  # later\n", f"vibration: {{regions: [{ONE}]}}  # later\n"),
        ("vibration: {}\n", f"vibration: {{regions: [{ONE}]}}\n"),
        ("vibration: {window_s: 2}\n", f"vibration: {{regions: [{ONE}], window_s: 2}}\n"),
        ("vibration:\n  regions:\n  window_s: 2\n", f"vibration:\n  regions:\n    - {ONE}\n  window_s: 2\n"),
        ("vibration:\n  regions: []  # none\n", f"vibration:\n  regions: [{ONE}]  # none\n"),
        (
            "vibration:\n  # fast\n  window_s: 2  # s\n# end\n",
            f"vibration:\n  # fast\n  regions:\n    - {ONE}\n  window_s: 2  # s\n# end\n",
        ),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_first_region_is_written_where_none_is(before: str, after: str, ending: str) -> None:
    given, expected = ((HEAD + each).replace("\n", ending).encode() for each in (before, after))
    assert with_regions(given, [edit("deck")]) == expected
    marked = with_regions(codecs.BOM_UTF8 + given, [edit("deck")])
    assert marked == codecs.BOM_UTF8 + expected
    assert parse_configuration(marked, ROOT / "x.yaml").configuration.vibration.regions[0].name == "deck"
    assert ONE in regions_block(marked)


def test_the_last_region_leaves_an_empty_list() -> None:
    text = f"{HEAD}vibration:\n  regions:   # where\n    - {ONE}\n  # behind\n  window_s: 2\n"
    bare = f"{HEAD}vibration:\n  regions: []   # where\n  # behind\n  window_s: 2\n"
    assert with_regions(text.encode(), []).decode() == bare


@pytest.mark.parametrize(
    "name", ["on", "1.5", "null", "7", "deck ", "a: b", "é", "x]", "1e3", "a  b", "0x10"]
)
def test_a_name_is_read_back_as_it_was_given(name: str) -> None:
    assert regions_of(with_regions(HEAD.encode(), [edit(name)]))[0]["name"] == name


def test_what_cannot_be_sure_is_refused() -> None:
    shared = f"{HEAD}name: &n deck\nvibration:\n  regions:\n    - {ONE.replace('deck', '*n')}\n"
    with pytest.raises(OptionFault, match="anchors"):
        with_regions(shared.encode(), [edit("other", was="deck")])
    with pytest.raises(OptionFault, match="the file has no region pier"):
        with_regions(HEAD.encode(), [edit("pier", was="pier")])
    with pytest.raises(OptionFault, match="two regions are said to be the same one"):
        with_regions(BRIDGE, [edit("a", was="mid-span"), edit("b", was="mid-span")])
    with pytest.raises(OptionFault, match="format of version 0"):
        with_regions(b"version: 0\nsource: synthetic\n", [edit("deck")])


NAMES = ["deck", "mid-span", "pier 2", "cable.7", "on"]
COMMENTS = st.sampled_from(["", "  # note {number}: {{x}}"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[str], list[int]]:
    """A configuration with commented regions in one of the forms of YAML; their names, and the notes' regions."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    indent, form = " " * draw(st.integers(2, 6)), draw(st.sampled_from(["lines", "flow", "mixed"]))
    lines, noted = [], []
    for number, name in enumerate(names):
        note = draw(COMMENTS).format(number=number)
        noted += [number] if note else []
        quoted = f'"{name}"' if name == "on" or draw(st.booleans()) else name
        if form == "flow" or (form == "mixed" and number % 2):
            comma = "," if form == "flow" else ""
            dash = "" if form == "flow" else "- "
            lines += [
                f"{indent}{dash}{{name: {quoted}, x_px: 1, y_px: 2, width_px: 30, height_px: 40}}{comma}{note}"
            ]
        else:
            lines += [f"{indent}# above {number}", f"{indent}-   name: {quoted}"]
            lines += [
                f"{indent}    {side}: {value}" for side, value in zip(SIDES, (1, 2, 30, 40), strict=True)
            ]
            lines[-1] += note
    opening, closing = (" [", [f"{indent}]"]) if form == "flow" else ("", [])
    last = draw(st.sampled_from([[], ["  # behind"], ["  window_s: 3  # long"], ["", "name: x  # end"]]))
    text = "\n".join([HEAD.rstrip(), "vibration:  # what", f"  regions:{opening}", *lines, *closing, *last])
    return text + draw(st.sampled_from(["", "\n", "\n\n"])), names, noted


@settings(deadline=None, max_examples=60)
@given(documents(), st.data())
def test_any_change_of_any_form_keeps_all_comments_but_those_of_what_goes(
    document: tuple[str, list[str], list[int]], data: st.DataObject
) -> None:
    text, names, noted = document
    kept = [name for name in names if data.draw(st.booleans())]
    moved = {name: data.draw(st.integers(0, 300)) for name in kept}
    new = data.draw(st.lists(st.sampled_from(["new", "no"]), unique=True))
    wanted = [*(edit(name, moved[name], 2, 30, 40, was=name) for name in kept), *map(edit, new)]
    after = with_regions(text.encode(), wanted).decode()
    assert [each["name"] for each in regions_of(after.encode())] == kept + new
    assert [each["x_px"] for each in regions_of(after.encode())] == [*moved.values(), *(1 for _ in new)]
    hints = re.findall(r"#.*", text)
    gone = {f"# note {number}: {{x}}" for number in noted if names[number] not in kept}
    found = re.findall(r"#.*", after)
    assert [each for each in found if each not in gone] == [each for each in hints if each not in gone]
    assert after.splitlines()[:3] == text.splitlines()[:3] or not (kept or "[" in text)

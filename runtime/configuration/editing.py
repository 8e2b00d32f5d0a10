"""Change of the regions and still regions in the text of a configuration file: all else, comments too, stays."""

from __future__ import annotations

import codecs
import copy
import json
import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import yaml

from tremorscope.runtime.configuration.schema import VERSION
from tremorscope.runtime.configuration.yaml_document import YamlProblem, parse_yaml
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.regions import RegionEdit

_Edit: TypeAlias = tuple[int, int, str]
"""First character, the one behind the last, and the text to stand in their place."""

_LISTS = ("regions", "still")
_PLAIN = re.compile(r"[A-Za-z][\w.-]*( [\w.-]+)*", re.ASCII)


def with_regions(content: bytes, wanted: Sequence[RegionEdit]) -> bytes:
    """Content of a valid configuration file with other regions under ``vibration``.

    Those that were there before are changed where they stand; those that are no longer wanted go with their lines;
    new ones come behind.

    Raises:
        OptionFault: a region is not in the file, or the file is written so that a change cannot be sure to change
            nothing else.
    """
    data = parse_yaml(content).data
    if data["version"] != VERSION:
        raise OptionFault(
            f"the file has the format of version {data['version']}",
            remedy="bring it to the present one with tremorscope check OLD --migrate NEW",
        )
    text = content.decode("utf-8-sig")
    expected = copy.deepcopy(data)
    section = expected["vibration"] = expected.get("vibration") or {}
    own = {key: [each for each in wanted if each.still == (key == "still")] for key in _LISTS}
    for key in _LISTS:
        if own[key] or section.get(key):
            section[key] = _as_data(section.get(key) or [], own[key])
    try:
        for key in _LISTS:
            for start, end, new in sorted(_Editor(text, own[key], key).edits(), reverse=True):
                text = text[:start] + new + text[end:]
        changed = (codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b"") + text.encode()
        found = parse_yaml(changed).data
    except (YamlProblem, yaml.YAMLError):
        found = None
    if found != expected:
        raise OptionFault(
            "the regions are written in a form that cannot be changed without changing more (anchors, for example)",
            remedy="write each as - {name: ..., x_px: ..., y_px: ..., width_px: ..., height_px: ...}, or edit the file",
        )
    return changed


def regions_block(content: bytes) -> str:
    """The lines that hold ``vibration.regions`` and ``vibration.still``, as they stand in the file."""
    text = content.decode("utf-8-sig")
    section = _entry(yaml.compose(text, Loader=yaml.SafeLoader), "vibration")[1]
    found = [
        (_line_start(text, key.start_mark.index), _line_end(text, _end_of(text, value)))
        for key, value in (_entry(section, each) for each in _LISTS)
        if key is not None and value is not None
    ]
    return "".join(text[start:end] for start, end in sorted(set(found)))


def _as_data(present: list[dict[str, object]], wanted: Sequence[RegionEdit]) -> list[dict[str, object]]:
    edits = {each.was: each for each in wanted if each.was is not None}
    names = _names(present)
    if unknown := set(edits) - set(names):
        raise OptionFault(
            f"the file has no region {min(unknown)}", remedy="reload the configuration, and look again"
        )
    if len(edits) + sum(each.was is None for each in wanted) < len(wanted):
        raise OptionFault("two regions are said to be the same one", remedy="give each a `was` of its own")
    kept = [each | _values(edits[name]) for name, each in zip(names, present, strict=True) if name in edits]
    return kept + [_values(each) for each in wanted if each.was is None]


def _names(present: list[dict[str, object]]) -> list[str]:
    return [str(each.get("name", f"still {number}")) for number, each in enumerate(present, 1)]


def _values(wanted: RegionEdit) -> dict[str, object]:
    region = wanted.region
    sides = {side: getattr(region, side) for side in ("x_px", "y_px", "width_px", "height_px")}
    return sides if wanted.still else {"name": wanted.name, **sides}


def _written(value: object) -> str:
    if not isinstance(value, str):
        return str(value)
    return value if _PLAIN.fullmatch(value) and yaml.safe_load(value) == value else json.dumps(value)


class _Editor:
    """Changes of one list in a text."""

    def __init__(self, text: str, wanted: Sequence[RegionEdit], key: str) -> None:
        self._text, self._key = text, key
        self._break = "\r\n" if "\r\n" in text else "\n"
        self._kept = {each.was: each for each in wanted if each.was is not None}
        self._new = [
            "{" + ", ".join(f"{key}: {_written(value)}" for key, value in _values(each).items()) + "}"
            for each in wanted
            if each.was is None
        ]

    def edits(self) -> Iterator[_Edit]:
        root = yaml.compose(self._text, Loader=yaml.SafeLoader)
        _, section = _entry(root, "vibration")
        key, regions = _entry(section, self._key)
        if isinstance(regions, yaml.SequenceNode):
            assert key is not None
            yield from self._in_list(key, regions)
        elif not self._new:
            return
        elif regions is not None:
            yield from self._in_place_of(regions, section)
        elif isinstance(section, yaml.MappingNode) and section.value:
            first = section.value[0][0].start_mark
            if section.flow_style:
                yield first.index, first.index, f"{self._key}: {self._flow()}, "
            else:
                lines = f"{self._key}:{self._block(first.column + 2)}{self._break}{' ' * first.column}"
                yield first.index, first.index, lines
        elif section is not None:
            at, blank = section.start_mark.index, " " * (self._text[section.start_mark.index - 1] != " ")
            yield at, section.end_mark.index, f"{blank}{{{self._key}: {self._flow()}}}"
        else:
            ended = "" if self._text.endswith("\n") else self._break
            lines = f"{ended}vibration:{self._break}  {self._key}:{self._block(4)}{self._break}"
            yield len(self._text), len(self._text), lines

    def _in_place_of(self, nothing: yaml.Node, section: yaml.Node | None) -> Iterator[_Edit]:
        """Change of ``regions:`` with nothing behind it."""
        assert isinstance(section, yaml.MappingNode)
        column = section.value[0][0].start_mark.column + 2
        written = f" {self._flow()}" if section.flow_style else self._block(column)
        yield nothing.start_mark.index, nothing.end_mark.index, written

    def _in_list(self, key: yaml.Node, regions: yaml.SequenceNode) -> Iterator[_Edit]:
        edits = [(each, self._of(each, number)) for number, each in enumerate(regions.value, 1)]
        kept = [each for each, edit in edits if edit]
        for each, edit in edits:
            yield from self._values(each, edit) if edit else [self._removed(regions, each)]
        if regions.flow_style:
            if self._new:
                at = _end_of(self._text, kept[-1]) if kept else regions.start_mark.index + 1
                yield at, at, (", " if kept else "") + ", ".join(self._new)
            return
        if self._new:
            at = self._span(regions, (kept or regions.value)[-1])[1]
            lines = self._block(regions.start_mark.column).removeprefix(self._break) + self._break
            yield at, at, lines if self._text[:at].endswith("\n") else self._break + lines
        elif not kept:
            at = self._text.index(":", key.end_mark.index) + 1
            yield at, at, " []"

    def _values(self, node: yaml.Node, wanted: RegionEdit) -> Iterator[_Edit]:
        for key, value in _values(wanted).items():
            _, present = _entry(node, key)
            if isinstance(present, yaml.ScalarNode) and present.value != str(value):
                yield present.start_mark.index, present.end_mark.index, _written(value)

    def _removed(self, regions: yaml.SequenceNode, node: yaml.Node) -> _Edit:
        if not regions.flow_style:
            return (*self._span(regions, node), "")
        end = _end_of(self._text, node)
        comma = re.compile(r"\s*,").match(self._text, end)
        return node.start_mark.index, comma.end() if comma else end, ""

    def _span(self, regions: yaml.SequenceNode, node: yaml.Node) -> tuple[int, int]:
        """The lines of an entry of a list, from its dash on."""
        column, start = regions.start_mark.column, _line_start(self._text, node.start_mark.index)
        while self._text[start + column] != "-":
            start = _line_start(self._text, start - 1)
        return start, _line_end(self._text, _end_of(self._text, node))

    def _of(self, node: yaml.Node, number: int) -> RegionEdit | None:
        _, name = _entry(node, "name")
        return self._kept.get(f"still {number}" if name is None else name.value)

    def _flow(self) -> str:
        return f"[{', '.join(self._new)}]"

    def _block(self, column: int) -> str:
        return "".join(f"{self._break}{' ' * column}- {each}" for each in self._new)


def _entry(node: yaml.Node | None, key: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Key and value of an entry of a mapping."""
    if isinstance(node, yaml.MappingNode):
        for each, value in node.value:
            if each.value == key:
                return each, value
    return None, None


def _end_of(text: str, node: yaml.Node) -> int:
    """The character behind a node: a block's own mark stands behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end_of(text, last[1] if isinstance(last, tuple) else last)
    return node.start_mark.index + len(text[node.start_mark.index : node.end_mark.index].rstrip())


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    return text.find("\n", at) + 1 or len(text)

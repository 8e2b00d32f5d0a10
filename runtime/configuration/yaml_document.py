"""YAML reader that keeps the line of every key and value, and refuses ambiguous YAML.

Only what JSON can hold comes out: mappings with text as keys, lists, text, numbers, booleans and null. A key that
stands twice is refused, because YAML would silently take the last. Dates and such stay text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"
KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and positions from the top of the document."""

_DEEPEST, _MOST_NODES = 32, 20_000
LARGEST_BYTES = 1 << 20
_TAG = "tag:yaml.org,2002:"


class YamlProblem(Exception):
    """Fault in a YAML text, with its line (from 1) and its remedy."""

    def __init__(self, what: str, *, remedy: str, line: int = 1, key: str = "") -> None:
        self.what, self.remedy, self.line, self.key = what, remedy, line, key
        super().__init__(f"line {line}: {what}: {remedy}")


@dataclass
class YamlDocument:
    """The data of a document and where each part stands."""

    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    """Path -> line from 1: of the key within a mapping, of the value within a list."""

    def line_of(self, path: KeyPath) -> int:
        """Line of a path, or of the nearest part above it that stands in the file."""
        for length in range(len(path), -1, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return line
        return 1

    def value_at(self, path: KeyPath) -> Any:
        """The value that stands there.

        Raises:
            KeyError: nothing stands there.
        """
        value = self.data
        try:
            for part in path:
                value = value[part]
        except (TypeError, IndexError, KeyError):
            raise KeyError(path) from None
        return value


def parse_yaml(content: bytes) -> YamlDocument:
    """Parse one document.

    Raises:
        YamlProblem: it is not YAML, or holds what a configuration must not.
    """
    if len(content) > LARGEST_BYTES:
        raise YamlProblem("more than a megabyte of text is no configuration", remedy="name the right file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise YamlProblem("not text in UTF-8", remedy="save the file as UTF-8", line=line) from None
    try:
        node = yaml.compose(text, Loader=_BoundedLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(
            _in_one_line(error.problem or error.context or "not YAML"),
            remedy="mend the YAML: indent with blanks, write `key: value`, quote text that holds : or #",
            line=mark.line + 1 if mark else 1,
        ) from None
    except yaml.YAMLError as error:
        place = getattr(error, "position", 0)
        raise YamlProblem(
            _in_one_line(f"a character that YAML does not allow ({getattr(error, 'reason', error)})"),
            remedy="take it out",
            line=text.count("\n", 0, place) + 1 if isinstance(place, int) else 1,
        ) from None
    except RecursionError:
        raise YamlProblem("nested too deeply", remedy="write it flatter") from None
    document = YamlDocument(None)
    if node is not None:
        document.data = _Reader(document).read(node, ())
    return document


class _BoundedLoader(yaml.SafeLoader):
    """Loader with a bound on the entries: a long text must not cost a running service seconds."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise YamlProblem(
                f"more than {_MOST_NODES} entries are no configuration",
                remedy="name the right file",
                line=self.line + 1,
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


class _Reader:
    """Turns nodes into data and notes their lines."""

    def __init__(self, document: YamlDocument) -> None:
        self._document = document
        self._nodes = 0

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        self._nodes += 1
        line = node.start_mark.line + 1
        # Aliases can make a short text mean a huge or an endless one.
        if self._nodes > _MOST_NODES or len(path) > _DEEPEST:
            raise YamlProblem(
                "nested too deeply, or aliases that grow without end", remedy="write it out", line=line
            )
        self._document.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(each, (*path, at)) for at, each in enumerate(node.value)]
        return _scalar(node, dotted(path))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlProblem("a key that is no text", remedy="write `key: value`", line=line)
            key = str(key_node.value)
            place = (*path, key)
            if key in found:
                first = self._document.lines[place]
                raise YamlProblem(
                    f"stands twice, first on line {first}",
                    remedy="keep one of them",
                    line=line,
                    key=dotted(place),
                )
            self._document.lines[place] = line
            found[key] = self.read(value_node, place)
        return found


def _scalar(node: yaml.Node, key: str) -> Any:
    text: str = node.value
    kind = node.tag.removeprefix(_TAG)
    try:
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("yes", "true", "on")
        if kind == "int":
            return _integer(text)
        if kind == "float":
            return _real(text)
    except ValueError:
        raise YamlProblem(
            f"{text!r} is no number",
            remedy="write a plain one, e.g. 12 or 0.5",
            line=node.start_mark.line + 1,
            key=key,
        ) from None
    return text


def _integer(text: str) -> int | str:
    # YAML 1.1 takes 010 for eight and 1:30 for ninety: here they are text, which no field for a number takes.
    plain = text.replace("_", "").lstrip("+-")
    if ":" in plain or (plain.startswith("0") and plain != "0"):
        return text
    if len(plain) > 18:
        raise ValueError
    return int(text.replace("_", ""))


def _real(text: str) -> float | str:
    plain = text.replace("_", "").lower()
    if ":" in plain:
        return text
    if plain.lstrip("+-") in (".inf", ".nan"):
        plain = plain.replace(".", "")
    return float(plain)


def dotted(path: KeyPath) -> str:
    """Path as text: ``vibration.regions[0].width_px``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _in_one_line(text: str) -> str:
    return " ".join(str(text).split())

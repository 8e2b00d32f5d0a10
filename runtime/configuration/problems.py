"""Problems of a configuration, in one line each: file, line, key, value, and what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic_core import ErrorDetails

from tremorscope.runtime.configuration.yaml_document import KeyPath, YamlDocument, dotted
from tremorscope.runtime.errors import Fault, did_you_mean

_LONGEST_VALUE = 60
_SECRET_KEY = re.compile(r"(?i)passw|token|secret|credential")
_LOGIN = re.compile(r"://[^\s\"]*@")
"""User and password in an address."""
_NOTHING = object()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    what: str
    remedy: str
    path: KeyPath = ()
    """Keys from the top of the file; empty for the file as a whole."""
    line: int | None = None
    """From 1; None where no line is to blame."""
    value: str = ""
    """The value there, shortened; empty where there is none."""

    def text(self, file: FilePath) -> str:
        """All of it in one line."""
        place = f"{file}:{self.line}" if self.line else str(file)
        key = dotted(self.path)
        named = f"{key} = {self.value}" if key and self.value else key
        line = ": ".join(part for part in (place, named, self.what, self.remedy) if part)
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


class ConfigurationFault(Fault):
    """A configuration that cannot be followed."""

    def __init__(self, file: FilePath, problems: Sequence[Problem]) -> None:
        """State all problems; the first is told, the others are counted."""
        self.problems = tuple(problems)
        self.lines = tuple(each.text(file) for each in problems)
        first = problems[0]
        more = len(problems) - 1
        remedy = first.remedy
        if more:
            remedy += f" (and {more} more: tremorscope check {file})"
        super().__init__(self.lines[0].removesuffix(f": {first.remedy}"), remedy=remedy)


def of_validation(
    errors: Sequence[ErrorDetails], document: YamlDocument, schema: dict[str, Any]
) -> list[Problem]:
    """Problems from what pydantic has found, in the order of the file, once for each place."""
    found: dict[tuple[KeyPath, str], Problem] = {}
    for error in errors:
        path = _path_within(document.data, error["loc"])
        what, remedy = _explain(error, path, document, schema)
        problem = at(document, path, what, remedy)
        found.setdefault((path, what), problem)
    return sorted(found.values(), key=lambda each: each.line or 0)


def at(document: YamlDocument, path: KeyPath, what: str, remedy: str) -> Problem:
    """A problem with what stands at a path, or should stand there."""
    value = (
        _shortened(path, _value_at(document, path))
        if path and _value_at(document, path) is not _NOTHING
        else ""
    )
    return Problem(_LOGIN.sub("://...@", what), remedy, path, document.line_of(path), value)


def _value_at(document: YamlDocument, path: KeyPath) -> Any:
    try:
        return document.value_at(path)
    except KeyError:
        return _NOTHING


def _path_within(data: Any, location: Sequence[int | str]) -> KeyPath:
    """The path without the names of alternatives that pydantic adds where a value may have several forms."""
    path: list[int | str] = []
    chosen: Any = None  # the section whose alternative was named already
    for number, part in enumerate(location):
        is_last = number == len(location) - 1
        if isinstance(data, dict) and data is not chosen and part in _tags(data):
            chosen = data  # its name may be that of a key as well
            continue
        if _contains(data, part):
            data = data[part]
        elif not is_last or not isinstance(data, dict) or part in _tags(data):
            continue
        path.append(part)
    return tuple(path)


def _contains(data: Any, part: int | str) -> bool:
    if isinstance(part, int):
        return isinstance(data, list) and part < len(data)
    return isinstance(data, dict) and part in data


def _tags(data: dict[str, Any]) -> tuple[Any, ...]:
    """Values of the keys that distinguish the alternatives of a section."""
    return tuple(data[key] for key in ("kind", "quantity") if isinstance(data.get(key), str))


def _explain(
    error: ErrorDetails, path: KeyPath, document: YamlDocument, schema: dict[str, Any]
) -> tuple[str, str]:
    """The problem and its remedy in plain words."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path, keys_at(schema, path[:-1], document.data))
    if kind == "missing":
        return "is missing", "add it"
    if kind in ("value_error", "assertion_error"):
        what, _, remedy = error["msg"].removeprefix("Value error, ").partition(": ")
        return what, remedy or "see the description of this section in docs/service.md"
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {context[key]:g}", "change it"
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _CHOICES:
        return _choices(context, _value_at(document, path))
    if kind in _LENGTHS:
        return _length(kind, context)
    message = error["msg"]
    return message[:1].lower() + message[1:], "see the description of this key in docs/service.md"


def _choices(context: dict[str, Any], given: object) -> tuple[str, str]:
    if "expected" in context:
        remedy = f"choose {context['expected']}"
        near = did_you_mean(str(given), re.findall("'([^']*)'", context["expected"]))
        return "is none of the choices", f"{near} Else {remedy}" if near else remedy
    key = str(context.get("discriminator", "")).strip("'")
    if "expected_tags" in context:
        return f"{key} {context.get('tag')!r} is none of the choices", f"choose {context['expected_tags']}"
    return f"{key} is missing", f"add {key}"


def _length(kind: str, context: dict[str, Any]) -> tuple[str, str]:
    things = "characters" if kind.startswith("string") else "entries"
    if kind.endswith("short"):
        return f"has too few {things}", f"give at least {context['min_length']}"
    return f"has too many {things}", f"give at most {context['max_length']}"


_LENGTHS = ("too_short", "too_long", "string_too_short", "string_too_long")
_CHOICES = ("literal_error", "union_tag_invalid", "union_tag_not_found")
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
_LIST = ("a list is wanted", "write [a, b] or one line with - for each")
_SECTION = ("a section is wanted", "indent its keys below it, one on a line, as key: value")
_NUMBER = ("a number is wanted", "write it without quotes or unit, e.g. 0.5 or 1000")
_WHOLE = ("a whole number is wanted", "write it without point, quotes or unit")
_TEXT = ("text is wanted", "put it into quotes")
_TYPES = {
    "bool_type": ("true or false is wanted", "write true or false"),
    "dict_type": _SECTION,
    "float_type": _NUMBER,
    "finite_number": ("a finite number is wanted", "write it in full"),
    "int_from_float": _WHOLE,
    "int_type": _WHOLE,
    "list_type": _LIST,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "path_type": _TEXT,
    "string_pattern_mismatch": (
        "has characters that cannot be",
        "use letters, digits, blanks, dots, - and _",
    ),
    "string_type": _TEXT,
    "tuple_type": _LIST,
}


def _unknown_key(path: KeyPath, known: Sequence[str]) -> tuple[str, str]:
    if near := did_you_mean(str(path[-1]), known):
        return "there is no such key", near
    listed = ", ".join(known)
    return "there is no such key", f"take it out; here there are {listed}" if listed else "take it out"


def keys_at(schema: dict[str, Any], path: KeyPath, data: Any) -> list[str]:
    """The keys that may stand in the section at a path, by the JSON schema."""
    node = schema
    for part in path:
        node = _resolved(schema, node, data)
        if isinstance(part, int):
            prefix = node.get("prefixItems", [])
            node = prefix[part] if part < len(prefix) else node.get("items", {})
        else:
            node = node.get("properties", {}).get(part, {})
        data = _child(data, part)
    return list(_resolved(schema, node, data).get("properties", {}))


def _resolved(schema: dict[str, Any], node: dict[str, Any], data: Any) -> dict[str, Any]:
    """The part of the schema that describes a value: references followed, the fitting alternative chosen."""
    while True:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        elif "discriminator" in node:
            key, mapping = node["discriminator"]["propertyName"], node["discriminator"]["mapping"]
            tag = data.get(key) if isinstance(data, dict) else None
            if not isinstance(tag, str) or tag not in mapping:
                return {}
            node = {"$ref": mapping[tag]}
        elif "anyOf" in node:
            node = next((each for each in node["anyOf"] if each.get("type") != "null"), {})
        elif len(node.get("allOf", [])) == 1:
            node = node["allOf"][0]
        else:
            return node


def _child(data: Any, part: str | int) -> Any:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _shortened(path: KeyPath, value: Any) -> str:
    """A value as it is told: without passwords, for what is told goes into the journal."""
    if _SECRET_KEY.search(str(path[-1])):
        return ""
    text = _LOGIN.sub("://...@", json.dumps(value, ensure_ascii=False))
    if isinstance(value, (dict, list)) and len(text) > _LONGEST_VALUE:
        return ""  # its line tells more than its beginning
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."

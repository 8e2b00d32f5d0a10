"""Makes bad configurations out of good ones: by their schema, by their structure, and by their text."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tremorscope.runtime.configuration.problems import _resolved
from tremorscope.runtime.configuration.schema import json_schema

Path = tuple[Any, ...]

_SCRAPS = (b"\t", b": ", b"\n", b"&a ", b"*a ", b"{", b"- ", b"\xff", b"!!python/none ")

_WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2.5, -0.0, 1e-300, 1e300, 10**15, 10**30, float("nan"), float("inf"), "", "x", "1e3",
    "010", "mid-span", "../../etc", "a" * 300, "\u0000", "\u202e", "é∆", [], [1], [[]], [None, None], {}, {"x": 1},
    {"kind": "csi"},
)  # fmt: skip


def paths(data: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of all parts of the data but the whole."""
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from paths(value, (*path, key))


def at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def schema_at(data: Any, path: Path) -> dict[str, Any]:
    """What the schema says of the value at a path."""
    schema = node = json_schema()
    for part in path:
        node = _resolved(schema, node, data)
        if isinstance(part, int):
            items = node.get("prefixItems", [])
            node = items[part] if part < len(items) else node.get("items", {})
        else:
            node = node.get("properties", {}).get(part, {})
        data = data[part]
    return _resolved(schema, node, data)


class Mutator:
    """Changes a configuration at random, always in the same way for the same seed."""

    def __init__(self, good: list[dict[str, Any]], seed: int) -> None:
        self._good, self._random = good, random.Random(seed)

    def next(self) -> bytes:
        """A configuration with one to three things changed."""
        self._data = copy.deepcopy(self._random.choice(self._good))
        ways: list[Callable[[], None]] = [
            self._wrong_value, self._wrong_value, self._beyond_bounds, self._beyond_bounds, self._beyond_bounds,
            self._unknown_key, self._misspelt_key, self._left_out, self._moved, self._doubled, self._swapped,
            self._left_out, self._nudged, self._nudged, self._nudged,
        ]  # fmt: skip
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            self._random.choice(ways)()
        text = yaml.safe_dump(
            self._data, sort_keys=False, allow_unicode=True, default_flow_style=self._random.random() < 0.2
        )
        return self._garbled(text) if self._random.random() < 0.15 else text.encode("utf-8", "surrogatepass")

    def _any_path(self, of: Callable[[Any], bool] = lambda _: True) -> Path | None:
        found = [path for path in paths(self._data) if of(at(self._data, path))]
        return self._random.choice(found) if found else None

    def _set(self, path: Path, value: Any) -> None:
        at(self._data, path[:-1])[path[-1]] = value

    def _wrong_value(self) -> None:
        if path := self._any_path():
            self._set(path, copy.deepcopy(self._random.choice(_WRONG)))

    def _beyond_bounds(self) -> None:
        """A number just at, or beyond, what the schema allows; or another of a list of choices."""
        path = self._any_path(
            lambda value: isinstance(value, (int, float, str)) and not isinstance(value, bool)
        )
        if path is None:
            return
        schema, value = schema_at(self._data, path), at(self._data, path)
        bounds = [
            schema[key]
            for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
            if key in schema
        ]
        if bounds:
            edge = self._random.choice(bounds)
            self._set(path, edge + self._random.choice((-1, 0, 1, 0.5, 1e-9, -1e-9)))
        elif "enum" in schema:
            self._set(path, self._random.choice([*schema["enum"], "other"]))
        elif isinstance(value, (int, float)):
            self._set(path, value * self._random.choice((-1, 0, 1e-3, 0.1, 2, 10, 1e6)))
        else:
            self._set(
                path, self._random.choice((value.upper(), value[:-1], value * 20, f" {value} ", value + "\n"))
            )

    def _nudged(self) -> None:
        """A number that is a little different: most of these can be followed."""
        path = self._any_path(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool))
        if path is not None:
            value = at(self._data, path)
            self._set(path, type(value)(value * self._random.choice((0.5, 0.9, 1.1, 2))))

    def _unknown_key(self) -> None:
        path = self._any_path(lambda value: isinstance(value, dict)) or ()
        at(self._data, path)[self._random.choice(("alpha", "fps", "", "x y", "<<", "version "))] = 1

    def _misspelt_key(self) -> None:
        path = self._any_path()
        if path and isinstance(path[-1], str) and len(path[-1]) > 2:
            section = at(self._data, path[:-1])
            cut = self._random.randrange(len(path[-1]))
            section[path[-1][:cut] + path[-1][cut + 1 :]] = section.pop(path[-1])

    def _left_out(self) -> None:
        if path := self._any_path():
            del at(self._data, path[:-1])[path[-1]]

    def _moved(self) -> None:
        path, target = self._any_path(), self._any_path(lambda value: isinstance(value, dict))
        if path and target and target[: len(path)] != path and isinstance(path[-1], str):
            at(self._data, target)[path[-1]] = copy.deepcopy(at(self._data, path))

    def _doubled(self) -> None:
        if path := self._any_path(lambda value: isinstance(value, list) and bool(value)):
            entries = at(self._data, path)
            entries.append(copy.deepcopy(self._random.choice(entries)))

    def _swapped(self) -> None:
        one, other = self._any_path(), self._any_path()
        if one and other and one[: len(other)] != other and other[: len(one)] != one:
            first, second = at(self._data, one), at(self._data, other)
            self._set(one, second)
            self._set(other, first)

    def _garbled(self, text: str) -> bytes:
        content = bytearray(text.encode("utf-8", "surrogatepass"))
        for _ in range(self._random.choice((1, 3, 20))):
            place = self._random.randrange(len(content))
            way = self._random.random()
            if way < 0.4:
                content[place] = self._random.randrange(256)
            elif way < 0.7:
                del content[place]
            else:
                content[place:place] = self._random.choice(_SCRAPS)
        return bytes(content)

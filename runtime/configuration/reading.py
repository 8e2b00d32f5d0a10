"""Reading of a configuration file, with all its problems where it is not valid. Files of older versions are migrated
step by step, keeping every line number.

Version 0 was flat and had units in no name:

    version: 0
    source: csi                      # or v4l2, clip, synthetic
    size: [1920, 1080]
    fps: 30
    alpha: 20
    band: [1.8, 2.4]
    roi: {mid-span: [900, 500, 64, 64]}
    mm_per_px: 2.4
    limit: {mid-span: 3.5}           # px, RMS
    path: /var/lib/tremorscope
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tremorscope.files import open_regular, reason_of
from tremorscope.runtime.configuration.checking import Contradiction, contradictions
from tremorscope.runtime.configuration.problems import ConfigurationFault, Problem, at, of_validation
from tremorscope.runtime.configuration.schema import VERSION, Configuration, json_schema
from tremorscope.runtime.configuration.yaml_document import (
    LARGEST_BYTES,
    KeyPath,
    YamlDocument,
    YamlProblem,
    parse_yaml,
)
from tremorscope.runtime.errors import Fault


class MigrationProblem(Exception):
    """An old file that cannot be brought forward."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.what)


def migrate(document: YamlDocument) -> tuple[YamlDocument, int]:
    """The document in the present version, and the version that it had.

    Raises:
        MigrationProblem: it has no version, one that is not known, or an old part that has no meaning.
    """
    data = document.data
    if not isinstance(data, dict) or not data:
        raise MigrationProblem(
            Problem("holds no configuration", "begin with `version: 1` and a `camera` section", (), 1)
        )
    if "version" not in data:
        raise MigrationProblem(Problem("is missing", f"add `version: {VERSION}`", ("version",), 1))
    found = data["version"]
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= VERSION:
        newer = isinstance(found, int) and found > VERSION
        remedy = "update tremorscope" if newer else f"write `version: {VERSION}`"
        raise MigrationProblem(at(document, ("version",), "is no version that is known here", remedy))
    for version in range(found, VERSION):
        document = _STEPS[version](document)
    return document, found


class _Rewriter:
    """Moves parts of an old document to their new places, with their line numbers."""

    def __init__(self, document: YamlDocument) -> None:
        self._old = document
        self.new = YamlDocument({})
        self.left = dict(document.data)

    def take(self, key: str) -> Any:
        """Take a part out of the old document; None where it is not there."""
        return self.left.pop(key, None)

    def line_of(self, path: KeyPath) -> int:
        """Line of a part of the old document."""
        return self._old.line_of(path)

    def put(self, path: KeyPath, value: Any, came_from: KeyPath) -> None:
        """Set a value in the new document; sections on the way are made."""
        line = self._old.line_of(came_from)
        node = self.new.data
        for depth, part in enumerate(path[:-1], start=1):
            node = node.setdefault(part, {})
            self.new.lines.setdefault(path[:depth], line)
        node[path[-1]] = value
        self.new.lines[path] = line

    def refuse(self, path: KeyPath, what: str, remedy: str) -> MigrationProblem:
        """The fault of a part that has no meaning."""
        return MigrationProblem(at(self._old, path, what, remedy))


def _from_0(document: YamlDocument) -> YamlDocument:
    old = _Rewriter(document)
    old.take("version")
    old.put(("version",), 1, ("version",))
    _move(old, "source", ("camera", "kind"))
    _move(old, "fps", ("camera", "rate_hz"))
    _move(old, "file", ("camera", "path"))
    _move(old, "alpha", ("magnification", "amplification"))
    _move(old, "path", ("store", "directory"))
    size = old.take("size")
    if size is not None:
        if not isinstance(size, list) or len(size) != 2:
            raise old.refuse(("size",), "is no size", "write [width, height] in px")
        old.put(("camera", "width_px"), size[0], ("size", 0))
        old.put(("camera", "height_px"), size[1], ("size", 1))
    band = old.take("band")
    if band is not None:
        old.put(("magnification", "mode"), "band", ("band",))
        old.put(("magnification", "bands_hz"), [band], ("band",))
    scale = old.take("mm_per_px")
    if scale is not None:
        old.put(("vibration", "scale", "mm_per_px"), scale, ("mm_per_px",))
    _regions_from_0(old)
    for key in old.left:  # unknown then as now: told with its own line
        old.put((key,), old.left[key], (key,))
    return old.new


def _move(old: _Rewriter, key: str, path: KeyPath) -> None:
    value = old.take(key)
    if value is not None:
        old.put(path, value, (key,))


def _regions_from_0(old: _Rewriter) -> None:
    regions, limits = old.take("roi") or {}, old.take("limit") or {}
    for key, part in (("roi", regions), ("limit", limits)):
        if not isinstance(part, dict):
            raise old.refuse((key,), "is no list of names", "write {name: value}")
    moved = []
    for number, (name, box) in enumerate(regions.items()):
        if not isinstance(box, list) or len(box) != 4:
            raise old.refuse(("roi", name), "is no region", "write [x, y, width, height] in px")
        sides = dict(zip(("x_px", "y_px", "width_px", "height_px"), box, strict=True))
        moved.append({"name": name, **sides})
        for key in ("name", *sides):
            old.new.lines["vibration", "regions", number, key] = old.line_of(("roi", name))
    if moved:
        old.put(("vibration", "regions"), moved, ("roi",))
    alarms = [
        {"name": f"{name} moves", "quantity": "rms", "region": name, "above_px": limit}
        for name, limit in limits.items()
    ]
    if alarms:
        old.put(("vibration", "alarms"), alarms, ("limit",))


_STEPS: dict[int, Callable[[YamlDocument], YamlDocument]] = {0: _from_0}
"""Version -> the step to the next version."""


@dataclass(frozen=True)
class LoadedConfiguration:
    """A configuration and its file."""

    configuration: Configuration
    file: Path
    digest: str
    """SHA-256 of the file's content."""
    from_version: int
    """Version of the file's format."""
    warnings: tuple[str, ...] = ()
    """Remarks that do not make the configuration invalid, a line each."""


def load_configuration(file: Path) -> LoadedConfiguration:
    """Read and check a configuration file.

    Raises:
        ConfigurationFault: it cannot be read or followed; ``lines`` has every problem.
    """
    return parse_configuration(_content(file), file)


def require(loaded: LoadedConfiguration, lacking: Iterable[Contradiction]) -> None:
    """Refuse a configuration for what is lacking around it.

    Raises:
        ConfigurationFault: something is.
    """
    if problems := _problems(loaded, lacking):
        raise ConfigurationFault(loaded.file, problems)


def lines_at(loaded: LoadedConfiguration, remarks: Iterable[Contradiction]) -> list[str]:
    """Remarks with their places in the file, in a line each."""
    return [each.text(loaded.file) for each in _problems(loaded, remarks)]


def _problems(loaded: LoadedConfiguration, found: Iterable[Contradiction]) -> list[Problem]:
    document, _ = _document(_content(loaded.file), loaded.file)
    return [at(document, path, what, remedy) for path, what, remedy in found]


def _content(file: Path) -> bytes:
    """Read a regular file, a byte more than may be parsed at most: a FIFO would block the service for ever."""
    try:
        with open_regular(file) as opened:
            return opened.read(LARGEST_BYTES + 1)
    except OSError as error:
        problem = Problem(f"cannot be read ({reason_of(error)})", "name a configuration file")
        raise ConfigurationFault(file, [problem]) from None


def parse_configuration(content: bytes, file: Path) -> LoadedConfiguration:
    """The same from the file's content; ``file`` is for messages.

    Raises:
        ConfigurationFault: see `load_configuration`.
    """
    document, from_version = _document(content, file)
    try:
        # By way of JSON, in which a list may become a tuple and text a path though nothing else is guessed.
        configuration = Configuration.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise ConfigurationFault(file, of_validation(found, document, json_schema())) from None
    try:
        contradicting = contradictions(configuration)
    except Fault as fault:  # of a part that has no place of its own in the file
        contradicting = [((), fault.what, fault.remedy)]
    problems = [at(document, path, what, remedy) for path, what, remedy in contradicting]
    if problems:
        raise ConfigurationFault(file, sorted(problems, key=lambda each: each.line or 0))
    warnings: tuple[str, ...] = ()
    if from_version != VERSION:
        warnings = (f"{file}: has the format of version {from_version}; it is read as version {VERSION}",)
    return LoadedConfiguration(
        configuration, file, hashlib.sha256(content).hexdigest(), from_version, warnings
    )


def _document(content: bytes, file: Path) -> tuple[YamlDocument, int]:
    try:
        return migrate(parse_yaml(content))
    except YamlProblem as problem:
        key = (problem.key,) if problem.key else ()
        raise ConfigurationFault(file, [Problem(problem.what, problem.remedy, key, problem.line)]) from None
    except MigrationProblem as fault:
        raise ConfigurationFault(file, [fault.problem]) from None

"""Reading of a configuration file, with all its problems where it is not valid."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tremorscope.runtime.configuration.checking import Contradiction, contradictions
from tremorscope.runtime.configuration.migration import MigrationProblem, migrate
from tremorscope.runtime.configuration.problems import ConfigurationFault, Problem, at, of_validation
from tremorscope.runtime.configuration.schema import VERSION, Configuration, json_schema
from tremorscope.runtime.configuration.yaml_document import (
    LARGEST_BYTES,
    YamlDocument,
    YamlProblem,
    parse_yaml,
)
from tremorscope.runtime.errors import Fault


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
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return opened.read(LARGEST_BYTES + 1)
            reason = "is no regular file"
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    raise ConfigurationFault(file, [Problem(reason, "name a configuration file")])


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

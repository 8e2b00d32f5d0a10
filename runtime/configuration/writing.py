"""Writes configurations and their schema."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tremorscope.runtime.configuration.schema import Configuration, json_schema
from tremorscope.runtime.host.files import whole_file


def schema_text() -> str:
    """The JSON schema as it stands in ``configs/schema.json``."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def write_schema(file: Path) -> None:
    """Write the JSON schema.

    Raises:
        OutputFault: it cannot be written.
    """
    _write(file, schema_text())


def write_configuration(configuration: Configuration, file: Path) -> None:
    """Write a configuration as YAML: what differs from the defaults, without comments.

    Raises:
        OutputFault: it cannot be written.
    """
    data = configuration.model_dump(mode="json", exclude_unset=True, by_alias=True)
    _write(file, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100))


def _write(file: Path, text: str) -> None:
    with whole_file(file) as partial:
        partial.write(text.encode("utf-8"))

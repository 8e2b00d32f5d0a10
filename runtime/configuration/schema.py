"""The whole configuration file, its JSON schema, and the writing of both."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

from tremorscope.runtime.cameras.settings import CameraSettings
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.host.settings import RecoverySettings, ThermalSettings
from tremorscope.runtime.magnification.settings import MagnificationSettings
from tremorscope.runtime.outputs.settings import OutputSettings
from tremorscope.runtime.settings import Name, Section
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.vibration.settings import VibrationSettings

VERSION = 1
"""Version of the format. Older files are brought forward when they are read: see `reading`."""


class Configuration(Section):
    """Configuration of one instance of the service: camera, measurement, and outputs."""

    version: Literal[1]
    """Version of this format."""
    name: Name = "tremorscope"
    """Name of this instance: in topics, metrics and on the page."""
    camera: CameraSettings
    """Source of the frames."""
    magnification: MagnificationSettings = MagnificationSettings()
    """Live magnification."""
    vibration: VibrationSettings = VibrationSettings()
    """Measurement and alarms."""
    recording: RecordingSettings | None = RecordingSettings()
    """Clips of events; null records none and takes no memory for it."""
    store: StoreSettings = StoreSettings()
    """Storage and retention."""
    outputs: OutputSettings = OutputSettings()
    """Outputs of the device."""
    recovery: RecoverySettings = RecoverySettings()
    """Steps against a camera that gives no frames."""
    thermal: ThermalSettings = ThermalSettings()
    """Steps against heat."""
    reload_on_change: bool = Field(default=True)
    """Take a change of this file over by itself; SIGHUP does it in any case."""


@cache
def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the file, for editors and for messages."""
    schema = Configuration.model_json_schema(mode="validation")
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "urn:tremorscope:configuration:1",
        **schema,
        "title": "tremorscope configuration",
    }


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
    data = configuration.model_dump(mode="json", exclude_unset=True)
    _write(file, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100))


def _write(file: Path, text: str) -> None:
    with whole_file(file) as partial:
        partial.write(text.encode("utf-8"))

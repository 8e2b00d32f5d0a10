"""The whole configuration file, and its JSON schema."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

from tremorscope.runtime.cameras.settings import CameraSettings
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.host.settings import RecoverySettings, ThermalSettings
from tremorscope.runtime.magnification.settings import MagnificationSettings
from tremorscope.runtime.outputs.settings import OutputSettings
from tremorscope.runtime.settings import Name, Section
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.vibration.settings import VibrationSettings

VERSION = 1
"""Of the format. Older files are brought forward when they are read: see `migration`."""


class Configuration(Section):
    """What one instance of the service does: a camera, what is measured in its frames, and where the results go."""

    version: Literal[1]
    """Version of this format."""
    name: Name = "tremorscope"
    """Of this instance: in topics, metrics and on the page."""
    camera: CameraSettings
    """Where frames come from."""
    magnification: MagnificationSettings = MagnificationSettings()
    """What is magnified, and when."""
    vibration: VibrationSettings = VibrationSettings()
    """What is measured, and what is to be told."""
    recording: RecordingSettings | None = RecordingSettings()
    """Clips of events; null records none and takes no memory for it."""
    store: StoreSettings = StoreSettings()
    """Where everything is kept, and for how long."""
    outputs: OutputSettings = OutputSettings()
    """What leaves the device."""
    recovery: RecoverySettings = RecoverySettings()
    """What is done about a camera that gives no frames."""
    thermal: ThermalSettings = ThermalSettings()
    """What is done about heat."""
    reload_on_change: bool = Field(default=True)
    """Whether a change of this file is taken over by itself; SIGHUP does it in any case."""


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

"""What tests of the service's parts share: a place to write to, and what was told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tremorscope.runtime.configuration.reading import LoadedConfiguration, parse_configuration
from tremorscope.runtime.vibration.settings import VibrationSettings

SMALL = {"kind": "synthetic", "width_px": 320, "height_px": 180}
MID_SPAN = {"name": "mid-span", "x_px": 130, "y_px": 90, "width_px": 60, "height_px": 24}
QUARTER = {"name": "quarter", "x_px": 68, "y_px": 92, "width_px": 44, "height_px": 20}
STILL = {"x_px": 21, "y_px": 113, "width_px": 20, "height_px": 21}
PLENTY = {"previews_below_gb": 0.003, "clips_below_gb": 0.002, "series_below_gb": 0.001}


def configured(state: Path, bundle: Path | None = None, **sections: Any) -> LoadedConfiguration:
    """A configuration of a small synthetic camera, with what is named in place of the defaults."""
    whole: dict[str, Any] = {
        "version": 1,
        "camera": SMALL,
        "magnification": {"amplification": 10} | ({"bundle": str(bundle)} if bundle else {}),
        "vibration": {"regions": [MID_SPAN], "still": [STILL]},
        "recording": None,
        "store": {"directory": str(state), "disk": PLENTY},
        "outputs": {"http": {"enabled": False}},
    }
    for name, value in sections.items():
        whole[name] = whole[name] | value if isinstance(whole.get(name), dict) and value else value
    return parse_configuration(yaml.safe_dump(whole).encode(), state / "test.yaml")


def vibration(**fields: Any) -> VibrationSettings:
    """Settings of what is measured, as they come from a file."""
    return VibrationSettings.model_validate({"regions": [MID_SPAN]} | fields)


class Told:
    """Takes what is told, in order."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def __call__(self, *told: Any) -> None:
        self.all.append(told[0] if len(told) == 1 else told)

    def of(self, kind: type) -> list[Any]:
        """Of one type."""
        return [each for each in self.all if isinstance(each, kind)]


Tell = Callable[..., None]

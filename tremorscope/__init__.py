"""Real-time, learning-based video motion magnification for structural monitoring on NVIDIA Jetson devices.

The Python interface: `magnify`, `measure`, `Magnifier`, `open_store`, `load_bundle`, `example_clip`, and `Fault`, which
every error is. Importing this package imports no more than itself; each name brings its part when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tremorscope.api.clips import MagnifiedClip, example_clip, magnify, measure
    from tremorscope.api.frames import FramePairMagnifier as Magnifier
    from tremorscope.api.frames import load_bundle
    from tremorscope.api.measurement import ClipMeasurement as Measurement
    from tremorscope.api.store import OpenStore, open_store
    from tremorscope.runtime.errors import Fault

    __version__: str

__all__ = [
    "Fault",
    "MagnifiedClip",
    "Magnifier",
    "Measurement",
    "OpenStore",
    "example_clip",
    "load_bundle",
    "magnify",
    "measure",
    "open_store",
]

_PLACES = {
    "Fault": "runtime.errors:Fault",
    "MagnifiedClip": "api.clips:MagnifiedClip",
    "Magnifier": "api.frames:FramePairMagnifier",
    "Measurement": "api.measurement:ClipMeasurement",
    "OpenStore": "api.store:OpenStore",
    "example_clip": "api.clips:example_clip",
    "load_bundle": "api.frames:load_bundle",
    "magnify": "api.clips:magnify",
    "measure": "api.clips:measure",
    "open_store": "api.store:open_store",
}
"""Module and attribute of each public name."""


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for (PEP 562)."""
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    found = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """All that is there, also the public names that were not used yet."""
    return sorted({*globals(), *__all__})

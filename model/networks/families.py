"""The families of networks: the baseline (Oh et al.) and the real-time network (Ha et al.).

Both map a frame, a reference and an amplification to the magnified frame. Frames are float NCHW RGB in [0, 1].
Amplification is magnified displacement over true displacement, relative to the reference, so 1 changes nothing
and the motion added is (amplification - 1) times the motion seen.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tremorscope.model.networks.baseline import BaselineConfig, BaselineNetwork
from tremorscope.model.networks.realtime import RealtimeConfig, RealtimeNetwork
from tremorscope.model.networks.studied import StudiedConfig, StudiedNetwork
from tremorscope.model.yaml_file import first_fault

NetworkConfig = BaselineConfig | RealtimeConfig
Network = BaselineNetwork | RealtimeNetwork

CONFIGS: dict[str, type[NetworkConfig]] = {"baseline": BaselineConfig, "realtime": RealtimeConfig}
"""The families that can be exported."""
_ALL_CONFIGS = {**CONFIGS, "studied": StudiedConfig}


def build_network(config: NetworkConfig) -> Network:
    """A network with fresh weights."""
    if isinstance(config, BaselineConfig):
        return BaselineNetwork(config)
    return StudiedNetwork(config) if isinstance(config, StudiedConfig) else RealtimeNetwork(config)


def describe(config: NetworkConfig) -> dict[str, Any]:
    """The configuration as plain values, with its family under ``family``; `configure` reads it back."""
    family = next(name for name, kind in _ALL_CONFIGS.items() if type(config) is kind)
    return {"family": family, **asdict(config)}


def configure(description: dict[str, Any]) -> NetworkConfig:
    """The configuration that `describe` wrote.

    Raises:
        ValueError: the family, a key or a value is unknown.
    """
    values = dict(description)
    family = values.pop("family", None)
    if family not in _ALL_CONFIGS:
        raise ValueError(f"network family {family!r} is unknown (known: {', '.join(_ALL_CONFIGS)})")
    kind = _ALL_CONFIGS[family]
    known = [field.name for field in fields(kind)]
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"network.{key}: family {family} has no such key (known: {', '.join(known)})")
        if (
            isinstance(value, int)
            and value < (0 if key.endswith(("blocks", "_lead", "_lag")) else 1)
            and not isinstance(value, bool)
        ):
            raise ValueError(f"network.{key}: {value} is too small")
    try:
        config: NetworkConfig = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ValueError(f"network.{first_fault(error)}") from None
    return config

"""The families of networks: the baseline (Oh et al.) and the real-time network (Ha et al.).

Both map a frame, a reference and an amplification to the magnified frame. Frames are float NCHW RGB in [0, 1].
Amplification is magnified displacement over true displacement, relative to the reference, so 1 changes nothing
and the motion added is (amplification - 1) times the motion seen.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from model.baseline import BaselineConfig, BaselineNetwork
from model.realtime import RealtimeConfig, RealtimeNetwork

NetworkConfig = BaselineConfig | RealtimeConfig
Network = BaselineNetwork | RealtimeNetwork

CONFIGS: dict[str, type[NetworkConfig]] = {"baseline": BaselineConfig, "realtime": RealtimeConfig}


def build_network(config: NetworkConfig) -> Network:
    """A network with fresh weights."""
    return RealtimeNetwork(config) if isinstance(config, RealtimeConfig) else BaselineNetwork(config)


def describe(config: NetworkConfig) -> dict[str, Any]:
    """The configuration as plain values, with its family under ``family``; `configure` reads it back."""
    family = next(name for name, kind in CONFIGS.items() if type(config) is kind)
    return {"family": family, **asdict(config)}


def configure(description: dict[str, Any]) -> NetworkConfig:
    """The configuration that `describe` wrote.

    Raises:
        ValueError: the family, a key or a value is unknown.
    """
    values = dict(description)
    family = values.pop("family", None)
    if family not in CONFIGS:
        raise ValueError(f"network family {family!r} is unknown (known: {', '.join(CONFIGS)})")
    try:
        return CONFIGS[family](**values)
    except TypeError as error:
        raise ValueError(f"network family {family}: {error}") from None

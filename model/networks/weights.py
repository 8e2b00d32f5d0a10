"""Trained weights as safetensors with the network's description in the header; the shipped weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tremorscope.files import reason_of
from tremorscope.model.errors import WeightsFault
from tremorscope.model.files import write_atomically
from tremorscope.model.networks.families import Network, build_network, configure, describe

SHIPPED_WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its weights and their provenance."""

    name: str
    network: Network
    amplification_min: float
    amplification_max: float
    sha256: str
    training: dict[str, Any]


def save_weights(
    path: Path,
    name: str,
    network: Network,
    state: dict[str, Tensor],
    amplification: tuple[float, float],
    training: dict[str, Any],
) -> None:
    """Write weights, all or nothing. ``state`` is the state dictionary to keep, ``training`` JSON-ready facts."""
    state = {key: value.cpu().contiguous() for key, value in state.items()}
    header = {
        "format": "tremorscope-weights-1",
        "content_sha256": _content_sha256(state),
        "name": name,
        "architecture": json.dumps(describe(network.config)),
        "amplification": json.dumps(amplification),
        "training": json.dumps(training),
    }
    write_atomically(path, save(state, metadata=header))


def load_weights(path: Path) -> TrainedNetwork:
    """Read weights and build their network, ready to run.

    Raises:
        WeightsFault: the file is missing, damaged, or not of this project.
    """
    remedy = "name weights that `tremorscope train` wrote"
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except OSError as error:
        raise WeightsFault(f"{path}: {reason_of(error)}", remedy=remedy) from None
    except SafetensorError as error:
        raise WeightsFault(f"{path}: not a whole safetensors file ({error})", remedy=remedy) from None
    if header.get("format") != "tremorscope-weights-1":
        raise WeightsFault(f"{path}: not tremorscope weights (no tremorscope header)", remedy=remedy)
    # Files of older releases state no hash of their content; of the shipped ones the card states the file's.
    card = path.with_suffix(".md")
    has_card = path.resolve().parent == SHIPPED_WEIGHTS and card.is_file()
    if not _is_whole(state, header.get("content_sha256")) or (
        has_card and sha256 not in card.read_text(encoding="utf-8")
    ):
        raise WeightsFault(
            f"{path}: damaged: its numbers are not those that were written", remedy="copy it again"
        )
    try:
        network = build_network(configure(json.loads(header["architecture"])))
        network.load_state_dict(state)
    except (ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsFault(
            f"{path}: the weights do not fit the network they name ({reason})", remedy=remedy
        ) from None
    low, high = json.loads(header["amplification"])
    return TrainedNetwork(
        header["name"], network.eval(), low, high, sha256, json.loads(header.get("training", "{}"))
    )


def _is_whole(state: dict[str, Tensor], content_sha256: str | None) -> bool:
    finite = all(bool(value.isfinite().all()) for value in state.values() if value.is_floating_point())
    return finite and content_sha256 in (None, _content_sha256(state))


def _content_sha256(state: dict[str, Tensor]) -> str:
    """SHA-256 of all names and numbers, in order of the names."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].numpy().tobytes())
    return digest.hexdigest()


def shipped_weights(name: str) -> Path | None:
    """Path of the shipped weights of a name; None if there are none."""
    path = SHIPPED_WEIGHTS / f"{name}.safetensors"
    return path if Path(name).name == name and path.is_file() else None


def find_weights(name_or_path: str) -> Path:
    """Path of shipped weights by name (``realtime``), or the path itself.

    Raises:
        WeightsFault: there are no such weights.
    """
    if (shipped := shipped_weights(name_or_path)) is not None:
        return shipped
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = ", ".join(sorted(file.stem for file in SHIPPED_WEIGHTS.glob("*.safetensors"))) or "none"
    raise WeightsFault(
        f"{name_or_path}: no such weights", remedy=f"name a file, or one of the shipped: {known}"
    )

"""Strict reading of this stage's YAML files, with one-line faults."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from tremorscope.files import reason_of
from tremorscope.model.errors import RecipeFault

_T = TypeVar("_T")


class Strict(BaseModel):
    """Immutable model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml(path: Path, kind: TypeAdapter[_T], example: str) -> _T:
    """Read a YAML file as a model; ``example`` names a valid file, for the remedy.

    Raises:
        RecipeFault: the file cannot be read, or a key or value in it is wrong.
    """
    try:
        return kind.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeFault(f"{path}: {reason_of(error)}", remedy=f"name {example}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeFault(
            f"{path}: not valid YAML: {' '.join(str(error).split())}", remedy="mend the file"
        ) from None
    except ValidationError as error:
        raise RecipeFault(f"{path}: {first_fault(error)}", remedy="mend that key") from None


def first_fault(error: ValidationError) -> str:
    """First error of a validation in one line: key, problem, value."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{key}: {first['msg']} (got {first['input']!r})"

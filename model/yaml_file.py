"""Files that people write for this stage: YAML, checked key by key, refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from tremorscope.model.errors import RecipeFault

_T = TypeVar("_T")


class Strict(BaseModel):
    """Knows all its keys, and stays as it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml(path: Path, kind: TypeAdapter[_T], example: str) -> _T:
    """Read what a file describes; ``example`` says what could be named instead.

    Raises:
        RecipeFault: the file cannot be read, or a key or value in it is wrong.
    """
    try:
        return kind.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeFault(f"{path}: {error.strerror}", remedy=f"name {example}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeFault(
            f"{path}: not valid YAML: {' '.join(str(error).split())}", remedy="mend the file"
        ) from None
    except ValidationError as error:
        raise RecipeFault(f"{path}: {first_fault(error)}", remedy="mend that key") from None


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong: which key, what about it, and the value."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{key}: {first['msg']} (got {first['input']!r})"

"""Base of every section of a configuration file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=1e7)]
Frequency = Annotated[float, Field(ge=1e-4, le=100_000)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
"""Name that is part of topics, metrics and file names."""


class Section(BaseModel):
    """A part of a configuration: frozen, and no key is taken that is not known.

    The docstring under a field is its description in the JSON schema, which editors show; its unit is in its name.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
    )

"""The figures of the house stay within their limits; ``make house`` prints them all."""

from __future__ import annotations

import pytest
from house import Figure, House, figures


@pytest.mark.parametrize("figure", figures(House()), ids=lambda figure: figure.name)
def test_the_house_keeps_its_limits(figure: Figure) -> None:
    assert figure.holds, "\n".join([f"{figure.value} {figure.name}", *figure.where])

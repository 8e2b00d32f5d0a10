"""Three days in the field, simulated: journal, page, metrics and broker agree with the truth at every moment."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from field_month import simulate


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


def test_three_days_of_outages_and_kills_agree_with_the_truth() -> None:
    month = simulate(3.0, 7, step_s=240.0, learning_s=43_200.0)
    assert month.faults == {}
    assert month.counts["kill"] >= 5
    assert min(month.counts[kind] for kind in ("away", "reader", "damage", "broker", "camera", "clock")) >= 1
    assert month.counts["raised"] > 50
    assert len(month.baselines) == 19

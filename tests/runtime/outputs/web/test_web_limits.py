"""What HTTP may take: so many a second, and a share of a core."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.runtime.outputs.web.limits import CpuBudget, TokenBucket


class FakeTime:
    def __init__(self) -> None:
        self.now_s = self.spent_s = 0.0

    def work(self, seconds: float) -> None:
        self.now_s += seconds
        self.spent_s += seconds


@settings(deadline=None)
@given(pauses_s=st.lists(st.floats(0, 0.05), min_size=50, max_size=200))
def test_no_more_pass_than_the_rate_and_one_burst(pauses_s: list[float]) -> None:
    time = FakeTime()
    bucket = TokenBucket(10.0, burst=5, clock=lambda: time.now_s)
    passed = 0
    for pause_s in pauses_s:
        time.now_s += pause_s
        passed += bucket.try_take()
    assert passed <= 5 + 10 * time.now_s + 1
    assert passed >= min(len(pauses_s), 5)


def test_who_waits_is_told_how_long() -> None:
    time = FakeTime()
    bucket = TokenBucket(10.0, burst=1, clock=lambda: time.now_s)
    assert [round(bucket.reserve(), 6) for _ in range(3)] == [0, 0.1, 0.2]


@settings(deadline=None)
@given(works_s=st.lists(st.floats(0.0001, 0.05), min_size=20, max_size=100))
def test_work_is_kept_to_its_share_whatever_each_takes(works_s: list[float]) -> None:
    time = FakeTime()
    budget = CpuBudget(0.1, 0.2, clock=lambda: time.now_s, spent=lambda: time.spent_s)
    for work_s in works_s:
        while debt_s := budget.debt_s():
            time.now_s += debt_s
        time.work(work_s)
    assert time.spent_s <= 0.1 * time.now_s + 0.2 + 0.05 + 1e-6


def test_those_who_wait_begin_one_after_the_other() -> None:
    time = FakeTime()

    async def run() -> int:
        budget = CpuBudget(0.1, 0.05, clock=lambda: time.now_s, spent=lambda: time.spent_s)
        begun = 0

        async def ask() -> None:
            nonlocal begun
            await budget.take()
            begun += 1
            time.work(0.03)

        asked = [asyncio.create_task(ask()) for _ in range(50)]
        await asyncio.sleep(0.05)  # time stands still for the budget but for the work
        for each in asked:
            each.cancel()
        return begun

    assert asyncio.run(run()) == 2  # 0.05 s of credit is used up after two of 0.03 s

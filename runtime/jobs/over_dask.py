"""Clips of a folder spread over a Dask cluster, for archives that one machine does not get through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.host.files import printable
from tremorscope.runtime.jobs.measure import MeasureJob
from tremorscope.runtime.jobs.measure_folder import ClipResult, Spread, measure_one

_ANSWER_S = "10s"


def over_dask(address: str) -> Spread:
    """Spread jobs over the workers of a scheduler, which must see the clips and the results by the same paths.

    A job whose worker is lost is given to another by the scheduler; one that takes down several is a fault.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.2:8786``.
    """

    def spread(jobs: list[MeasureJob]) -> Iterator[ClipResult]:
        try:
            from distributed import Client, as_completed
        except ImportError:
            raise OptionFault(
                "--dask: the package distributed is not installed", remedy="pip install 'tremorscope[dask]'"
            ) from None
        try:
            client: Any = Client(address, timeout=_ANSWER_S)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise OptionFault(
                f"--dask {address}: no scheduler answers ({(str(error).splitlines() or [type(error).__name__])[0]})",
                remedy="start one with `dask scheduler`, and give the address that it prints",
            ) from None
        with client:
            futures = {client.submit(measure_one, job, pure=False): job for job in jobs}
            for future in as_completed(futures):  # type: ignore[no-untyped-call]
                problem = future.exception()
                if problem is None:
                    yield future.result()
                else:
                    told = (str(problem).splitlines() or [""])[0][:300]
                    yield ClipResult(
                        printable(futures[future].clip.name), fault=f"{type(problem).__name__}: {told}"
                    )

    return spread

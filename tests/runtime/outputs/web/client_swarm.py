"""200 clients at once, most of them ill-behaved, for a bounded time, against this machine alone.

Run as a process of its own, so that it shares no interpreter with the server: PORT SECONDS. Prints what it did as
JSON. Others than the 200 are named behind that, as in: PORT SECONDS watch=1 poll=3.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

HOST = "127.0.0.1"
MOST_TURNS = 200
"""Of one client, whatever happens."""
done: Counter[str] = Counter()
Turn = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def request(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


async def poll(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for path in ("/api/state", "/api/live?region=midspan", "/metrics"):
        writer.write(request(path))
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
        await reader.readexactly(length)
        done[f"polled {head[9:12].decode()}"] += 1
        await asyncio.sleep(0.05)


async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(request("/live.mjpeg"))
    head = await reader.readuntil(b"\r\n\r\n")
    done[f"watched {head[9:12].decode()}"] += 1
    while head[9:12] == b"200" and await reader.read(65536):
        pass
    await asyncio.sleep(0.5)


async def watch_without_reading(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(request("/live.mjpeg"))
    done["stared"] += 1
    await asyncio.sleep(3600)


async def send_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in request("/healthz", "X: " + "slow" * 50):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)
    await reader.read(1000)


async def hold_on(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    done["held"] += 1
    await reader.read(1)


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(random.randbytes(400) + b"\r\n\r\n")
    done["babbled"] += 1
    await reader.read(1000)
    await asyncio.sleep(0.1)


async def overdo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(request("/api/state", *(f"X-{n}: {'y' * 4000}" for n in range(60))))
    await writer.drain()
    done["overdid"] += 1
    await reader.read(1000)
    await asyncio.sleep(0.1)


async def climb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(request("/clips/..%2f..%2fetc%2fpasswd"))
    head = await reader.readuntil(b"\r\n")
    done[f"climbed {head[9:12].decode()}"] += 1
    await asyncio.sleep(0.1)


KINDS: dict[Turn, int] = {
    poll: 40, watch: 30, watch_without_reading: 10, send_slowly: 40, hold_on: 20, babble: 30, overdo: 15, climb: 15,
}  # fmt: skip
assert sum(KINDS.values()) == 200


async def live(turn: Turn) -> None:
    for _ in range(MOST_TURNS):
        try:
            reader, writer = await asyncio.open_connection(HOST, int(sys.argv[1]))
        except OSError:
            done["not connected"] += 1
            await asyncio.sleep(0.2)
            continue
        with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await turn(reader, writer)
        writer.close()
        await asyncio.sleep(0.02)


def asked() -> dict[Turn, int]:
    """Who comes, and how many of each."""
    by_name = {turn.__name__: turn for turn in KINDS}
    counts = (argument.split("=") for argument in sys.argv[3:])
    return {by_name[name]: int(count) for name, count in counts} or KINDS


async def main() -> None:
    clients = [asyncio.ensure_future(live(turn)) for turn, count in asked().items() for _ in range(count)]
    end = asyncio.ensure_future(asyncio.Event().wait())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.cancel)  # or before the time is up
    await asyncio.wait([end], timeout=min(float(sys.argv[2]), 600.0))
    end.cancel()
    for client in clients:
        client.cancel()
    await asyncio.wait(clients, timeout=1.0)


random.seed(1)
asyncio.run(main())
print(json.dumps(done))

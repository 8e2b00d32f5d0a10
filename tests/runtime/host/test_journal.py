"""Logs: the journal's own protocol over a real socket, and lines of text elsewhere."""

from __future__ import annotations

import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

from tremorscope.runtime.host.systemd import JournalHandler, LineFormatter, stderr_is_journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket as journald opens it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "socket"))
    listener.setblocking(False)
    yield listener
    listener.close()


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[logging.Logger]:
    logger = logging.Logger("tremorscope.camera")
    handler = JournalHandler("tremorscope", tmp_path / "socket")
    logger.addHandler(handler)
    yield logger
    handler.close()


def parse(datagram: bytes) -> dict[str, str]:
    """As journald reads it: NAME=value, or NAME, a length of 64 bits and so many bytes."""
    fields = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, is_plain, value = line.partition(b"=")
        if not is_plain:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        fields[name.decode()] = value.decode()
        datagram = rest
    return fields


def test_a_record_reaches_the_journal_with_its_fields(journal: socket.socket, logger: logging.Logger) -> None:
    logger.warning("frozen for %d s", 12, extra={"fields": {"fault": "frozen", "rung no.": 2}})
    fields = parse(journal.recv(65536))
    assert fields.pop("CODE_LINE").isdigit()
    assert fields.pop("CODE_FILE") == __file__
    assert fields == {
        "MESSAGE": "frozen for 12 s",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "tremorscope",
        "LOGGER": "tremorscope.camera",
        "THREAD_NAME": "MainThread",
        "CODE_FUNC": "test_a_record_reaches_the_journal_with_its_fields",
        "TREMORSCOPE_FAULT": "frozen",
        "TREMORSCOPE_RUNG_NO_": "2",
    }


def test_several_lines_stay_one_message(journal: socket.socket, logger: logging.Logger) -> None:
    try:
        raise ValueError("first line\nPRIORITY=0\nMESSAGE=forged")
    except ValueError:
        logger.exception("it failed")
    fields = parse(journal.recv(65536))
    assert fields["PRIORITY"] == "3"
    assert fields["MESSAGE"].startswith("it failed\nTraceback")
    assert fields["MESSAGE"].endswith("MESSAGE=forged")


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")],
)
def test_levels_are_syslogs_priorities(
    journal: socket.socket, logger: logging.Logger, level: str, priority: str
) -> None:
    getattr(logger, level)("text")
    assert parse(journal.recv(65536))["PRIORITY"] == priority


def test_a_journal_that_does_not_read_never_holds_up_the_service(
    journal: socket.socket, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logger.handlers[0]
    assert isinstance(handler, JournalHandler)
    for number in range(10_000):
        logger.error("number %d", number)
    assert 0 < handler.diverted < 10_000
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == handler.diverted
    assert lines[-1] == "<3>number 9999"
    assert parse(journal.recv(65536))["MESSAGE"] == "number 0"


def test_a_very_long_message_is_cut_and_not_lost(journal: socket.socket, logger: logging.Logger) -> None:
    logger.error("x" * 10_000_000)
    assert len(parse(journal.recv(1 << 20))["MESSAGE"]) == 128 * 1024


def test_elsewhere_a_record_is_a_line_with_its_fields() -> None:
    record = logging.makeLogRecord(
        {"name": "tremorscope", "msg": "hot", "fields": {"zone": "tj-thermal", "why": "no fan"}}
    )
    assert LineFormatter("%(name)s: %(message)s").format(record) == (
        'tremorscope: hot zone=tj-thermal why="no fan"'
    )


def test_the_journal_is_recognised_by_its_stream() -> None:
    status = os.fstat(2)
    assert stderr_is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert not stderr_is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
    assert not stderr_is_journal({})


def test_without_a_journal_logs_go_to_stderr_once_however_often_they_are_set_up() -> None:
    program = (
        "from tremorscope.runtime.host.systemd import set_up\n"
        "set_up()\n"
        "set_up('WARNING').warning('here', extra={'fields': {'a': 1}})\n"
        "set_up('WARNING').info('hidden')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=ROOT, env=environment, timeout=60,
    )  # fmt: skip
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.endswith("WARNING tremorscope: here a=1")

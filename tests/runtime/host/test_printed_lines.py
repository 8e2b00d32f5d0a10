"""What libraries print is heard, and nothing of it is lost, changed or held back, whatever becomes of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

BEGIN = """
import ctypes, os, sys, threading, time
from tremorscope.runtime.host.printed_lines import OutputTap
libc = ctypes.CDLL(None)
tap = OutputTap({descriptor})
tap.listen()
"""


def run(
    script: str, *, descriptor: int = 1, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *options, "-c", BEGIN.format(descriptor=descriptor) + script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)


def test_every_byte_is_passed_on_in_its_order_and_as_it_is() -> None:
    done = run("""
import random
random.seed(3)
wanted = b""
for n in range(3000):
    piece = random.randbytes(random.randrange(1, 2000))
    wanted += piece
    while piece:
        piece = piece[os.write(1, piece):]
open("/proc/self/fd/2", "wb").write(wanted)
""")
    assert done.returncode == 0
    assert len(done.stdout) > 2_000_000
    assert done.stdout == done.stderr


def test_lines_are_heard_between_two_marks_even_if_c_would_hold_them_back() -> None:
    done = run(r"""
print("before", flush=True)
mark = tap.mark()
libc.printf(b"GST_ARGUS: %d\n", 7)
os.write(1, b"half a ")
heard = tap.since(mark)
os.write(1, b"line\n")
print(heard, tap.since(mark), tap.since(tap.mark()), file=sys.stderr)
""")
    assert done.stderr.decode() == "('GST_ARGUS: 7',) ('GST_ARGUS: 7', 'half a line') ()\n"
    assert done.stdout == b"before\nGST_ARGUS: 7\nhalf a line\n"


def test_the_end_of_a_process_takes_nothing_away() -> None:
    done = run("""
libc.printf(b"of C, and without an end")
sys.stdout.write("of Python")
""")
    assert done.returncode == 0
    assert b"of C, and without an end" in done.stdout
    assert len(done.stdout) == len(b"of C, and without an end" + b"of Python")


def test_the_last_words_of_a_process_that_dies_are_not_left_in_the_pipe() -> None:
    done = run("os.abort()", descriptor=2, options=("-X", "faulthandler"))
    assert done.returncode == -6
    assert done.stderr.startswith(b"Fatal Python error: Aborted")


def test_a_stream_that_is_replaced_is_listened_to_anew_and_given_back_where_it_came_from(
    tmp_path: Path,
) -> None:
    done = run(f"""
os.write(1, b"first ")
mark = tap.mark()
other = os.open({str(tmp_path / "other")!r}, os.O_CREAT | os.O_WRONLY)
os.dup2(other, 1)
assert not tap.is_listening
os.write(1, b"unheard ")
tap.listen()
os.write(1, b"heard\\n")
assert [line for line in tap.since(mark)][-1].endswith("heard"), tap.since(mark)
tap.stop()
tap.stop()
os.write(1, b"after")
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"first "
    assert (tmp_path / "other").read_bytes() == b"unheard heard\nafter"


@pytest.mark.parametrize("descriptor", [1, 2])
def test_where_nobody_reads_any_more_a_library_is_not_held_up(descriptor: int) -> None:
    write_much = f"for n in range(200): os.write({descriptor}, b'x' * 10_000)\ntap.stop()\nos._exit(17)"
    script = BEGIN.format(descriptor=descriptor) + write_much
    streams = [None, None, None]
    reader, streams[descriptor] = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=streams[1], stderr=streams[2]
    ) as process:
        os.close(reader)
        assert process.wait(30) == 17
    os.close(streams[descriptor])

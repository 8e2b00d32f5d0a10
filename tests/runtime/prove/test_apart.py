"""A step in a process of its own: whatever becomes of the process is an outcome, and nothing of it is left."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tremorscope.runtime.prove.apart import run_apart
from tremorscope.runtime.prove.outcome import Check, Outcome, Skip, StepFindings, read_outcome, write_outcome
from tremorscope.runtime.prove.plan import ProvePlan, ProveStep

HEAD = """\
import ctypes, os, subprocess, time
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.prove.outcome import Skip
"""
MakeStep = Callable[..., ProveStep]


@pytest.fixture
def plan(tmp_path: Path) -> ProvePlan:
    return ProvePlan(tmp_path, tmp_path, quick=True)


@pytest.fixture
def step_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeStep:
    """Makes a step of the body of its ``run``."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def make(body: str, limit_s: float = 30.0) -> ProveStep:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        (tmp_path / "trial_step.py").write_text(f"{HEAD}\ndef run(plan, findings):\n{lines}")
        return ProveStep("trial", "A trial", "trial_step", limit_s)

    return make


def test_what_a_step_finds_comes_back_whole(plan: ProvePlan, step_of: MakeStep) -> None:
    found = run_apart(
        step_of(
            "findings.fact('rate_hz', 29.9876543219)\n"
            "findings.table('T', ['a', 'b'], [[1, None], ['x', 2.5]])\n"
            "findings.check('copied', 0, 0, holds=plan.quick)\n"
            "return findings.outcome('all well')"
        ),
        plan,
    )
    assert found.state == "holds"
    assert found.said == "all well"
    assert found.facts == {"rate_hz": 29.987654}
    assert found.checks == (Check("copied", "0", "0", True),)
    assert found.tables[0].rows == [[1, None], ["x", 2.5]]
    assert found.output == ""


@pytest.mark.parametrize(
    ("body", "state", "said"),
    [
        ("raise Skip('there is none', remedy='get one')", "skipped", "there is none"),
        ("raise CameraFault('it is unplugged', remedy='plug it in')", "fails", "it is unplugged"),
        ("raise KeyError('x')", "fails", "KeyError: 'x'"),
        (
            "findings.check('copied', 9, 0, holds=False)\nreturn findings.outcome('?')",
            "fails",
            "copied: 9, not 0",
        ),
        ("raise MemoryError('8 GiB')", "fails", "out of memory (8 GiB)"),
        ("open('/dev/full', 'w').write('x' * 99999)", "fails", "no space left on device"),
        ("open('/no/such/file')", "fails", "/no/such/file: no such file or directory"),
    ],
)
def test_skips_faults_and_mistakes_are_outcomes(
    plan: ProvePlan,
    step_of: MakeStep,
    body: str,
    state: str,
    said: str,
) -> None:
    found = run_apart(step_of(body), plan)
    assert (found.state, found.said) == (state, said)
    assert ("Traceback" in found.output) == ("KeyError" in body)


def test_a_step_whose_library_crashes_is_told_with_what_it_found_before(
    plan: ProvePlan, step_of: MakeStep
) -> None:
    found = run_apart(step_of("findings.fact('frames', 7)\nctypes.string_at(0)"), plan)
    assert found.state == "fails"
    assert found.said == "its process was ended by SIGSEGV"
    assert found.facts == {"frames": 7}
    assert "Segmentation fault" in found.output  # with the stacks of all threads


def test_a_library_that_aborts_when_its_work_is_done_spoils_nothing(
    plan: ProvePlan, step_of: MakeStep
) -> None:
    found = run_apart(
        step_of("import atexit\natexit.register(os.abort)\nreturn findings.outcome('done')"), plan
    )
    assert (found.state, found.said) == ("holds", "done")
    assert found.facts["exit"] == "its process was ended by SIGABRT"


def test_a_step_that_exits_in_silence_has_not_held(plan: ProvePlan, step_of: MakeStep) -> None:
    found = run_apart(step_of("print('bye', flush=True)\nos._exit(0)"), plan)
    assert (found.state, found.said, found.output) == ("fails", "its process ended with exit status 0", "bye")


def test_a_step_that_hangs_is_ended_with_all_its_children(
    plan: ProvePlan, step_of: MakeStep, tmp_path: Path
) -> None:
    body = (
        f"child = subprocess.Popen(['sleep', '600'])\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "findings.fact('got', 'so far')\ntime.sleep(600)"
    )
    begun_s = time.monotonic()
    found = run_apart(step_of(body, limit_s=2.0), plan)
    assert time.monotonic() - begun_s < 20.0
    assert found.state == "fails"
    assert found.said == "did not end within 2 s, and was ended"
    assert found.facts == {"got": "so far"}
    assert "trial_step.py" in found.output  # where it hung
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_an_interruption_ends_the_step_at_once(plan: ProvePlan, step_of: MakeStep, tmp_path: Path) -> None:
    step = step_of(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")

    def tick(_elapsed_s: float) -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_apart(step, plan, tick)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_the_output_that_is_kept_is_short_and_of_whole_lines(plan: ProvePlan, step_of: MakeStep) -> None:
    found = run_apart(step_of("for n in range(3000): print(f'line {n} end')\nraise ValueError('x')"), plan)
    lines = found.output.splitlines()
    assert len(found.output) <= 4000
    assert lines[0].startswith("line ")
    assert lines[0].endswith(" end")
    assert lines[-1] == "ValueError: x"


def test_numbers_that_json_does_not_know_are_left_out(plan: ProvePlan, step_of: MakeStep) -> None:
    body = "findings.fact('a', float('nan'))\nfindings.table('T', ['x'], [[float('inf')]])"
    found = run_apart(step_of(f"{body}\nreturn findings.outcome('so')"), plan)
    assert (found.facts, found.tables[0].rows) == ({"a": None}, [[None]])


def test_no_room_for_a_steps_own_files_is_an_outcome(
    plan: ProvePlan, step_of: MakeStep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = step_of("return findings.outcome('so')")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    found = run_apart(step, plan)
    assert (found.state, found.said) == ("fails", "could not be run (no such file or directory)")
    assert str(tmp_path / "gone") in found.remedy


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie; one that was killed may take a moment to go."""
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except FileNotFoundError:
            return False
        time.sleep(0.1)
    return True


def test_an_outcome_that_was_half_written_is_none(tmp_path: Path) -> None:
    file = tmp_path / "outcome.json"
    assert read_outcome(file) is None
    write_outcome(file, Outcome("holds", "x"))
    assert read_outcome(file) == Outcome("holds", "x")
    file.write_text(file.read_text()[:-5])
    assert read_outcome(file) is None
    write_outcome(tmp_path / "no-such-directory/outcome.json", Outcome("holds", "x"))  # a disk that is gone


def test_a_skip_keeps_what_was_found() -> None:
    findings = StepFindings()
    findings.fact("a", 1)
    found = findings.skipped(Skip("none", remedy="buy one"))
    assert (found.state, found.remedy, found.facts) == ("skipped", "buy one", {"a": 1})

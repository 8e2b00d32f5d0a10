"""The command line as a whole: each subcommand has a file of its own, and the help imports none of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from support import ROOT

from tremorscope import cli
from tremorscope.commands.options import PROTOCOLS, PROTOCOLS_ALONE
from tremorscope.export.studies.evaluation_job import JUDGES
from tremorscope.model.evaluation.evaluate import standard_protocols


def test_each_subcommand_stands_in_a_file_of_its_name() -> None:
    files = {path.stem for path in (ROOT / "tremorscope/commands").glob("*.py")} - {"__init__", "options"}
    assert files == {name.replace("-", "_") for name in cli.COMMANDS}
    context = click.Context(cli.cli)
    for name in cli.COMMANDS:
        command = cli.cli.get_command(context, name)
        assert command is not None
        assert command.name == name


COMPLETE = """
eval "$(_TREMORSCOPE_COMPLETE=bash_source tremorscope)"
COMP_WORDS=(tremorscope {words}) COMP_CWORD={index}
_tremorscope_completion tremorscope
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "found"),
    [("m", "magnify measure"), ("measure --sti", "--still"), ("calibrate cap", "capture"), ("no", "")],
)
def test_bash_completes_commands_and_options(words: str, found: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = COMPLETE.format(words=words, index=len(words.split()))
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env=os.environ | {"PATH": path}
    )
    assert (done.stdout.strip(), done.stderr) == (found, "")


OTHER_SHELLS = {
    "zsh": """
        autoload -Uz compinit; compinit -u -D
        eval "$(_TREMORSCOPE_COMPLETE=zsh_source tremorscope)"
        # What zle's builtins would be given; the menu itself needs a terminal.
        compadd() {{ print -l -- ${{(P)argv[-1]}} }}
        _describe() {{ print -l -- ${{${{(P)3}}%%:*}} }}
        words=(tremorscope {words}) CURRENT=$(({index} + 1)); $_comps[tremorscope]
    """,
    "fish": """
        _TREMORSCOPE_COMPLETE=fish_source tremorscope | source
        for each in (complete -C "tremorscope {words}"); string split -f 1 -- \\t $each; end
    """,
}


@pytest.mark.parametrize("shell", OTHER_SHELLS)
@pytest.mark.parametrize(("words", "found"), [("m", ["magnify", "measure"]), ("measure --sti", ["--still"])])
def test_zsh_and_fish_complete_them_too(shell: str, words: str, found: list[str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    script = OTHER_SHELLS[shell].format(words=words, index=len(words.split()))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [shell, *(["-f"] if shell == "zsh" else []), "-c", script],
        capture_output=True, text=True, check=True, env=os.environ | {"PATH": path, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert (sorted(done.stdout.split()), done.stderr) == (found, "")


def test_completion_of_commands_imports_no_stage() -> None:
    program = (
        "import sys; from tremorscope import cli; sys.argv = ['tremorscope']\n"
        "try: cli.main()\n"
        "finally: print(sorted(n for n in sys.modules if n.startswith('tremorscope.')))"
    )
    asked = {"_TREMORSCOPE_COMPLETE": "bash_complete", "COMP_WORDS": "tremorscope ca", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ | asked
    )
    assert done.stdout.splitlines() == ["plain,calibrate", "['tremorscope.cli']"]


def test_help_imports_no_stage() -> None:
    program = (
        "import sys; from tremorscope import cli; sys.argv = ['tremorscope', '--help']\n"
        "try: cli.main()\n"
        "finally: print(sorted(n for n in sys.modules if n.startswith('tremorscope.') or n == 'numpy'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['tremorscope.cli']"


def test_the_protocols_of_the_help_are_those_that_are_judged() -> None:
    assert tuple(standard_protocols([np.zeros((320, 320, 3), np.uint8)])) == PROTOCOLS
    assert tuple(JUDGES) == PROTOCOLS_ALONE

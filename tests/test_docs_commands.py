"""Every command in the documents is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from test_docs import DOCUMENTS

from tremorscope import cli

LINE = re.compile(r"^ *(?:sudo |\$ |\S*/bin/)*(tremorscope [a-z].*?)(?:  +#.*)?$")
"""A command on a line of a block, without what a person reads behind it."""
WORD = re.compile(r"(?<!`)`((?:sudo )?tremorscope [a-z][^`]*)`(?!`)")
"""A command in running text."""


def commands(document: Path) -> Iterator[str]:
    """Commands in the document, the continued ones in one line."""
    text = document.read_text(encoding="utf-8")
    blocks = re.sub(r" *\\\n *", " ", text)
    for line in blocks.splitlines():
        if line.startswith("    ") and (match := LINE.match(line)):
            yield match[1]
    for match in WORD.finditer(re.sub(r"\s*\n\s*", " ", text)):
        yield match[1].removeprefix("sudo ")


def parse(line: str) -> None:
    """Parse a command as `tremorscope` does; files and networks that it names need not exist.

    Raises:
        click.UsageError: a command, an option or a value that the command line does not take.
    """
    words = shlex.split(line.replace("…", "").replace("...", ""), comments=True)[1:]
    command: click.Command = cli.cli
    context = click.Context(cli.cli, info_name="tremorscope")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            raise click.UsageError(f"No such command {words[0]!r}")
        command, words = found, words[1:]
        context = click.Context(command, context, info_name=command.name, resilient_parsing=False)
    values, _, _ = command.make_parser(context).parse_args(list(words))
    for parameter in command.params:
        value = values.get(parameter.name or "")
        is_checked = isinstance(value, (str, tuple, list)) and not isinstance(parameter.type, click.Path)
        if isinstance(parameter, click.Option) and is_checked and not str(value).isupper():
            parameter.type_cast_value(context, value)


def complaint(line: str) -> str:
    """Error message for a command, empty if it is taken."""
    try:
        parse(line)
    except click.UsageError as error:
        return f"{line}: {error.format_message()}"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.parent.name + "-" + path.stem)
def test_commands_are_those_of_the_command_line(document: Path) -> None:
    assert [text for line in commands(document) if (text := complaint(line))] == []


@pytest.mark.parametrize(
    "line",
    [
        "tremorscope magnifie a.mp4",
        "tremorscope magnify a.mp4 --amplify 3",
        "tremorscope magnify a.mp4 --mode slow",
    ],
)
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    assert complaint(line).startswith(line)

"""The command line ``tremorscope``: each subcommand is imported from its stage when it is called."""

from __future__ import annotations

import errno
import importlib
import io
import os
import re
import sys

import click
from click.shell_completion import CompletionItem

STAGES = {
    "Clips": {
        "magnify": "Magnify the motion in a recorded clip.",
        "measure": "Measure displacement, frequencies and modes in a clip.",
        "slices": "Show one line of a clip's pixels over time, by several methods.",
        "demo": "Draw a vibrating footbridge, magnify and measure it.",
    },
    "Monitoring": {
        "run": "Run the service: watch a structure for months.",
        "check": "Say whether a configuration can be followed.",
        "schema": "Print the JSON schema of configurations, for editors.",
        "export-store": "Write what the service has stored as CSV and UFF.",
    },
    "Device": {
        "doctor": "Say what this device lacks, and what mends it.",
        "prove": "Run all of it once on this device, and report what holds.",
        "bench": "Time every stage from the camera to the outputs.",
        "build": "Build TensorRT engines from a bundle, on the device.",
    },
    "Precision": {
        "calibrate": "Gather frames for INT8 scales, and compute the scales.",
        "compare": "Judge FP32, FP16 and INT8 side by side, and mark what may be deployed.",
    },
    "Networks": {
        "train": "Train a network from a recipe (resumes by itself).",
        "evaluate": "Judge magnifiers on the field's protocols, side by side.",
        "study": "Train and judge variants of a network: what is each part worth?",
        "cost": "Compare networks: operations, parameters, time, memory.",
        "export": "Turn weights into a bundle of ONNX step graphs.",
        "lint": "Say which TensorRT can read the graphs of a bundle.",
    },
}
"""Each subcommand by stage, in a module of its name in `commands`, as a function of that name. Summaries stand here so
that `--help` imports none of them."""
COMMANDS = {name: summary for commands in STAGES.values() for name, summary in commands.items()}


class _LazyGroup(click.Group):
    """A click group that imports a subcommand's module only when that subcommand is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"tremorscope.commands.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        widest = max(map(len, COMMANDS))
        for stage, commands in STAGES.items():
            with formatter.section(stage):
                formatter.write_dl([(name.ljust(widest), summary) for name, summary in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Options and subcommands that begin like this, without importing any."""
        options = click.Command.shell_complete(self, ctx, incomplete)
        return options + [
            CompletionItem(name, help=summary)
            for name, summary in COMMANDS.items()
            if name.startswith(incomplete)
        ]


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Each command has its own --help.",
)
@click.version_option(package_name="tremorscope")
def cli() -> None:
    """See and measure vibration that the eye cannot: real-time video motion magnification."""


def main() -> None:
    """Run the command line; a fault becomes one line on stderr and a non-zero exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _run()
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.UsageError as error:
        _fail_usage(error)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted: nothing was left half-written", exit_status=130)
    except MemoryError:
        _fail("out of memory: free some, or use a smaller picture")
    except ModuleNotFoundError as error:
        _fail(_missing_extra(error))
    except Exception as error:
        # A fault is any exception that names its remedy; everything else is a bug and keeps its traceback.
        if not isinstance(getattr(error, "remedy", None), str):
            raise
        _fail(str(error))


def _run() -> None:
    """Run the command and hand out all that it has printed; files that it was to write have faults of their own."""
    if re.search(r"\0(-o|--output[\0=])\0?[A-Za-z][\w+.-]*://", "\0".join(["", *sys.argv[1:]])):
        # It would become directories of its name, and stand in what is told of them, with its password.
        raise click.ClickException(
            "--output: an address is no file and no directory: write to a file, and send that"
        )
    try:
        cli(prog_name="tremorscope", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # of a reader who has seen enough, as `head` does
        _print_no_more()
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
            raise
        _print_no_more()
        raise click.ClickException(
            f"what was to be printed could not be written ({(error.strerror or str(error)).lower()}): "
            "free some space there; files that were written are complete"
        ) from None


def _print_no_more() -> None:
    """Lead standard output nowhere: what is left in its buffer would fail again when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


_EXTRA_OF_MODULE = {
    "torch": "train", "safetensors": "train", "PIL": "train", "skimage": "train", "pyrtools": "train",
    "onnx": "export", "onnx_ir": "export", "onnxscript": "export", "pycuda": "jetson",
    "aiohttp": "service", "paho": "service", "prometheus_client": "service",
}  # fmt: skip


def _missing_extra(error: ModuleNotFoundError) -> str:
    extra = _EXTRA_OF_MODULE.get((error.name or "").partition(".")[0])
    if extra is None:
        raise error
    return f"this command needs {error.name}, which is not installed: pip install 'tremorscope[{extra}]'"


def _fail_usage(error: click.UsageError) -> None:
    message = error.format_message()
    if "\n" in message:  # the help itself, which click raises where nothing at all was asked for
        click.echo(message)
        sys.exit(error.exit_code)
    command = error.ctx.command_path if error.ctx else "tremorscope"
    _fail(f"{message.rstrip('.')}: see {command} --help", error.exit_code)


def _fail(message: str, exit_status: int = 1) -> None:
    told = re.sub(r"([A-Za-z][\w+.-]*:/+)[^\s\"]*@", r"\1...@", message)  # no password of an address
    click.echo(f"tremorscope: {told}", err=True)
    sys.exit(exit_status)


if __name__ == "__main__":
    main()

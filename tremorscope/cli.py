"""The command line ``tremorscope``: each subcommand is imported from its stage when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import NamedTuple

import click


class _Entry(NamedTuple):
    module: str
    attribute: str
    summary: str


# The summaries stand here so that `--help` imports no stage.
COMMANDS = {
    "magnify": _Entry("tremorscope.commands.clips", "magnify", "Magnify the motion in a recorded clip."),
    "measure": _Entry(
        "tremorscope.commands.clips", "measure", "Measure displacement, frequencies and modes in a clip."
    ),
    "demo": _Entry(
        "tremorscope.commands.clips", "demo", "Draw a vibrating footbridge, magnify and measure it."
    ),
    "run": _Entry("tremorscope.commands.service", "run", "Run the service: watch a structure for months."),
    "check": _Entry("tremorscope.commands.service", "check", "Say whether a configuration can be followed."),
    "schema": _Entry(
        "tremorscope.commands.service", "schema", "Print the JSON schema of configurations, for editors."
    ),
    "export-store": _Entry(
        "tremorscope.commands.service", "export_store", "Write what the service has stored as CSV and UFF."
    ),
    "train": _Entry(
        "tremorscope.commands.train", "train", "Train a network from a recipe (resumes by itself)."
    ),
    "evaluate": _Entry(
        "tremorscope.commands.evaluate",
        "evaluate",
        "Judge magnifiers on the field's protocols, side by side.",
    ),
    "slices": _Entry(
        "tremorscope.commands.slices",
        "slices",
        "Show one line of a clip's pixels over time, by several methods.",
    ),
    "study": _Entry(
        "tremorscope.commands.study",
        "study",
        "Train and judge variants of a network: what is each part worth?",
    ),
    "export": _Entry(
        "tremorscope.commands.export", "export", "Turn weights into a bundle of ONNX step graphs."
    ),
    "lint": _Entry(
        "tremorscope.commands.lint", "lint", "Say which TensorRT can read the graphs of a bundle."
    ),
    "build": _Entry(
        "tremorscope.commands.device", "build", "Build TensorRT engines from a bundle, on the device."
    ),
    "calibrate": _Entry(
        "tremorscope.commands.calibrate",
        "calibrate",
        "Gather frames for INT8 scales, and compute the scales.",
    ),
    "bench": _Entry(
        "tremorscope.commands.device", "bench", "Time every stage from the camera to the outputs."
    ),
    "doctor": _Entry(
        "tremorscope.commands.device", "doctor", "Say what this device lacks, and what mends it."
    ),
    "prove": _Entry(
        "tremorscope.commands.device", "prove", "Run all of it once on this device, and report what holds."
    ),
    "compare": _Entry(
        "tremorscope.commands.calibrate",
        "compare",
        "Judge FP32, FP16 and INT8 side by side, and mark what may be deployed.",
    ),
    "cost": _Entry(
        "tremorscope.commands.export", "cost", "Compare networks: operations, parameters, time, memory."
    ),
}


class _LazyGroup(click.Group):
    """A click group that imports a subcommand's module only when that subcommand is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


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
    try:
        cli(standalone_mode=False)
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
    click.echo(f"tremorscope: {message}", err=True)
    sys.exit(exit_status)


if __name__ == "__main__":
    main()

"""All that a user can do or rely on stays: commands, options, keys, metrics, topics, addresses, tables, files.

``surface.json`` holds what there was when it was last written; more may come, nothing may go without a migration.
After an addition: ``python tests/test_surface.py`` writes it anew, and the difference is what a reader looks at.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tremorscope import cli

ROOT = Path(__file__).resolve().parent.parent
RECORDED = Path(__file__).with_name("surface.json")
_METRIC_MAKERS = {"gauge", "gauges", "counter", "counters"}


@functools.cache
def surface() -> dict[str, list[str]]:
    """All of it, by kind."""
    calls = list(_calls(ROOT / "runtime"))
    return {
        "commands": sorted(_commands(cli.cli, click.Context(cli.cli), "tremorscope")),
        "configuration": sorted(_keys(json.loads((ROOT / "configs/schema.json").read_text()))),
        "metrics": sorted(_first_texts(calls, _METRIC_MAKERS)),
        "addresses": sorted(
            " ".join(values[:2]) for name, values in calls if name == "Route" and len(values) > 1
        ),
        "topics": sorted(_topics()),
        "tables": sorted(_columns()),
        "files": sorted(_result_files()),
    }


def _commands(group: click.Group, context: click.Context, path: str) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}"
        for parameter in command.params:
            texts = [*parameter.opts, *parameter.secondary_opts]
            shown = [text for text in texts if text.startswith("-")] or [parameter.make_metavar(context)]
            yield from (f"{path} {name} {text}" for text in shown)
        if isinstance(command, click.Group):
            yield from _commands(command, context, f"{path} {name}")


def _keys(schema: dict[str, Any]) -> set[str]:
    found: set[str] = set()

    def walk(node: Any, path: str, within: frozenset[str]) -> None:
        if not isinstance(node, dict):
            return
        if (reference := node.get("$ref")) is not None and reference not in within:
            walk(schema["$defs"][reference.rpartition("/")[2]], path, within | {reference})
        for name, each in node.get("properties", {}).items():
            found.add(f"{path}.{name}".lstrip("."))
            walk(each, f"{path}.{name}", within)
        for value in [*node.get("enum", ()), *([node["const"]] if "const" in node else ())]:
            found.add(f"{path} = {value}".lstrip("."))
        for combined in ("anyOf", "oneOf", "allOf", "prefixItems"):
            for each in node.get(combined, ()):
                walk(each, path, within)
        walk(node.get("items"), f"{path}[]", within)

    walk(schema, "", frozenset())
    return found


def _calls(folder: Path) -> Iterator[tuple[str, list[Any]]]:
    """Names of called functions, each with the constants that it is given first."""
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                values = []
                for argument in node.args:
                    if not isinstance(argument, ast.Constant):
                        break
                    values.append(argument.value)
                yield node.func.id, values


def _first_texts(calls: list[tuple[str, list[Any]]], names: set[str]) -> set[str]:
    return {values[0] for name, values in calls if name in names and values and isinstance(values[0], str)}


def _topics() -> set[str]:
    messages = pytest.importorskip("tremorscope.runtime.outputs.mqtt.messages")
    health = pytest.importorskip("tremorscope.runtime.health").Health
    topics = messages.Topics("tremorscope", "bridge")
    found = {value for name, value in vars(topics).items() if not name.startswith("_")}
    summary = messages.summary_payload(health(name="bridge", version="1", started_s=0.0))
    return {*found, topics.alarm("sways"), *(f"{topics.summary}: {key}" for key in summary)}


def _columns() -> set[str]:
    import sqlite3

    schema = pytest.importorskip("tremorscope.runtime.store.schema")
    connection = sqlite3.connect(":memory:")
    schema.migrate(_autocommit(connection))
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        f"{table}.{row[1]}" for table in tables for row in connection.execute(f"PRAGMA table_info({table})")
    }


def _autocommit(connection: Any) -> Any:
    connection.isolation_level = None
    return connection


def _result_files() -> set[str]:
    from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES
    from tremorscope.runtime.jobs.demo import VIDEO_NAMES
    from tremorscope.runtime.jobs.measure import RESULT_NAMES
    from tremorscope.runtime.store.export import FILES

    shipped = {f"bundle {each.name}" for each in Path(SHIPPED_BUNDLES).iterdir() if each.is_dir()}
    return {
        *(f"demo {name}.mp4" for name in VIDEO_NAMES),
        *(f"measure {name}" for name in RESULT_NAMES),
        *(f"export-store {name}" for name in FILES),
        *shipped,
    }


def test_nothing_that_a_user_can_do_is_lost() -> None:
    present = surface()
    lost = {
        kind: sorted(set(had) - set(present[kind])) for kind, had in json.loads(RECORDED.read_text()).items()
    }
    assert not any(lost.values()), {kind: gone for kind, gone in lost.items() if gone}


def test_what_came_is_recorded() -> None:
    """So that it cannot be lost unseen later: `python tests/test_surface.py` records it."""
    recorded = json.loads(RECORDED.read_text())
    new = {kind: sorted(set(has) - set(recorded[kind])) for kind, has in surface().items()}
    assert not any(new.values()), {kind: came for kind, came in new.items() if came}


@pytest.mark.parametrize(
    "kind", ["commands", "configuration", "metrics", "addresses", "topics", "tables", "files"]
)
def test_every_kind_is_seen(kind: str) -> None:
    found = surface()[kind]
    assert len(found) > 5
    assert all(re.fullmatch(r"[\x20-\x7e]+", text) for text in found)


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(surface(), indent=1) + "\n", encoding="utf-8")

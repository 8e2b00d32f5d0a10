"""The house in figures: how large its parts are, and what its words are like. ``make house`` prints the table.

Each figure has a limit, which `test_house.py` holds.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("runtime", "model", "export", "calibration")
CALLED_BY_LIBRARIES = {"get_command", "list_commands", "report_layer_time", "_repr_png_"}
"""Methods of ours that click, TensorRT and notebooks call by these names."""
_RIDDLE = re.compile(r"(What|How|Whether|Where|Of)\b")
_FORMATTED_BY_HAND = re.compile(r"# fmt: (skip|off)")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_WORD = re.compile(r"\b[A-Za-z_]\w+\b")


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    value: int
    limit: int
    where: list[str]
    """The places that make up the value, or the worst of them."""

    @property
    def holds(self) -> bool:
        return self.value <= self.limit


def product_files() -> list[Path]:
    """All Python files of the product, each once though the stages are linked into the package."""
    rooms = ("tremorscope", "tremorscope/api", "tremorscope/commands")
    own = [path for room in rooms for path in (ROOT / room).glob("*.py")]
    return sorted([*own, *(path for stage in STAGES for path in (ROOT / stage).rglob("*.py"))])


class House:
    """All Python files of the product, parsed once."""

    def __init__(self) -> None:
        self.texts = {
            path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in product_files()
        }
        self.trees = {name: ast.parse(text) for name, text in self.texts.items()}
        scripts = (ROOT / "runtime").rglob("*.js")
        self.scripts = {path.name: path.read_text() for path in scripts if ".min." not in path.name}

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
        """Every node of some kinds, with the file that it stands in."""
        for name, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, kinds):
                    yield name, node

    def docstrings(self) -> Iterator[tuple[str, int, str]]:
        """File, line and text of every docstring, those below attributes too."""
        for name, node in self.nodes(ast.Module, ast.ClassDef, *_FUNCTIONS):
            assert isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS))
            before = None
            for statement in node.body:
                value = statement.value if isinstance(statement, ast.Expr) else None
                documents = before is None or isinstance(before, (ast.Assign, ast.AnnAssign))
                if documents and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield name, statement.lineno, value.value
                before = statement

    def loose(self) -> list[str]:
        return [
            name for name in self.texts if re.fullmatch(r"runtime/\w+\.py", name) and "__init__" not in name
        ]

    def files_by_length(self) -> list[tuple[int, str]]:
        return sorted(((text.count("\n"), name) for name, text in self.texts.items()), reverse=True)

    def functions_by_length(self) -> list[tuple[int, str]]:
        found = [
            (node.end_lineno - node.lineno + 1, f"{name}:{node.lineno} {node.name}")
            for name, node in self.nodes(*_FUNCTIONS)
            if isinstance(node, _FUNCTIONS) and node.end_lineno
        ]
        return sorted(found, reverse=True)

    def functions_by_parameters(self) -> list[tuple[int, str]]:
        """The object itself is not counted."""
        found = []
        for name, node in self.nodes(*_FUNCTIONS):
            assert isinstance(node, _FUNCTIONS)
            every = [
                argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            ]
            count = len(every) - (every[:1] in (["self"], ["cls"]))
            found.append((count, f"{name}:{node.lineno} {node.name}"))
        return sorted(found, reverse=True)

    def class_names_twice(self) -> list[str]:
        places = defaultdict(list)
        for name, node in self.nodes(ast.ClassDef):
            assert isinstance(node, ast.ClassDef)
            places[node.name].append(name)
        return [f"{name}: {', '.join(found)}" for name, found in sorted(places.items()) if len(found) > 1]

    def riddles(self) -> list[str]:
        return [
            f"{name}:{line} {text.splitlines()[0]}"
            for name, line, text in self.docstrings()
            if _RIDDLE.match(text)
        ]

    def formatted_by_hand(self) -> list[str]:
        found = {name: len(_FORMATTED_BY_HAND.findall(text)) for name, text in self.texts.items()}
        return [name for name, count in found.items() for _ in range(count)]

    def used_by_tests_alone(self) -> list[str]:
        """Functions, classes and methods whose name stands once in the product, where it is defined, and in a test.

        What a decorator hands over, what a library calls by its name, and what docs/python.md shows is not counted.
        """
        words = Counter(
            word for text in (*self.texts.values(), *self.scripts.values()) for word in _WORD.findall(text)
        )
        words.update(_WORD.findall((ROOT / "docs/python.md").read_text(encoding="utf-8")))
        tests = {word for path in (ROOT / "tests").rglob("*.py") for word in _WORD.findall(path.read_text())}
        found = []
        for name, node in self.nodes(ast.ClassDef, *_FUNCTIONS):
            assert isinstance(node, (ast.ClassDef, *_FUNCTIONS))
            plain = not node.decorator_list or ast.unparse(node.decorator_list[0]) in (
                "property",
                "staticmethod",
            )
            if plain and words[node.name] == 1 and node.name in tests - CALLED_BY_LIBRARIES:
                found.append(f"{name}:{node.lineno} {node.name}")
        return found


def figures(house: House) -> list[Figure]:
    """The table."""
    files, functions, parameters = (
        house.files_by_length(),
        house.functions_by_length(),
        house.functions_by_parameters(),
    )
    runtime = [name for name in house.texts if name.startswith("runtime/")]
    rows: list[tuple[str, int, int, list[str]]] = [
        ("loose modules in runtime/", len(house.loose()), 4, house.loose()),
        ("lines of Python in the product", sum(count for count, _ in files), 74_800, []),
        (
            "lines of our own JavaScript, of the page and of reports",
            sum(text.count("\n") for text in house.scripts.values()),
            1800,
            [],
        ),
        ("files in runtime/", len(runtime), 326, []),
        ("lines of the longest file", files[0][0], 300, _worst(files, 300)),
        ("lines of the longest function", functions[0][0], 50, _worst(functions, 50)),
        ("most parameters of a function", parameters[0][0], 7, _worst(parameters, 7)),
    ]
    kinds: list[tuple[str, Callable[[], list[str]], int]] = [
        ("class names that stand twice", house.class_names_twice, 0),
        ("docstrings that open with What, How, Whether, Where or Of", house.riddles, 0),
        ("places formatted by hand", house.formatted_by_hand, 50),
        ("definitions that tests alone use", house.used_by_tests_alone, 0),
    ]
    rows += [(name, len(found := of()), limit, found) for name, of, limit in kinds]
    return [Figure(*row) for row in rows]


def _worst(found: list[tuple[int, str]], limit: int) -> list[str]:
    return [f"{name} ({count})" for count, name in found if count > limit]


def main() -> int:
    """Print the table, and the places of what does not hold."""
    table = figures(House())
    width = max(len(figure.name) for figure in table)
    for figure in table:
        mark = "" if figure.holds else "  <- more"
        print(f"{figure.name:{width}}  {figure.value:>7,}  at most {figure.limit:>7,}{mark}")
    for figure in table:
        if not figure.holds:
            print(f"\n{figure.name}:", *figure.where, sep="\n  ")
    return int(not all(figure.holds for figure in table))


if __name__ == "__main__":
    sys.exit(main())

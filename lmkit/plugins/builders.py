"""Builders: whether one can be imported, found out without importing it, so that nobody pays for torch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path

from lmkit.component import Component


def builder_fault(component: Component) -> str | None:
    """Why a component's builder cannot be imported, as far as its module's source tells; None if nothing is wrong."""
    return None if not isinstance(component.build, str) else _fault(component.build)


@cache
def _fault(build: str) -> str | None:
    module, _, function = build.partition(":")
    spec, missing = _find(module)
    if spec is None:
        return f"its builder {build!r} cannot be imported: there is no module {missing!r}"
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None  # compiled, or a namespace
    try:
        tree = ast.parse(Path(spec.origin).read_bytes(), spec.origin)
    except SyntaxError as cause:
        return f"its builder {build!r} cannot be imported: SyntaxError: {cause.msg} ({spec.origin}:{cause.lineno})"
    except (OSError, ValueError) as cause:
        return f"its builder {build!r} cannot be imported: {cause}"
    for name, line in _imported(tree):
        if name not in sys.modules and _find(name)[0] is None:
            return f"its builder {build!r} cannot be imported: {name!r} is not installed ({spec.origin}:{line})"
    names = set(_named(tree.body))
    if function not in names and not names & {"*", "__getattr__"}:
        return f"its builder {build!r} cannot be imported: {spec.origin} has no {function!r}"
    return None


def _find(module: str) -> tuple[ModuleSpec | None, str]:
    """Where a module is, or the first part of its name that is nowhere. Imports nothing, no parent either."""
    path, spec, name = None, None, ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        found = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((each for each in found if each is not None), None)
        if spec is None and name in sys.modules:
            spec = sys.modules[name].__spec__
        if spec is None:
            return None, name
        path = list(spec.submodule_search_locations or ())
    return spec, name


def _imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The packages that a module imports whatever happens, and the lines that do."""
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            yield from ((alias.name.partition(".")[0], statement.lineno) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.level == 0 and statement.module:
            yield statement.module.partition(".")[0], statement.lineno


def _named(body: list[ast.stmt]) -> Iterator[str]:
    """The names that a module's statements give something, in branches too."""
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from ((alias.asname or alias.name).partition(".")[0] for alias in names)
            case _:
                yield from (
                    node.id
                    for node in ast.walk(statement)
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                )
                for inner in ("body", "orelse", "finalbody"):
                    yield from _named(getattr(statement, inner, []))
                for handler in getattr(statement, "handlers", []):
                    yield from _named(handler.body)

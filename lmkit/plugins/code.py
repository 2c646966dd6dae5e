"""Code: a digest of a plugin's, for a version stays the same where a package is installed for editing."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from lmkit.plugins.found import Plugin


def code_digest(plugin: Plugin) -> str | None:
    """A hash of the Python files of a plugin, by path and content; None where they cannot be found.

    They are its file, or the outermost package that its module belongs to and that is not shared as a namespace.
    """
    roots = [Path(plugin.module)] if os.path.isabs(plugin.module) else _roots(plugin.module)
    found = hashlib.sha256()
    count = 0
    for root in roots:
        for name, path in _files(root):
            try:
                content = path.read_bytes()
            except OSError:
                continue  # a link that leads nowhere
            found.update(f"{name}\0{len(content)}\0".encode())
            found.update(content)
            count += 1
    return found.hexdigest()[:16] if count else None


def _roots(module: str) -> list[Path]:
    """The folders of the package, or the file of a module that stands alone."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:length]))
        except (ImportError, ValueError, AttributeError):
            return []
        if spec is None:
            return []
        if spec.origin is not None:  # a namespace has none
            return [Path(folder) for folder in spec.submodule_search_locations or [spec.origin]]
    return []


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """Python files by their names below the root, in order; the root itself where it is one."""
    if root.is_file():
        yield root.name, root
        return
    paths = ((path.relative_to(root).as_posix(), path) for path in root.rglob("*.py"))
    yield from sorted(paths)

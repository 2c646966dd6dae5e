"""The plugins of this process: the built-ins, the installed distributions, and the files that the user names."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from lmkit.catalog import BUILTIN
from lmkit.errors import PluginError, UsageError
from lmkit.plugins.found import Plugins
from lmkit.plugins.load import Origin, canonical, load_plugins
from lmkit.plugins.versions import needed_versions

logger = logging.getLogger("lmkit.plugins")

GROUP = "lmkit"
"""The entry-point group in which a distribution names its plugin module."""

FILES = "LMKIT_PLUGINS"
"""The variable that names local files with plugins, separated as PATH is; `--plugin FILE` adds to it. A variable, so
that the processes of a run find the same plugins."""

BLOCK = "LMKIT_BLOCK"
"""The variable that names plugins to leave alone, separated by commas."""


def installed_plugins(*, report: bool = True) -> Plugins:
    """Load the built-ins, every installed distribution with an entry point in the group `lmkit`, and the local files.

    They are loaded once, and again if the variables have changed. A line is logged once for each plugin that could not
    be loaded or has a hook without its mark, unless `report` is false. Raises UsageError for a file that is not there.
    """
    files, blocked = os.environ.get(FILES, ""), os.environ.get(BLOCK, "")
    if report:
        _report(files, blocked)
    return _plugins(files, blocked)


def add_plugin_file(path: Path) -> None:
    """Make a local file one of the plugins of this process and of those that it starts."""
    if os.pathsep in str(path.resolve()):
        raise UsageError(f"{path}: a plugin file's path cannot have {os.pathsep!r} in it, which separates paths")
    known = [name for name in os.environ.get(FILES, "").split(os.pathsep) if name]
    os.environ[FILES] = os.pathsep.join(dict.fromkeys([*known, str(path.resolve())]))


def refuse_failed_files(files: Sequence[Path]) -> None:
    """Raise PluginError for a named file that could not be loaded, or that neither provides nor listens to anything."""
    paths = {str(file.resolve()): file for file in files}
    for plugin in installed_plugins(report=False).found:
        file = paths.get(plugin.module)
        if file is not None and plugin.cause is not None:
            raise PluginError(f"--plugin {file} could not be loaded: {plugin.why}")
        if file is not None and plugin.idle:
            raise PluginError(f"--plugin {file} gives nothing: {'; '.join(plugin.notes)}")


def unmatched_blocks(plugins: Plugins) -> list[str]:
    """The names in LMKIT_BLOCK that no plugin here has."""
    known = {canonical(plugin.name) for plugin in plugins.found}
    named = [name.strip() for name in os.environ.get(BLOCK, "").split(",")]
    return [name for name in named if name and canonical(name) not in known]


@cache
def _report(files: str, blocked: str) -> None:
    """Log a line for each plugin that does not do what its author meant."""
    for plugin in _plugins(files, blocked).found:
        if plugin.cause is not None:
            leave = f"LMKIT_BLOCK={plugin.name} leaves it out"
            logger.warning("plugin %s could not be loaded: %s; %s", plugin.name, plugin.why, leave)
        for note in plugin.unmarked:
            logger.warning("plugin %s: %s", plugin.name, note)


@cache
def _plugins(files: str, blocked: str) -> Plugins:
    points = sorted(entry_points(group=GROUP), key=lambda point: (_distribution(point), point.value))
    return load_plugins(
        [
            Origin(BUILTIN, None, "lmkit.builtin.plugin"),
            *(
                Origin(
                    _distribution(point),
                    _version(point),
                    point.value,
                    needs=_needs(point),
                )
                for point in points
            ),
            *_file_origins([Path(os.path.expanduser(name)).resolve() for name in files.split(os.pathsep) if name]),
        ],
        [name.strip() for name in blocked.split(",")],
    )


def _file_origins(paths: list[Path]) -> list[Origin]:
    """The files, each once; those of one name go by that of their folder too."""
    once = list(dict.fromkeys(paths))
    names = Counter(path.name for path in once)
    return [
        _file_origin(path, path.name if names[path.name] == 1 else f"{path.parent.name}/{path.name}") for path in once
    ]


def _file_origin(path: Path, name: str) -> Origin:
    if not path.is_file():
        raise UsageError(f"there is no plugin file {path}")
    if path.suffix != ".py":
        raise UsageError(f"{path} is no plugin file; its name ends in .py")
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    return Origin(name, f"sha256:{content[:16]}", str(path), is_file=True)


def _distribution(point: EntryPoint) -> str:
    # A distribution whose metadata are damaged has no name.
    return (point.dist.name if point.dist else None) or point.name


def _version(point: EntryPoint) -> str | None:
    return point.dist.version if point.dist else None


def _needs(point: EntryPoint) -> str | None:
    return needed_versions((point.dist.requires if point.dist else None) or ())

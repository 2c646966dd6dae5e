"""Plugins: the distributions and files that provide components or listen to runs."""

from lmkit.plugins.found import Plugin, Plugins, Slow
from lmkit.plugins.installed import installed_plugins, unmatched_blocks
from lmkit.plugins.load import Origin, load_plugins

__all__ = ["Origin", "Plugin", "Plugins", "Slow", "installed_plugins", "load_plugins", "unmatched_blocks"]

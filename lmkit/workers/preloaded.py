"""Preloaded: importing this module imports all that a run needs, which the server of warm workers does once.

The plugins that are installed are among it, and local files are not, since these may do what they like. The process
becomes a group of its own, so that a Ctrl-C at the terminal is for the program alone, which sees to its workers.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module

from lmkit.plugins import installed_plugins
from lmkit.plugins.installed import FILES
from lmkit.records.packages import installed_packages
from lmkit.run.stopping import ignore_user_signal
from lmkit.workers.imports import quick_imports

MODULES = [
    "lmkit.workers.warm",
    "lmkit.api.attempt",
    "lmkit.run.session",
    "lmkit.validation.validate",
    "lmkit.builtin.plugin",
    "pandas",  # pyarrow looks for it at its first conversion
    "transformers.modeling_utils",
    "safetensors.torch",
]
"""By name, so that nothing here depends on them; what is not installed is left out."""

if hasattr(os, "setpgid"):
    os.setpgid(0, 0)
ignore_user_signal()
with quick_imports():
    for module in MODULES:
        with suppress(ImportError):
            import_module(module)
    if not os.environ.get(FILES):
        installed_plugins(report=False)
    installed_packages()

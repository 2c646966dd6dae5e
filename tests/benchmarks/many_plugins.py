"""An environment with many distributions, some of them plugins of lmkit, for measuring what they cost."""

from __future__ import annotations

from pathlib import Path

COMPONENT = '''
class Config{number}(OptimizerConfig):
    """An optimizer that is like the others."""

    use: Literal["{name}-{number}"]

    lr: PositiveFloat = 1e-3
    """Peak learning rate."""

    betas: tuple[float, float] = (0.9, 0.99)
    """Decays of two means."""

    steps: Annotated[int, Field(ge=0)] = 3
    """How often."""

    cautious: bool = False
    """Whether to take care."""
'''

CONFIG = """\
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from lmkit.kinds.optimizer import OptimizerConfig
"""

PLUGIN = """\
from lmkit import Component, hookimpl
from {name} import config


@hookimpl
def provide_optimizers():
    return [Component(getattr(config, f"Config{{number}}"), build="{name}.build:build") for number in range({count})]
"""


def write_distributions(folder: Path, plugins: int, components: int, others: int) -> None:
    """So many plugins with so many components each, and so many distributions that have nothing to do with lmkit."""
    for number in range(plugins):
        name = f"lmkit_many{number}"
        package = folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        settings = [COMPONENT.format(number=index, name=name.replace("_", "-")) for index in range(components)]
        (package / "config.py").write_text(CONFIG + "\n".join(settings))
        (package / "plugin.py").write_text(PLUGIN.format(name=name, count=components))
        _write_metadata(folder, name, f"[lmkit]\nplugin = {name}.plugin\n", "Requires-Dist: lmkit>=0.1\n")
    for number in range(others):
        _write_metadata(folder, f"other{number}", f"[console_scripts]\nother{number} = other{number}:main\n", "")


def _write_metadata(folder: Path, name: str, points: str, more: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{more}")
    (info / "entry_points.txt").write_text(points)

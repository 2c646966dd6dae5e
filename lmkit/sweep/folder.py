"""The folder of a sweep: what it is, so that the same line goes on with it, its journal, and its runs."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from lmkit.errors import UnusableError, UsageError
from lmkit.recipe.layers import COMMAND_LINE
from lmkit.recipe.schema import NAME
from lmkit.records.changes import Change, changes
from lmkit.records.files import disk_errors, read_json, write_json
from lmkit.records.store import kept_settings
from lmkit.redaction import redacted_value
from lmkit.spelling import nearest
from lmkit.sweep.journal import JOURNAL
from lmkit.sweep.load import LoadedSweep
from lmkit.sweep.trials import Direction

SWEEPS = "sweeps"
"""The folder of sweeps in a folder of runs."""

RUNS = "runs"
"""The folder of a sweep's runs, which is a folder of runs like any other."""

WORK = "work"
"""Where recipes of runs under way lie, and what their processes say."""

SPEC = "sweep.json"
FORMAT = 1

FREE = re.compile(r"(search\.trials|executor\.workers|executor\.use|budget(\.minutes)?|confirm(\.\w+)?)")
"""The keys of a sweep that may change while it is under way: no trial's result depends on them."""

KEPT: Mapping[str, Collection[type]] = {
    "name": [str],
    "metric": [str],
    "recipe_file": [str],
    "space_file": [str],
    "trials": [int, type(None)],
    "settings": [dict],
    "recipe": [dict],
    "overrides": [list],
}
"""What is kept of a sweep beside its direction, and the types it has."""

SETTINGS: Mapping[str, Collection[type]] = {
    "executor.threads": [int],
    "confirm.best": [int, type(None)],
    "confirm.seeds": [int, type(None)],
    "budget.minutes": [int, float, type(None)],
}
"""The settings of a kept sweep that are read again."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a sweep is, as it is kept."""

    name: str
    metric: str
    direction: Direction
    recipe_file: Path
    trials: int | None
    """How many there are, where that is known."""
    settings: Mapping[str, Any]
    """The sweep's own settings by dotted keys."""
    recipe: Mapping[str, Any]
    """The recipe's settings by dotted keys."""
    overrides: tuple[str, ...]
    """What the command line changes in the recipe for all trials; the settings have it."""
    space_file: Path
    """What the paths in the space are relative to: the sweep's file, or the recipe's where the space was typed."""


def spec_of(loaded: LoadedSweep) -> Spec:
    """What a loaded sweep is."""
    sweep, recipe = loaded.sweep, loaded.recipe
    size = getattr(sweep.search, "trials", None) or (loaded.space.size if sweep.search.finite else None)
    source = next(iter(loaded.places.values())).source
    return Spec(
        sweep.name,
        loaded.metric,
        "maximize" if loaded.direction == "max" else "minimize",
        loaded.file.resolve(),
        size,
        kept_settings(sweep.model_dump(mode="json", exclude={"recipe"})),
        kept_settings(recipe.model_dump(mode="json")),
        loaded.overrides,
        (loaded.file if source.startswith(COMMAND_LINE) else Path(source)).resolve(),
    )


def sweep_folder(runs: Path, name: str) -> Path:
    return runs / SWEEPS / name


def begin_sweep(folder: Path, spec: Spec) -> None:
    """Keep what the sweep is, whose lease the caller has, or see that it is still the same.

    Raises UsageError where the folder holds another sweep of this name: its trials could not be compared.
    """
    with disk_errors(folder):
        (folder / RUNS).mkdir(parents=True, exist_ok=True)
        (folder / WORK).mkdir(exist_ok=True)
    if (folder / SPEC).exists():
        before = read_spec(folder)
        changed = [each for each in settings_changes(before.settings, spec.settings) if not FREE.fullmatch(each.what)]
        told = [f"  sweep    {change}" for change in changed]
        told += [f"  recipe   {change}" for change in settings_changes(before.recipe, spec.recipe)]
        if told:
            lines = "\n".join(told)
            raise UsageError(
                f"sweep {spec.name} was begun with other settings:\n{lines}\n"
                f"change `name` to begin another one, or remove {folder}"
            )
    write_json(folder / SPEC, {"format": FORMAT, **_as_json(spec)}, checked=True)


def read_spec(folder: Path) -> Spec:
    """Read what a sweep is. Raises UnusableError if the file is damaged, changed or of another format."""
    path = folder / SPEC
    try:
        kept = read_json(path)
        if kept["format"] != FORMAT:
            raise UnusableError(f"{path} is of format {kept['format']!r:.80}, which this lmkit cannot read")
        _check_kept(kept)
        return Spec(
            kept["name"],
            kept["metric"],
            kept["direction"],
            Path(kept["recipe_file"]),
            kept["trials"],
            kept["settings"],
            kept["recipe"],
            tuple(kept.get("overrides", ())),
            Path(kept.get("space_file", kept["recipe_file"])),
        )
    except FileNotFoundError as cause:
        raise UnusableError(
            f"this sweep's record is missing: {path}; put back a copy of it, or repeat the same `lmkit sweep` command, "
            "which writes it anew"
        ) from cause
    except (OSError, ValueError, KeyError, TypeError) as cause:
        why = f"it has no {cause}" if isinstance(cause, KeyError) else getattr(cause, "strerror", None) or cause
        if isinstance(cause, JSONDecodeError):
            why = f"it is not JSON from line {cause.lineno} on" if cause.doc.strip() else "it is empty"
        raise UnusableError(
            f"this sweep's record is damaged: {path}: {why}; move it away: the same `lmkit sweep` command writes it "
            "anew"
        ) from cause


def _check_kept(kept: Mapping[str, Any]) -> None:
    """Raises ValueError, or KeyError, for values of which no `Spec` can be made."""
    if kept["direction"] not in ("maximize", "minimize"):
        raise ValueError(f"direction is {kept['direction']!r:.80}, neither maximize nor minimize")
    for key, types in KEPT.items():
        if key in kept or key not in ("overrides", "space_file"):
            _check_type(key, kept[key], types)
    if not all(isinstance(text, str) for text in kept.get("overrides", ())):
        raise ValueError("overrides are no texts")
    for key, types in SETTINGS.items():
        _check_type(f"settings.{key}", kept["settings"].get(key), types)


def _check_type(key: str, value: Any, types: Collection[type]) -> None:
    if type(value) not in types:
        raise ValueError(f"{key} is {value!r:.80}")


def list_sweeps(runs: Path) -> list[Path]:
    """List the folders of all sweeps in a folder of runs, by name; those of damaged sweeps too."""
    folders = (runs / SWEEPS).iterdir() if (runs / SWEEPS).is_dir() else ()
    return sorted(folder for folder in folders if is_sweep_folder(folder))


def is_sweep_folder(folder: Path) -> bool:
    """Whether a folder has one of a sweep's own files, or something in its place."""
    return any(os.path.lexists(folder / name) for name in (SPEC, JOURNAL))


def find_sweep(runs: Path, name: str) -> Path:
    """The folder of a sweep. Raises UsageError where there is none of the name."""
    folder = sweep_folder(runs, name)
    if NAME.fullmatch(name) and is_sweep_folder(folder):
        return folder
    near = nearest(name, [path.name for path in list_sweeps(runs)])
    meant = f"; did you mean {near!r}?" if near else "; `lmkit sweeps list` lists what there is"
    raise UsageError(f"no sweep is called {name!r} in {runs}{meant}")


def settings_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What differs between settings, of a sweep or a recipe, by dotted keys."""
    return changes({"settings": before}, {"settings": now})


def _as_json(spec: Spec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "metric": spec.metric,
        "direction": spec.direction,
        "recipe_file": str(spec.recipe_file),
        "trials": spec.trials,
        "settings": spec.settings,
        "recipe": spec.recipe,
        "overrides": redacted_value(list(spec.overrides)),
        "space_file": str(spec.space_file),
    }

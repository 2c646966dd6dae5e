"""Packages: those that are installed, and those of them that a run's numbers can depend on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from email import message_from_string
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, distributions

COMPUTING = ("torch", "pytorch-lightning", "transformers", "tokenizers", "numpy", "scipy", "pyarrow")
"""What runs compute with."""

SHOWING = ("rich", "typer", "wandb")
"""What lmkit requires to show or mirror a run, which computes nothing of it."""


def installed_packages() -> dict[str, str]:
    """The version of every installed package, by its name; looked up once."""
    return dict(_installed())


@cache
def _installed() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for dist in distributions():
        # Its description, which `dist.metadata` would parse as well, begins with the first empty line.
        text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
        head = message_from_string(text.partition("\n\n")[0])
        if head["Name"]:
            found.setdefault(head["Name"], head["Version"])  # of several, the one that is imported is found first
    return dict(sorted(found.items(), key=lambda package: package[0].lower()))


def needed_packages(distributions: Iterable[str]) -> set[str]:
    """These distributions and all that they require, directly or not, by their canonical names, installed or missing.

    What is required for an extra alone is none of them, unless a requirement names the extra; nor is what only
    shows a run.
    """
    from packaging.utils import canonicalize_name

    found: dict[str, set[str]] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(canonicalize_name(name), frozenset()) for name in distributions]
    while waiting:
        name, extras = waiting.pop()
        known = found.get(name)
        if name in SHOWING or (known is not None and extras <= known):
            continue
        found[name] = (known or set()) | extras
        waiting.extend(_requirements(name, extras))
    return set(found)


def canonical_versions(packages: Mapping[str, str]) -> dict[str, str]:
    """Versions by the packages' canonical names, so that `PyYAML` is `pyyaml`."""
    from packaging.utils import canonicalize_name

    return {canonicalize_name(name): version for name, version in packages.items()}


def _requirements(name: str, extras: Iterable[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """What an installed distribution requires here, with the extras it asks for; nothing of one that is missing."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        texts = distribution(name).requires or ()
    except PackageNotFoundError:
        return
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)

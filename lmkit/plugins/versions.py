"""Versions of lmkit that plugins ask for.

Nearly all ask for a lowest version alone. That is compared here, since importing `packaging` would take a tenth of the
time of `lmkit check`; everything else is left to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lmkit.errors import LmkitError

LOWEST = re.compile(r"\s*>=\s*(\d+(?:\.\d+)*)\s*")
NAME = re.compile(r"lmkit\b(?![.-])", re.IGNORECASE)


def needed_versions(requirements: Iterable[str]) -> str | None:
    """Return the versions of lmkit that a distribution with these requirements needs; None where it does not say."""
    for text in requirements:
        name = NAME.match(text)
        if name is None:
            continue
        bare = text[name.end() :]
        if not bare.strip() or LOWEST.fullmatch(bare):
            return bare.strip() or None
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.name.lower() == "lmkit" and (requirement.marker is None or requirement.marker.evaluate()):
            return str(requirement.specifier) or None
    return None


def fits(needed: str, version: str) -> bool:
    """Whether a version of lmkit is one of those needed. Raises LmkitError for what is not a range of versions."""
    lowest = LOWEST.fullmatch(needed)
    if lowest and re.fullmatch(r"\d+(\.\d+)*", version):
        return _release(version) >= _release(lowest[1])
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(needed).contains(version, prereleases=True)
    except InvalidSpecifier as cause:
        raise LmkitError(f"says that it needs lmkit {needed!r}, which is no range of versions") from cause


def _release(version: str) -> list[int]:
    """The numbers of a version; 1 and 1.0 are one version."""
    numbers = [int(number) for number in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers

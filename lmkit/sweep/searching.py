"""A search built, and every point it returns checked before a sweep tries it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmkit.answering import Answering
from lmkit.catalog import Catalog
from lmkit.kinds.search import Direction, History, Search, Space
from lmkit.sweep.schema import Sweep


def build_search(sweep: Sweep, space: Space, direction: Direction, catalog: Catalog) -> AnsweredSearch:
    """The search of a sweep. Raises PluginError where it cannot be built."""
    answering = catalog.answering("search", sweep.search.use)
    search = catalog.build("search", sweep.search, space=space, seed=sweep.seed, direction=direction)
    if not callable(search):
        raise answering.wrong(f"was built as a {type(search).__name__}, which is no function of a trial's number")
    return AnsweredSearch(search, frozenset(space.dimensions), answering)


@dataclass(frozen=True, slots=True)
class AnsweredSearch:
    """Passes each call on. Raises PluginError where the search fails, or returns no point of the space."""

    search: Search
    paths: frozenset[str]
    answering: Answering

    def __call__(self, number: int, history: History) -> Mapping[str, Any] | None:
        """The settings of a trial by path; None at the end of the search."""
        with self.answering:
            settings: Any = self.search(number, history)
        if settings is None:
            return None
        if not isinstance(settings, Mapping) or settings.keys() != self.paths:
            given = f"settings of {', '.join(map(str, settings)) or 'nothing'}" if isinstance(settings, Mapping) else ""
            wanted = ", ".join(sorted(self.paths))
            what = f"returned {given or f'{settings!r:.60}'} for trial {number}; the space has {wanted}"
            raise self.answering.wrong(what, self.search)
        try:
            json.dumps(dict(settings), allow_nan=False)
        except (TypeError, ValueError) as cause:
            what = f"returned settings for trial {number} that cannot be written as JSON: {cause}"
            raise self.answering.wrong(what, self.search) from cause
        return settings

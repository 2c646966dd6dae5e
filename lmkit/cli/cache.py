"""`lmkit cache`: what is kept to save work, and how to be rid of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from lmkit.data.cache import MADE, cache_folder, clear_cache, list_cache
from lmkit.errors import UsageError
from lmkit.spelling import nearest
from lmkit.terminal import print_json

MEANINGS = {
    "rows": "read, transformed, checked and divided",
    "tokenizers": "fitted on training texts",
    "features": "rows as token ids",
}
DAY = 86_400.0


def list_command(as_json: bool) -> None:
    """What the cache holds, by sort."""
    kept = list_cache()
    if as_json:
        sorts = [{**asdict(one), "used": _when(one.used)} for one in kept]
        print_json({"folder": str(cache_folder()), "sorts": sorts})
        return
    for one in kept:
        entries = f"{one.entries:,} entr{'y' if one.entries == 1 else 'ies'}"
        used = _when(one.used)
        told = [MEANINGS.get(one.sort, "kept by a plugin"), *([f"last used {used[:10]}"] if used else [])]
        print(f"{one.sort:<12}{entries:>14}{one.size / 1e6:>12,.1f} MB   {', '.join(told)}")
    print(f"{sum(one.size for one in kept) / 1e6:,.1f} MB in {cache_folder()}")


def clear_command(sorts: Sequence[str], unused: float | None) -> None:
    """Remove what is kept of these sorts, by default all that lmkit makes again by itself."""
    there = [one.sort for one in list_cache()]
    for sort in sorts:
        if sort not in there and sort not in MADE:
            near = nearest(sort, {*there, *MADE})
            meant = f"; did you mean {near!r}?" if near else f"; there are {', '.join(there) or 'none'}"
            raise UsageError(f"the cache keeps nothing called {sort!r}{meant}")
    removed = clear_cache(sorts or MADE, (unused or 0) * DAY)
    count = f"{removed.entries:,} entr{'y' if removed.entries == 1 else 'ies'}"
    print(f"removed {count}, {removed.size / 1e6:,.1f} MB, from {cache_folder()}")


def _when(used: float | None) -> str | None:
    return datetime.fromtimestamp(used, UTC).isoformat(timespec="seconds") if used is not None else None

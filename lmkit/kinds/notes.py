"""Notes: what a source noticed while it read, in words; they travel with its table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

FIRST = 5
"""Numbers of lines that a note names."""

_KEY = b"lmkit.notes"


def with_notes(table: pa.Table, notes: Sequence[str]) -> pa.Table:
    """Return the table with these notes instead of its own. `lmkit data`, `run` and the ledger show them."""
    others = {key: value for key, value in (table.schema.metadata or {}).items() if key != _KEY}
    return table.replace_schema_metadata(others | ({_KEY: json.dumps(list(notes)).encode()} if notes else {}))


def notes_of(table: pa.Table) -> tuple[str, ...]:
    """Return the notes of a table, in the order in which they were made."""
    return tuple(json.loads((table.schema.metadata or {}).get(_KEY, b"[]")))


def on_lines(numbers: Sequence[int]) -> str:
    """Return the numbers of lines as a note names them: `line 3`, or `lines 3, 8, …` where there are many."""
    more = ", …" if len(numbers) > FIRST else ""
    return f"line{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers[:FIRST]))}{more}"

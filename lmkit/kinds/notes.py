"""Notes: what a source noticed while it read, in words; they travel with its table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

FIRST = 5
"""Numbers of lines that a note names."""

_KEY = b"lmkit.notes"
_MISFITS = b"lmkit.misfits"


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


def with_misfits(table: pa.Table, misfits: Mapping[str, str]) -> pa.Table:
    """Return the table with what does not fit of its columns: by name, why their values are kept as text.

    Such a column may be anything that no setting names. A task that reads it is refused with these words.
    """
    others = {key: value for key, value in (table.schema.metadata or {}).items() if key != _MISFITS}
    return table.replace_schema_metadata(others | ({_MISFITS: json.dumps(dict(misfits)).encode()} if misfits else {}))


def misfits_of(table: pa.Table) -> dict[str, str]:
    """Return why columns of the table are kept as text, by their names."""
    return dict(json.loads((table.schema.metadata or {}).get(_MISFITS, b"{}")))


def as_text(value: Any) -> str | None:
    """Return a value of JSON as text: a text itself where it is not also JSON, all else as JSON."""
    if value is None or (isinstance(value, str) and value.isprintable() and from_text(value) is value):
        return value
    return json.dumps(value)


def from_text(text: str | None) -> Any:
    """Return the value that `as_text` was given."""
    try:
        return text if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text

"""Leaks: secret values of a recipe's variables that are found in rows; these are refused, and never changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from lmkit.data.columns import is_list
from lmkit.errors import DataError
from lmkit.redaction import named_secrets


def refuse_secrets(table: pa.Table, where: str) -> None:
    """Raises DataError for a row that holds the value of a variable that a recipe names as `${env:NAME}`."""
    secrets = named_secrets()
    for column in table.column_names if secrets else ():
        for texts in _texts(table[column]):
            name = _held(texts, secrets)
            if name is not None:
                raise DataError(
                    f"{where}: column {column!r} holds the value of the environment variable {name}, which the recipe "
                    f"names as ${{env:{name}}}. What comes from a variable is taken for a secret and written nowhere; "
                    "take it out of the rows, or, if it is none, write it into the recipe as it is"
                )


def _texts(values: pa.ChunkedArray | pa.Array) -> Iterator[pa.ChunkedArray | pa.Array]:
    """The columns of text in a column of any type."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        yield from _texts(values.cast(kind.value_type))
    elif pa.types.is_struct(kind):
        for part in values.flatten():
            yield from _texts(part)
    elif pa.types.is_map(kind):
        yield from _texts(
            pc.list_flatten(values.cast(pa.list_(pa.struct([("k", kind.key_type), ("v", kind.item_type)]))))
        )
    elif is_list(kind):
        yield from _texts(pc.list_flatten(values))
    elif pa.types.is_string_view(kind):
        yield values.cast(pa.string())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield values


def _held(texts: pa.ChunkedArray | pa.Array, secrets: Mapping[str, str]) -> str | None:
    """The variable whose value is in one of the texts, if one is."""
    for value, name in secrets.items():
        if pc.any(pc.match_substring(texts, value, ignore_case=True)).as_py():
            return name
    return None

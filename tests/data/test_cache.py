"""The cache itself: what is read is what was written, whatever became of the file meanwhile."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models

from lmkit.component import ComponentConfig
from lmkit.data.cache import cache_folder, cached
from lmkit.data.cached_features import cached_features
from lmkit.data.tokenizers import cached_tokenizer
from lmkit.errors import DataError, ResourceError
from lmkit.kinds.task import Features, Ragged
from lmkit.kinds.tokenizer import Tokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def number(made: list[int], content: bytes = b"seven") -> tuple[bytes, bool]:
    """A value in the cache; each time that it is made, `made` is longer."""

    def make() -> bytes:
        made.append(1)
        return content

    return cached("numbers", "seven.bin", pa.Buffer.to_pybytes, make, lambda value: lambda path: _put(path, value))


def _put(path: Path, value: bytes) -> None:
    path.write_bytes(value)


def test_whichever_bit_is_flipped_what_is_read_is_what_was_written(cache: Path) -> None:
    made: list[int] = []
    number(made)
    entry = cache / "numbers" / "seven.bin"
    whole = entry.read_bytes()

    for place in range(0, len(whole) * 8, 5):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        entry.write_bytes(damaged)

        made.clear()
        assert number(made) == (b"seven", False)
        assert made == [1]
        assert number(made) == (b"seven", True)


def test_an_empty_value_is_kept_and_an_empty_file_is_none(cache: Path) -> None:
    made: list[int] = []
    number(made, b"")
    assert number(made, b"") == (b"", True)

    (cache / "numbers" / "seven.bin").write_bytes(b"")

    assert number(made, b"") == (b"", False)
    assert len(made) == 2


def test_features_with_an_absurd_length_in_them_are_made_again_and_no_such_room_is_asked_for() -> None:
    ids = [[7] * 50, [8] * 60]
    made = Features({"input_ids": Ragged.from_lists(ids)}, np.array([50, 60]), np.array([0, 0]))
    cached_features("key", lambda: made)
    entry = cache_folder() / "features" / "key.arrow"
    content = bytearray(entry.read_bytes())
    at = content.find(np.array([0, 50, 110]).astype("<i8").tobytes())
    assert at > 0
    content[at + 20] = 1  # the end of the last row: 110 and some four thousand million
    entry.write_bytes(content)

    found, hit = cached_features("key", lambda: made)

    assert not hit
    assert found.columns["input_ids"].offsets.tolist() == [0, 50, 110]  # type: ignore[union-attr]
    again, hit = cached_features("key", lambda: made)
    assert hit
    assert again.columns["input_ids"].values.tolist() == ids[0] + ids[1]  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"null"], ids=["deep", "no text", "nothing"])
def test_a_tokenizer_of_other_content_is_fitted_again(content: bytes) -> None:
    def make() -> Tokenizer:
        return Tokenizer(Backend(models.WordLevel({"a": 0, "b": 1}, unk_token="a")), 0, 0, 0, 0)

    def tokenizer() -> Tokenizer:
        return cached_tokenizer(ComponentConfig(use="words"), make, "x 1", lambda: iter(["a b"]), make)

    first = tokenizer()
    (entry,) = (cache_folder() / "tokenizers").glob("*.json")
    whole = entry.read_bytes()
    entry.write_bytes(content)

    assert tokenizer().to_json() == first.to_json()
    assert entry.read_bytes() == whole


def test_an_error_of_what_makes_an_entry_is_not_the_caches() -> None:
    def make() -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", "rows.csv")

    with pytest.raises(PermissionError, match=r"rows\.csv"):
        cached("numbers", "seven.bin", pa.Buffer.to_pybytes, make, lambda value: None)
    with pytest.raises(DataError, match="no rows"):
        cached("numbers", "seven.bin", pa.Buffer.to_pybytes, _refuse, lambda value: None)


def _refuse() -> bytes:
    raise DataError("no rows")


def test_a_cache_that_may_not_be_written_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", mkdir)

    with pytest.raises(ResourceError, match="numbers may not be written .*LMKIT_CACHE"):
        number([])

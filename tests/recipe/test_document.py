"""YAML as recipes are read and written: 1.2 scalars, places, bounds, and what is no recipe at all."""

from __future__ import annotations

import math
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmkit.errors import RecipeError
from lmkit.recipe.document import MAX_BYTES, MAX_DEPTH, dump_document, parse_document, parse_value, read_document


def parsed(text: str) -> Any:
    return parse_document(text, "r.yaml").plain()


def fault(text: str) -> str:
    with pytest.raises(RecipeError) as raised:
        parse_document(text, "r.yaml")
    return str(raised.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("3e-4", 3e-4),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("2.", 2.0),
        ("010", 10),
        ("0o17", 15),
        ("0xFF", 255),
        ("-7", -7),
        ("+7", 7),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_plain_scalars_are_those_of_the_core_schema_of_yaml_1_2(written: str, value: Any) -> None:
    read = parsed(f"key: {written}")["key"]

    assert read == value
    assert type(read) is type(value)


def test_dot_nan_is_not_a_number() -> None:
    assert math.isnan(parsed("key: .nan")["key"])


@pytest.mark.parametrize(
    "written",
    ["no", "yes", "on", "off", "y", "N", "12:30", "190:20:30", "1_000", "0b11", "2024-01-01", "=", "e5", "tRue", "nan"],
)
def test_what_only_yaml_1_1_took_for_something_else_is_text(written: str) -> None:
    assert parsed(f"key: {written}") == {"key": written}


@pytest.mark.parametrize("written", ["'7'", '"7"', "'true'", '"3e-4"', "'null'", "''", "|-\n  7", ">-\n  7"])
def test_what_stands_in_quotes_or_in_a_block_is_text(written: str) -> None:
    assert isinstance(parsed(f"key: {written}")["key"], str)


def test_a_key_is_text_whatever_it_looks_like() -> None:
    assert parsed("{1: a, true: b, null: c, 3e-4: d}") == {"1": "a", "true": "b", "null": "c", "3e-4": "d"}


def test_every_value_and_every_key_knows_its_line_and_column() -> None:
    tree = parse_document("train:\n  epochs: 3\n  splits: [a, {b: 1}]\n", "r.yaml")

    assert str(tree.key_place("train")) == "r.yaml:1:1"
    assert str(tree.find(("train", "epochs")).place) == "r.yaml:2:11"
    assert str(tree.find(("train",)).key_place("splits")) == "r.yaml:3:3"
    assert str(tree.find(("train", "splits", 1, "b")).place) == "r.yaml:3:19"


def test_the_deepest_node_on_the_way_stands_for_one_that_is_not_there() -> None:
    tree = parse_document("train:\n  epochs: 3\n", "r.yaml")

    assert tree.find(("train", "epochs", "more", 7)).plain() == 3
    assert tree.find(("evaluate",)) is tree


def test_all_doubled_keys_are_told_at_once_and_where_they_were_first() -> None:
    told = fault("a: 1\nb: {c: 1, d: 2, c: 3}\na: 2\n").splitlines()

    assert told == [
        "r.yaml:2:17  b.c: is given twice; first at r.yaml:2:5",
        "r.yaml:3:1  a: is given twice; first at r.yaml:1:1",
    ]


def test_keys_of_two_types_that_read_alike_are_doubled() -> None:
    assert "1: is given twice" in fault("{1: a, '1': b}")


def test_a_key_that_is_no_name_is_a_fault() -> None:
    assert fault("? [a, b]\n: 1\n") == "r.yaml:1:3  a key must be a plain name"


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert parsed("{<<: {a: 1}, b: 2}") == {"<<": {"a": 1}, "b": 2}


def test_tags_construct_nothing(tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    told = fault(f"key: !!python/object/apply:os.mkdir ['{witness}']")

    assert told.endswith("has the tag 'tag:yaml.org,2002:python/object/apply:os.mkdir'; tags are not read")
    assert not witness.exists()
    assert "tags are not read" in fault("key: !mine a") and parsed("key: !!str a") == {"key": "a"}


def test_aliases_are_followed() -> None:
    assert parsed("a: &x {lr: 3e-4}\nb: *x\n") == {"a": {"lr": 3e-4}, "b": {"lr": 3e-4}}


def test_a_billion_laughs_are_cut_short() -> None:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]

    began = time.process_time()
    told = fault("\n".join(lines))

    assert "holds more than 20,000 values, its aliases followed" in told
    assert time.process_time() - began < 5


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x [*x, *x, *x]", "&x {a: *x}"])
def test_an_alias_inside_of_what_it_names_is_too_deep(text: str) -> None:
    assert "is nested deeper than 50 levels" in fault(text)


def test_depth_is_bounded() -> None:
    def nested(levels: int) -> str:
        return "[" * levels + "]" * levels

    assert parsed(nested(MAX_DEPTH + 1)) is not None
    assert fault(nested(MAX_DEPTH + 2)) == f"r.yaml:1:{MAX_DEPTH + 2}  is nested deeper than 50 levels"
    assert "is nested deeper than 50 levels" in fault(nested(20_000))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: b: c", "r.yaml:1:5  not YAML: mapping values are not allowed here"),
        ("a: 'x", "r.yaml:1:6  not YAML: found unexpected end of stream"),
        ("a: *b", "r.yaml:1:4  not YAML: found undefined alias 'b'"),
        ("a: 1\n\tb: 2", "r.yaml:2:1  not YAML: found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2", "r.yaml:2:1  not YAML: but found another document"),
        ("a: \x01", "r.yaml  not YAML: unacceptable character #x0001"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_place(text: str, told: str) -> None:
    assert fault(text).startswith(told)


def test_an_empty_document_is_an_empty_mapping() -> None:
    assert parsed("") == parsed("# only a comment\n") == {}


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: films\n")

    assert read_document(path).plain() == {"name": "films"}


def test_windows_line_ends_are_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"name: films\r\nseed: 3\r\n")

    tree = read_document(path)

    assert tree.plain() == {"name": "films", "seed": 3}
    assert (tree.find(("seed",)).place.line, tree.find(("seed",)).place.column) == (2, 7)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name: caf\xe9\n", "is not UTF-8: byte 9 cannot be read"),
        ("name: films\n".encode("utf-16"), "is not UTF-8: byte 0 cannot be read"),
        (b"#" * (MAX_BYTES + 1), "is 250,001 bytes; a recipe has at most 250,000"),
    ],
)
def test_a_file_that_is_no_text_of_ours_is_told_by_name(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)

    with pytest.raises(RecipeError) as raised:
        read_document(path)

    assert str(raised.value) == f"{path}  {told}"


def test_a_file_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml  cannot be read: No such file or directory"):
        read_document(tmp_path / "none.yaml")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is no file"):
        read_document(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-5", 3e-5), ("", None), ("~", None), ("[a, 1]", ["a", 1]), ("{use: sgd}", {"use": "sgd"}), ("'7'", "7")],
)
def test_one_value_is_read_as_in_a_file_and_placed_where_it_was_given(text: str, value: Any) -> None:
    node = parse_value(text, "command line")

    assert node.plain() == value
    assert str(node.place) == "command line"


@pytest.mark.parametrize(
    "text",
    [
        *("|", ">", ",", "\t", " ", "#", ":", "*.csv", "#1.csv", "x #1.csv", "a: b.csv", "a:", "&a.csv", "!x.csv"),
        *("%a", "@a", "`a`", "- a", "-", "? a", "---", "...", "a, b", "a]b", "a{b", "<<", "no", "12:30", "C:\\x.csv"),
        *("one\ntwo", "漢 👍", "\\n", "1e-3 # slow", "3 #", "a\u2028b"),
    ],
)
def test_a_value_without_brackets_and_quotes_means_itself(text: str) -> None:
    assert parse_value(text, "command line").plain() == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1].csv", "not YAML: .*; this very text is written '\"\\[1\\].csv\"'"),
        ("{a}.csv", "not YAML: .*; this very text is written '\"{a}.csv\"'"),
        ("'a' b", "not YAML: .*; this very text is written "),
        ('"a', "not YAML: .*; this very text is written "),
        ("[a, b] # c", "'# c' would not be read, as a comment; this very text is written '\"\\[a, b\\] # c\"'"),
        ("{a: 1}#2", "not YAML|would not be read"),
        ("'a' #b", "'#b' would not be read"),
        ("a\x1bb", "not YAML: .*special characters are not allowed"),
        ("a\ud83d", "not YAML: .*special characters are not allowed"),
    ],
)
def test_what_cannot_be_read_says_how_the_text_itself_is_written(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_value(text, "command line")


@pytest.mark.parametrize("text", ["[1].csv", "{a}.csv", "'a' b", '"a', "[a, b] # c"])
def test_the_way_that_is_told_gives_the_text(text: str) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_value(text, "command line")
    written = str(raised.value).rpartition("this very text is written ")[2]

    [word] = shlex.split(written)
    assert parse_value(word, "command line").plain() == text


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | texts
    | st.sampled_from(["no", "010", "12:30", "3e-4", ".inf", "~", "", " a", "a ", "- a", "#", "a: b", "'", "<<", "!x"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@settings(deadline=None)
@given(values)
@example({"": {"true": [[], {}], "1": "1"}})
@example({"text": "a line\n\n  indented\nlast, without end", "mark": "\ufeff", "break": "\u2028\x85"})
def test_what_is_written_reads_back_as_it_was(value: Any) -> None:
    read = parsed(dump_document(value))

    assert read == value
    assert repr(read) == repr(value)  # 1, 1.0 and True are equal, and yet not the same


def test_equal_values_are_written_out_and_not_as_aliases() -> None:
    shared = ["test"]

    assert "&" not in dump_document({"a": shared, "b": shared})


def test_keys_are_written_in_their_order() -> None:
    assert list(parsed(dump_document({"b": 1, "a": 2}))) == ["b", "a"]


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ab1.:-[]{},&*!|>'\"#?%@ \n\t~"), max_size=30) | st.text(max_size=30))
def test_any_text_is_a_tree_or_a_fault(text: str) -> None:
    try:
        value, faults = parsed(text), None
    except RecipeError as error:
        value, faults = None, error.faults

    if faults is None:
        assert repr(parsed(dump_document(value))) == repr(value)
    else:
        assert faults and all(fault.place.source.startswith("r.yaml") and fault.message for fault in faults)

"""Redaction: what is a secret, where it is taken out, and what is left alone."""

from __future__ import annotations

import html
import json
import re
import shlex
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pytest

from lmkit import redaction
from lmkit.data.leaks import refuse_secrets
from lmkit.errors import DataError, Fault, Place, RecipeError, ResourceError
from lmkit.recipe.environment import filled
from lmkit.records.files import write_json
from lmkit.redaction import named_secrets, redacted, redacted_value
from lmkit.terminal import guarded_streams

KEY = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    "name", ["WANDB_API_KEY", "KEY", "GITHUB_TOKEN", "my_secret", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "CREDENTIALS"]
)
def test_a_variable_named_like_a_secret_is_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, KEY)

    assert redacted(f"401 for {KEY}, {KEY.upper()}") == f"401 for ${{env:{name}}}, ${{env:{name}}}"
    assert redacted_value({"a": [KEY, 1], KEY: None}) == {"a": [f"${{env:{name}}}", 1], KEY: None}


@pytest.mark.parametrize("name", ["KEYRING_BACKEND", "TOKENIZERS_PARALLELISM", "MONKEY", "PASSWORDS", "HOST"])
def test_other_words_in_a_name_say_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, KEY)

    assert redacted(KEY) == KEY


@pytest.mark.parametrize(
    "value", ["/tmp/keys/wandb.txt", "~/.ssh/id_ed25519", "123456789012345", "1e-400000000", "short"]
)
def test_paths_numbers_and_short_values_are_no_secrets(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SOME_KEY", value)

    assert redacted(f"a {value}") == f"a {value}"


def test_random_letters_are_a_secret_also_where_they_begin_with_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "/K7MDENG/bPxRfiCYEXAMPLEKEY")

    assert redacted("with /K7MDENG/bPxRfiCYEXAMPLEKEY") == "with ${env:AWS_SECRET_ACCESS_KEY}"


def test_a_file_here_is_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("service-account.json").touch()
    monkeypatch.setenv("GOOGLE_CREDENTIALS", "service-account.json")

    assert redacted("reads service-account.json") == "reads service-account.json"


def test_a_value_that_a_recipe_names_is_one_and_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "hunter2")
    assert redacted("of hunter2") == "of hunter2"

    assert filled("of-${env:TEAM}") == "of-hunter2"
    monkeypatch.delenv("TEAM")

    assert redacted("of Hunter2, HUNTER2") == "of ${env:TEAM}, ${env:TEAM}"
    assert redacted(redacted("of hunter2")) == "of ${env:TEAM}"


@pytest.mark.parametrize("value", ["abc", "true", "None", "3e-4", "/usr/share", "./films"])
def test_what_is_no_secret_is_left_although_a_recipe_names_it(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("THIS", value)
    filled("${env:THIS}")

    assert redacted(f"a {value} b") == f"a {value} b"


def test_a_word_that_a_recipe_names_is_hidden_in_messages_and_not_where_names_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUBSET", "train")
    monkeypatch.setenv("DB_PASSWORD", "horse")
    filled("${env:SUBSET} ${env:DB_PASSWORD}")

    assert redacted("no train, no horse") == "no ${env:SUBSET}, no ${env:DB_PASSWORD}"
    assert redacted("train, horse", "records") == "train, ${env:DB_PASSWORD}"
    assert (
        str(Fault(Place("a.yaml", 1, 2), "train.monitor", "no train")) == "a.yaml:1:2  train.monitor: no ${env:SUBSET}"
    )


@pytest.mark.parametrize(
    "form",
    [
        *(repr, ascii, lambda text: repr(text.encode()), lambda text: repr(bytearray(text, "utf-8"))),
        *(json.dumps, lambda text: json.dumps(text, ensure_ascii=False), lambda text: json.dumps(json.dumps(text))),
        lambda text: json.dumps(text).replace("/", "\\/"),
        *(quote, quote_plus, lambda text: quote(text, safe=""), lambda text: quote(text, safe="/+:&'=!~ ")),
        lambda text: re.sub(r"%..", lambda match: match[0].lower(), quote(text)),
        *(
            html.escape,
            lambda text: html.escape(text, quote=False),
            lambda text: html.escape(text).replace("x27", "39"),
        ),
        *(shlex.quote, lambda text: shlex.join(["curl", text])),
        *(lambda text: text.encode().hex(), lambda text: text.encode().hex().upper()),
        *(lambda text: b64encode(text.encode()).decode(), lambda text: urlsafe_b64encode(text.encode()).decode()),
        *(lambda text, user=user: b64encode(f"{user}:{text}".encode()).decode() for user in ("a", "ab", "abc")),
    ],
)
@pytest.mark.parametrize(
    "secret",
    ["with\"and\\and&and'é-0123", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE=", "a b/c?d=e f%20<g>\t漢👍", "p" * 16],
)
def test_a_secret_is_found_as_programs_write_it(
    monkeypatch: pytest.MonkeyPatch, form: Callable[[str], str], secret: str
) -> None:
    monkeypatch.setenv("SOME_SECRET", secret)

    left = redacted(f"before {form(secret)} after").removeprefix("before ").removesuffix(" after")

    assert left.count("${env:SOME_SECRET}") == 1
    assert not re.search(r"[A-Za-z0-9]{9}", left.replace("${env:SOME_SECRET}", "").replace("bytearray", ""))


def test_each_line_of_a_key_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEAAo\n-----END PRIVATE KEY-----"
    monkeypatch.setenv("DEPLOY_KEY", key)

    assert redacted(f"a\n{key}") == "a\n${env:DEPLOY_KEY}"
    assert "MII" not in redacted("  | MIIEvQIBADANBgkqhkiG9w0")
    assert redacted("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("https://ann:pw@host.org/a?b=1", "https://host.org/a?b=1"),
        ("https://ghp_abc@github.com/x.git", "https://github.com/x.git"),
        ("postgres://ann:pw@host:5432/db", "postgres://host:5432/db"),
        ("ssh://git@github.com/x.git", "ssh://git@github.com/x.git"),
        ("http://h/x?page=2&api_key=abc&n=1", "http://h/x?page=2&api_key=***&n=1"),
        ("http://h/x?X-Amz-Signature=abc#access_token=d", "http://h/x?X-Amz-Signature=***#access_token=***"),
        ("'http://h/x?token=a' said", "'http://h/x?token=***' said"),
        ("http://h/x?monkey=a&keys=3", "http://h/x?monkey=a&keys=3"),
        ("mail ann@host.org about a://b", "mail ann@host.org about a://b"),
    ],
)
def test_an_address_loses_what_lets_in(address: str, left: str) -> None:
    assert redacted(address) == left


def test_the_password_in_an_address_that_is_a_secret_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", "postgres://ann:swordfish@host/db")
    filled("${env:DATABASE}")

    assert redacted("access denied (password swordfish)") == "access denied (password ${env:DATABASE})"


def test_errors_tell_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", KEY)
    error = ResourceError(f"no entry with {KEY}")

    assert KEY not in f"{error} {error!r}"
    assert KEY not in str(RecipeError([Fault(Place(f"command line: a={KEY}"), "a", f"not {KEY}")]))


def test_what_is_printed_is_redacted_and_the_stream_is_as_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_TOKEN", KEY)
    before = sys.stderr

    with guarded_streams("stdout", "stderr", redacts=True):
        print(KEY)
        sys.stderr.writelines([f"{KEY}\n"])
        assert not sys.stderr.isatty()

    assert sys.stderr is before
    assert capsys.readouterr() == ("${env:MY_TOKEN}\n", "${env:MY_TOKEN}\n")


def test_a_structure_is_written_without_secrets_and_rows_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_TOKEN", KEY)
    write_json(tmp_path / "a.json", {"said": KEY})
    write_json(tmp_path / "rows.json", {"label": KEY}, rows=True)

    assert json.loads((tmp_path / "a.json").read_text()) == {"said": "${env:MY_TOKEN}"}
    assert json.loads((tmp_path / "rows.json").read_text()) == {"label": KEY}


@pytest.mark.parametrize(
    "rows",
    [
        pa.array([f"say {KEY} now"]),
        pa.array([f"say {KEY} now"], pa.large_string()),
        pa.array([["a", KEY]]),
        pa.array([{"a": {"b": KEY}}]),
        pa.array([KEY, KEY]).dictionary_encode(),
        pa.array([[("a", KEY)]], pa.map_(pa.string(), pa.string())),
        pa.chunked_array([["a"], [KEY]]),
    ],
)
def test_a_row_with_a_value_that_the_recipe_names_is_refused(monkeypatch: pytest.MonkeyPatch, rows: pa.Array) -> None:
    monkeypatch.setenv("TEAM", KEY)
    table = pa.table({"n": pa.array(range(len(rows))), "text": rows})
    refuse_secrets(table, "the source")
    filled("${env:TEAM}")

    with pytest.raises(DataError, match="column 'text' holds the value of the environment variable TEAM") as raised:
        refuse_secrets(table, "the source")
    assert KEY not in str(raised.value)


def test_a_short_word_that_a_recipe_names_may_stand_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE_NAME", "english")
    filled("${env:LANGUAGE_NAME}")

    assert named_secrets() == {}
    refuse_secrets(pa.table({"text": ["plain english"]}), "the source")


def test_redacting_a_log_line_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pattern is made once for an environment; what is left is a look at the variables and one search."""
    monkeypatch.setenv("MY_TOKEN", KEY)
    redacted("a")
    made: list[str] = []
    forms = redaction._forms
    monkeypatch.setattr(redaction, "_forms", lambda value: made.append(value) or forms(value))  # type: ignore[func-returns-value]
    for _ in range(100):
        redacted("step 1")
    assert made == []
    monkeypatch.setenv("OTHER_TOKEN", f"{KEY}-2")
    assert redacted(f"{KEY}-2") == "${env:OTHER_TOKEN}"
    assert made

"""Redaction: secrets are taken out of all text that lmkit composes.

Secret are the values of variables that a recipe names as `${env:NAME}`, those of variables whose name says so, such
as `WANDB_API_KEY`, and what an address holds to log in with. Where a value stood, its reference `${env:NAME}` stands.
Rows and predictions are never changed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

WORDS = {"KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS"}
"""A variable with one of these words in its name, between underscores, holds a secret."""

LONG = 12
"""Characters from which on a value is taken for a secret wherever it stands, and by its variable's name alone."""

SHORTEST = 4
"""Shorter values of variables that a recipe names are no secrets, and occur everywhere."""

Where = Literal["messages", "records", "structures"]
"""What a text is: of messages nothing depends on a word, in records names stand too, structures are read again."""

REFERENCE = r"\$\{env:[^}]*\}"
ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*)://([^\s\"'<>]+)")
QUERY = re.compile(r"([?&;#])([^=&;#\s]+)=([^&;#\s]*)")
SECRET_QUERY = re.compile(
    r"(^|[_.-])(key|token|secret|password|passwd|pwd|credentials?|signature|sig|auth|apikey)$", re.IGNORECASE
)


def redacted(text: str, where: Where = "messages") -> str:
    """The text without secrets, in whatever case they are written."""
    return _redacted(text, _known.pattern(where))


def redacted_value(value: Any, where: Where = "structures") -> Any:
    """The value with every text in it redacted; keys stay as they are."""
    return _redacted_inside(value, _known.pattern(where))


def note_reference(name: str) -> None:
    """A recipe names this variable, which is set: its value is a secret from now on."""
    _known.name(name)


def named_secrets() -> dict[str, str]:
    """The values that came from `${env:NAME}` and may stand in no row, each with its variable's name."""
    return {value: name for value, name in _known.named.items() if _is_long(name, value)}


def written_secret(text: str) -> str | None:
    """What of a recipe's text is secret by itself and has to come from a variable, and how; None where nothing is."""
    pattern, names = _known.pattern("structures") or (re.compile(REFERENCE), [])
    for match in pattern.finditer(text):
        if match.lastindex:
            name = names[match.lastindex - 1]
            return f"holds the value of the environment variable {name}, a secret by its name; write ${{env:{name}}}"
    if "://" in text and ADDRESS.sub(_without_login, text) != text:
        return "is an address with a password or a key in it; put that into an environment variable: ${env:NAME}"
    return None


def forget_secrets() -> None:
    """Begin anew with the environment as it is, for tests."""
    _known.named.clear()
    _known.told.clear()
    _known.seen = ()


Secrets = tuple[re.Pattern[str], list[str]] | None
"""What finds the secrets, and the variable of each of its groups; None where there are none."""


def _redacted(text: str, secrets: Secrets) -> str:
    if secrets is not None:
        pattern, names = secrets
        text = pattern.sub(
            lambda match: f"${{env:{names[match.lastindex - 1]}}}" if match.lastindex else match[0], text
        )
    return ADDRESS.sub(_without_login, text) if "://" in text else text


def _redacted_inside(value: Any, secrets: Secrets) -> Any:
    if isinstance(value, str):
        return _redacted(value, secrets)
    if isinstance(value, Mapping):
        return {key: _redacted_inside(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_redacted_inside(inner, secrets) for inner in value)
    return value


@dataclass
class _Secrets:
    """The secrets of this process: they stay secret when a variable is unset or changed."""

    named: dict[str, str] = field(default_factory=dict)
    """By value, the variable that a recipe names."""
    told: dict[str, str] = field(default_factory=dict)
    """By value, the variable whose name says that it is secret."""
    seen: tuple[tuple[str, str], ...] = ()
    """The environment that was looked through last."""

    def __post_init__(self) -> None:
        self._patterns: dict[Where, Secrets] = {}

    def name(self, name: str) -> None:
        value = os.environ.get(name, "")
        if len(value) >= SHORTEST and self.named.get(value) != name and _can_be_secret(value):
            self.named[value] = name
            self.seen = ()

    def pattern(self, where: Where) -> Secrets:
        now = tuple(os.environ.items())
        if now != self.seen:
            self.told |= {value: name for name, value in now if _tells(name) and _is_secret(value)}
            self.seen = now
            long = {value: name for value, name in self.named.items() if _is_long(name, value)}
            self._patterns = {
                "messages": _compiled(self.told | self.named),
                "records": _compiled(self.told | long),
                "structures": _compiled(self.told),
            }
        return self._patterns[where]


_known = _Secrets()


@lru_cache(1024)
def _tells(name: str) -> bool:
    """Whether a variable's name says that it holds a secret."""
    return not WORDS.isdisjoint(name.upper().split("_"))


@lru_cache(1024)
def _is_secret(value: str) -> bool:
    return len(value) >= LONG and _can_be_secret(value)


def _is_long(name: str, value: str) -> bool:
    """Whether a value that a recipe names is a secret wherever it stands: no word that means something there too."""
    return len(value) >= LONG or _tells(name)


def _can_be_secret(value: str) -> bool:
    """A path is none, and neither are a number and a boolean."""
    text = value.strip()
    try:
        float(text)
    except ValueError:
        return bool(text) and text.lower() not in ("true", "false", "null", "none") and not _is_path(text)
    return False


def _is_path(text: str) -> bool:
    """Whether a text is written as a path, or is one here: random letters may well begin with a slash."""
    if text.startswith(("~", "./", "../", "file:")) or re.match(r"[A-Za-z]:[\\/]", text):
        return True
    try:
        if text.startswith("/"):
            return os.path.exists("/" + text.strip("/").partition("/")[0])
        return os.path.exists(text)
    except ValueError:  # a NUL
        return False


def _compiled(values: Mapping[str, str]) -> Secrets:
    forms = {form: name for value, name in values.items() for form in _forms(value)}
    if not forms:
        return None
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    pattern = "|".join([REFERENCE, *(f"({form})" for form in longest_first)])
    return re.compile(pattern, re.IGNORECASE), [forms[form] for form in longest_first]


def _forms(value: str) -> Iterator[str]:
    """Patterns of how a value may be written: as it is or encoded, a password in it alone, and line by line."""
    yield _spelt(value)
    yield from _digits(value)
    if login := ADDRESS.match(value):
        password = login[2].partition("@")[0].partition(":")[2] if "@" in login[2] else ""
        yield from [_spelt(password)] if len(password) >= SHORTEST else []
    lines = value.split("\n") if "\n" in value else ()
    yield from (_spelt(line.strip()) for line in lines if len(line.strip()) >= LONG and not line.startswith("-----"))


def _spelt(value: str) -> str:
    """A pattern of the value in which each sign may be written as programs, JSON, addresses and pages write it."""
    return "".join(map(_spellings, value))


@lru_cache(1024)
def _spellings(sign: str) -> str:
    from html import escape
    from urllib.parse import quote

    if sign.isascii() and sign.isalnum():
        return sign
    in_json, number, data = json.dumps(sign)[1:-1], ord(sign), sign.encode("utf-8", "replace")
    forms = {
        *(sign, in_json, repr(sign)[1:-1], ascii(sign)[1:-1], json.dumps(in_json)[1:-1], f"\\u{number:04x}"),
        *(quote(sign, safe="", errors="replace"), "".join(f"%{byte:02x}" for byte in data)),
        *(repr(data)[2:-1], "".join(f"\\x{byte:02x}" for byte in data)),
        *(escape(sign), f"&#{number};", f"&#x{number:x};"),
    }
    forms |= {f"\\{sign}"} if sign.isprintable() and not sign.isspace() else set()
    forms |= {" ": {"+"}, "'": {"'\"'\"'", "'\\''"}}.get(sign, set())  # forms of web pages, and shells
    return f"(?:{'|'.join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form))))})"


def _digits(value: str) -> Iterator[str]:
    """The value in hexadecimal and base64, there at each of the three places where it may begin in a longer text."""
    from base64 import b64encode

    data = value.encode("utf-8", "replace")
    if len(data) < LONG:
        return  # what is left of it would be too short to be told from other text
    yield data.hex()
    for before in range(3):
        begin, end = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        yield "".join(map(_base64_sign, b64encode(b"\0" * before + data).decode()[begin:end]))


def _base64_sign(sign: str) -> str:
    return {"+": "[+-]", "/": "[/_]"}.get(sign, sign)


def _without_login(match: re.Match[str]) -> str:
    """An address without user and password, and without what its query is signed or let in by."""
    scheme, rest = match[1], match[2]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, _ = place.rpartition("@")
    if at and (":" in login or "ssh" not in scheme.lower()):
        rest = rest[len(login) + 1 :]
    return f"{scheme}://{QUERY.sub(_without_secret, rest)}"


def _without_secret(match: re.Match[str]) -> str:
    mark, key, value = match.groups()
    return f"{mark}{key}={'***' if value and SECRET_QUERY.search(key) else value}"

"""Stop words: texts without the words that are everywhere, the punctuation and spacing of the rest as they were."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import regex

from lmkit.builtin.transforms.config import LANGUAGES, StopWordsConfig
from lmkit.errors import PluginError
from lmkit.kinds.transform import Transform, each_text

LETTERS = r"[\w\u200c\u200d]"
WORD = regex.compile(
    rf"(\w(?:\.\w)+\.?(?!{LETTERS})"  # i.e., z.B.
    rf"|['’]?{LETTERS}+(?:['’-]{LETTERS}+)*)"  # don't, no-one, 'tis
)
"""A word; the library's `\\w` has the vowel signs of every script. The two joiners stand inside of Persian words."""

ELIDING = ("breton", "catalan", "french", "irish", "italian")
"""The languages that write a short word before a vowel as part of the next: l'homme, dell'arte."""

ELISIONS = 4
"""How many are looked for before one word, as in qu'aujourd'hui, and the word itself."""

REMEMBERED = 100_000
"""Different words of which it is known whether they stay."""


def build_stop_words(config: StopWordsConfig) -> Transform:
    stops = _stop_words(config)
    words = _Words(stops, config.language == "turkish", config.language in ELIDING)
    divided = _segmented if config.language == "chinese" else WORD.split
    if config.language == "chinese":
        _segmented("")  # so that a library that is missing is told before any row is read

    def without(text: str) -> str:
        return _joined(words.left(divided(text)))

    return each_text(without)


def _stop_words(config: StopWordsConfig) -> set[str]:
    """The words that go, as they are compared. The lists also hold numbers and punctuation, which are no words."""
    turkish = config.language == "turkish"
    listed: Iterable[str] = ()
    if config.language is not None:
        from stopwordsiso import stopwords

        listed = (word for word in stopwords(LANGUAGES[config.language]) if any(map(str.isalpha, word)))
        listed = (word.replace("\u2206", "δ") for word in listed)  # the Greek list has the sign for a difference there
    kept = {folded(word, turkish) for word in config.keep}
    return {folded(word, turkish) for word in (*listed, *config.extra)} - kept


def folded(word: str, turkish: bool = False) -> str:
    """What words are compared by: neither case, nor the form of their characters, nor the sort of apostrophe."""
    if turkish:
        word = word.replace("İ", "i").replace("I", "ı")
    return " ".join(unicodedata.normalize("NFC", word).casefold().replace("’", "'").rstrip(".").split())


class _Words:
    """Decides of each word whether it stays."""

    def __init__(self, stops: set[str], turkish: bool, elides: bool) -> None:
        self._stops = stops
        self._elides = elides
        self._longest = max((word.count(" ") + 1 for word in stops), default=1)
        self._begins = {word.partition(" ")[0] for word in stops if " " in word}
        self._folded: Callable[[str], str] = lru_cache(REMEMBERED)(lambda word: folded(word, turkish))
        self._rest: Callable[[str], str | None] = lru_cache(REMEMBERED)(self._rest_of)

    def left(self, pieces: Sequence[str]) -> list[str | None]:
        """The pieces, None for each that goes: a text's words at odd places, and what is between them at the even."""
        left: list[str | None] = [*pieces]
        left[1::2] = map(self._rest, pieces[1::2])
        place = 1
        while self._begins and place < len(pieces):
            end = self._end_of_phrase(pieces, place)
            left[place : end + 1] = [None] * (end + 1 - place)
            place = max(end, place) + 2
        return left

    def _rest_of(self, word: str) -> str | None:
        """What is left of a word: nothing of a stop word, all but the stop words that are elided before it."""
        for _ in range(ELISIONS):
            if self._folded(word) in self._stops:
                return None
            begin, apostrophe, _rest = word.replace("’", "'").partition("'")
            elided = self._elides and apostrophe and {self._folded(begin), f"{self._folded(begin)}'"} & self._stops
            if not elided:
                break
            word = word[len(begin) + 1 :]
        return word

    def _end_of_phrase(self, pieces: Sequence[str], place: int) -> int:
        """Where the longest stop word of several words that begins here ends; 0 where none does."""
        words, found = self._folded(pieces[place]), 0
        if words in self._begins:
            for gap in range(place + 1, min(place + 2 * self._longest, len(pieces)) - 1, 2):
                words = f"{words} {self._folded(pieces[gap + 1])}" if pieces[gap].isspace() else ""
                found = gap + 1 if words in self._stops else found
        return found


def _segmented(text: str) -> list[str]:
    """The text's words and what is between them, as `WORD.split` would give them if they were set apart."""
    try:
        import rjieba
    except ImportError as cause:
        raise PluginError(
            "stop words in Chinese need rjieba, which tells words apart and is not installed: "
            "pip install 'lmkit[chinese]'"
        ) from cause
    pieces = [""]
    for piece in rjieba.cut(text):
        if any(map(str.isalnum, piece)):
            pieces += [piece, ""]
        else:
            pieces[-1] += piece
    return pieces


def _joined(pieces: Iterable[str | None]) -> str:
    """The pieces as one text, without the second of the two spaces around a word that went."""
    made: list[str] = []
    gone = False
    for piece in pieces:
        if piece is None:
            gone = True
        elif gone and piece == " " and made and made[-1] == " ":
            continue  # what nearly always comes of it, told in short
        elif piece:
            if gone:
                left, piece = _closed_up(made.pop() if made else "", piece)
                made += [left] if left else []
            made += [piece] if piece else []
            gone = gone and not piece
    return "".join(made).rstrip() if gone else "".join(made)


def _closed_up(left: str, right: str) -> tuple[str, str]:
    """What stands on either side of a word that went, its own space taken away."""
    begins, ends = left[-1:], right[0]
    if ends.isspace():
        if begins.isspace() and "\n" in right[: len(right) - len(right.lstrip())] and "\n" not in left:
            return left.rstrip(), right
        if not begins or begins.isspace() or _opens(begins):
            return left, right.lstrip()
    elif begins.isspace() and left.strip() == "" and not ends.isalnum() and not _opens(ends):
        return "", right
    return left, right


def _opens(character: str) -> bool:
    """Whether what follows belongs to it: an opening bracket, a quotation mark."""
    return character in "\"'¿¡" or unicodedata.category(character) in ("Ps", "Pi")

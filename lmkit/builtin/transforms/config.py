"""Settings of the transforms."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from lmkit.kinds.transform import Changed, TransformConfig

REPEATS = 1_000_000
"""How often the counts of a pattern may repeat things in all: each is written out when the pattern is compiled."""

LANGUAGES = {
    "afrikaans": "af",
    "arabic": "ar",
    "armenian": "hy",
    "basque": "eu",
    "bengali": "bn",
    "breton": "br",
    "bulgarian": "bg",
    "catalan": "ca",
    "chinese": "zh",
    "croatian": "hr",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "esperanto": "eo",
    "estonian": "et",
    "finnish": "fi",
    "french": "fr",
    "galician": "gl",
    "german": "de",
    "greek": "el",
    "gujarati": "gu",
    "hausa": "ha",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "indonesian": "id",
    "irish": "ga",
    "italian": "it",
    "korean": "ko",
    "kurdish": "ku",
    "latin": "la",
    "latvian": "lv",
    "lithuanian": "lt",
    "malay": "ms",
    "marathi": "mr",
    "norwegian": "no",
    "persian": "fa",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "slovak": "sk",
    "slovenian": "sl",
    "somali": "so",
    "sotho": "st",
    "spanish": "es",
    "swahili": "sw",
    "swedish": "sv",
    "tagalog": "tl",
    "turkish": "tr",
    "ukrainian": "uk",
    "urdu": "ur",
    "vietnamese": "vi",
    "yoruba": "yo",
    "zulu": "zu",
}
"""The languages that stop words are kept for, and the ISO 639-1 codes that stopwordsiso has them under. Its Japanese
and Thai are left out: their words are not set apart, and nothing here can tell them."""


class LowerCaseConfig(TransformConfig):
    """Lower case, in every script that has one (`str.lower`). Applying it twice is applying it once."""

    use: Literal["lower-case"]


class UnicodeConfig(TransformConfig):
    """One spelling for characters that Unicode can write in several ways. Applying it twice is applying it once."""

    use: Literal["unicode"]

    form: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFC"
    """The normal form (Unicode Standard Annex 15). `NFC` writes é as one character, `NFD` as e and its accent. `NFKC`
    and `NFKD` also give up differences of looks: ﬁ becomes fi, ² becomes 2, full-width letters become plain ones."""

    strip_accents: bool = False
    """Leave accents out: é becomes e, ñ becomes n. The vowel signs of Arabic, Hebrew and the scripts of India, which
    are no accents, stay."""

    strip_control: bool = False
    """Leave control characters out, tabs and line ends apart: they come from damaged files and terminals."""


class WhitespaceConfig(TransformConfig):
    """One space for each run of whitespace, line ends included, and none at the ends of a text.

    Whitespace is what Unicode calls so, such as no-break and ideographic spaces, and the zero-width space. A byte order
    mark and a word joiner, which have no width and separate nothing, are left out. Applying it twice is applying it
    once.
    """

    use: Literal["whitespace"]


class StripHtmlConfig(TransformConfig):
    """The text of HTML, read as browsers read it (by lxml), however malformed it is.

    Tags and comments are left out, and so is what scripts and styles hold; entities become their characters; `<br>` and
    tags of blocks, such as `<p>`, become a space. `a < b` stays as it is. Applying it twice may do more than once: the
    text of `&amp;lt;b&amp;gt;` is `&lt;b&gt;`, whose text is `<b>`.
    """

    use: Literal["strip-html"]


class ReplaceConfig(TransformConfig):
    """Something else for each match of a regular expression, of the library `regex` (Python's own syntax, and more)."""

    use: Literal["replace"]

    pattern: Annotated[str, Field(min_length=1)]
    r"""What is replaced, such as `https?://\S+`. Single quotes keep YAML from reading backslashes itself. `(?i)` at its
    beginning ignores case. Classes such as `\w` know all of Unicode. A row that takes longer than ten seconds is an
    error that names the row and the pattern."""

    replacement: str = ""
    r"""What stands there instead; `\1` and `\g<name>` are the pattern's groups. By default nothing."""

    @field_validator("pattern")
    @classmethod
    def _pattern_is_one(cls, pattern: str) -> str:
        import regex

        counts = [int(count) for count in re.findall(r"\{0*(\d{1,9})", pattern)]
        if math.prod(max(1, count) for count in counts) > REPEATS:
            raise ValueError(f"the counts in the pattern multiply to more than {REPEATS:,}; write it with smaller ones")
        try:
            regex.compile(pattern)
        except (regex.error, RecursionError, OverflowError, ValueError) as cause:
            reason = "it is nested too deeply" if isinstance(cause, RecursionError) else str(cause)
            raise ValueError(f"is no regular expression: {reason}") from cause
        return pattern

    @field_validator("replacement")
    @classmethod
    def _groups_are_in_the_pattern(cls, replacement: str, info: ValidationInfo) -> str:
        if "pattern" not in info.data:
            return replacement
        import regex

        try:
            match: Any = regex.match("|" + info.data["pattern"], "")  # the pattern's groups, and nothing to be matched
            match.expand(replacement).encode()  # half of a surrogate pair is no text
        except (regex.error, IndexError, ValueError) as cause:
            raise ValueError(f"does not go with the pattern: {cause}") from cause
        return replacement


def _known_language(language: str) -> str:
    if language in LANGUAGES:
        return language
    codes = {code: name for name, code in LANGUAGES.items()}
    near = [codes[language.lower()]] if language.lower() in codes else get_close_matches(language.lower(), LANGUAGES, 1)
    all_ = f"`lmkit plugins show transform stop-words` lists the {len(LANGUAGES)} that there are"
    there = f"did you mean {near[0]!r}?" if near else all_
    raise ValueError(f"no stop words are known for {language!r}; {there}")


Language = Annotated[str, AfterValidator(_known_language), WithJsonSchema({"type": "string", "enum": list(LANGUAGES)})]


class StopWordsConfig(TransformConfig):
    """Leaves words out that are everywhere and say little: the, of, and.

    Words are compared whole and without regard to case; punctuation stays, and the space beside a word that goes. The
    lists are those of stopwordsiso, and long: `good`, `best`, `not` and `no` are among the English ones. Where these
    matter, as in reviews, name them in `keep`. Applying it twice is applying it once, but where what goes away brings
    the parts of another stop word together.
    """

    use: Literal["stop-words"]

    language: Language | None
    """Whose stop words: `english`, `chinese`, `german` and more than fifty others. Chinese is segmented into words
    first (`pip install 'lmkit[chinese]'`), and its list is in simplified characters. `null` leaves only the words of
    `extra` out, in any language that sets its words apart."""

    extra: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """More words to leave out."""

    keep: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Words that stay, though the language's list has them."""

    reads: ClassVar[tuple[Changed, ...]] = ("text",)

    @model_validator(mode="after")
    def _there_are_words(self) -> StopWordsConfig:
        if self.language is None and not self.extra:
            raise ValueError("names no word: 'language' is null and 'extra' is empty")
        return self

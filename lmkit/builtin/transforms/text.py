"""Transforms of a text by its characters: case, Unicode's forms, whitespace, regular expressions."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

import regex

from lmkit.builtin.transforms.config import LowerCaseConfig, ReplaceConfig, UnicodeConfig, WhitespaceConfig
from lmkit.errors import DataError
from lmkit.kinds.transform import Transform, each_text

PATIENCE = 10.0
"""Seconds that a pattern may take for one text."""

ACCENTS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
"""Unicode's blocks of combining diacritical marks."""

CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]+")
"""Control characters (the category Cc) but tabs and line ends."""

SPACES = re.compile("[\\s\u200b]+")
JOINERS = re.compile("[\ufeff\u2060]+")


def build_lower_case(config: LowerCaseConfig) -> Transform:
    return each_text(str.lower)


def build_unicode(config: UnicodeConfig) -> Transform:
    apart: Literal["NFKD", "NFD"] = "NFKD" if config.form.startswith("NFK") else "NFD"

    def normalized(text: str) -> str:
        if config.strip_control:
            text = CONTROL.sub("", text)
        if config.strip_accents:
            text = ACCENTS.sub("", unicodedata.normalize(apart, text))
        return unicodedata.normalize(config.form, text)

    return each_text(normalized)


def build_whitespace(config: WhitespaceConfig) -> Transform:
    def spaced(text: str) -> str:
        return SPACES.sub(" ", JOINERS.sub("", text)).strip(" ")

    return each_text(spaced)


def build_replace(config: ReplaceConfig) -> Transform:
    pattern = regex.compile(config.pattern)

    def replaced(text: str) -> str:
        try:
            return str(pattern.sub(config.replacement, text, timeout=PATIENCE))
        except TimeoutError as cause:
            raise DataError(
                f"the pattern {config.pattern!r} took more than {PATIENCE:g} seconds for a text of {len(text):,} "
                "characters; write it so that it can match in one way only, such as \\s+ for (\\s+)+"
            ) from cause

    return each_text(replaced)

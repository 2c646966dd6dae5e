"""Case: another use of upper and lower case."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from lmkit.builtin.perturbations.config import CaseConfig
from lmkit.builtin.perturbations.texts import EachText
from lmkit.kinds.perturbation import Perturbation


def build_case(config: CaseConfig, *, seed: int) -> Perturbation:
    """Of the forms that `random` draws from, those that change nothing are left out."""

    def changed(texts: list[str], chance: Random) -> list[str]:
        if config.to != "random":
            return [_FORMS[config.to](text) for text in texts]
        forms = [[change(text) for text in texts] for change in _FORMS.values()]
        others = [form for form in forms if form != texts]
        return chance.choice(others) if others else texts

    return EachText(seed, lambda text, chance: changed([text], chance)[0], changed)


def _titled(text: str) -> str:
    """Each word with a capital, whatever was upper-case inside of it; an apostrophe begins no word."""
    return re.sub(r"(?<!\S)(\W*)(\w)", lambda begin: begin[1] + begin[2].upper(), text)


def _beside_markup(change: Callable[[str], str]) -> Callable[[str], str]:
    """The change of a text but for its tags and entities: another case makes other things of these."""
    return lambda text: "".join(part if odd % 2 else change(part) for odd, part in enumerate(_MARKUP.split(text)))


_MARKUP = re.compile(r"(<[^<>]*>|&#?\w+;)")

_FORMS: dict[str, Callable[[str], str]] = {
    name: _beside_markup(change) for name, change in (("lower", str.lower), ("upper", str.upper), ("title", _titled))
}

"""The text of HTML: what a browser shows, on one line or several."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

Make = Callable[..., Callable[[Any], Any]]


@pytest.fixture(scope="module")
def strip(transform: Make) -> Callable[[str], str]:
    return transform("strip-html")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A <b>fi</b>ne <a href='x>y'>film</a>.<br /><br />It moves.", "A fine film. It moves."),
        ("<p>one</p>\n<p>two</p>three", "one\ntwo three"),
        ("<ul><li>a<li>b</ul><table><tr><td>c<td>d</table>e", "a b c d e"),
        ("<p>unclosed <i>tags <b>nest</i> badly", "unclosed tags nest badly"),
        ("before<script>if (a < b) { x = '</p>' }</script><style>p { color: red }</style>after", "beforeafter"),
        ("a<!-- a comment > -->b<!-- never closed", "ab"),
        ("<!DOCTYPE html><html><head><title>T</title></head><body>B</body></html>", "T B"),
        ("<?xml version='1.0' encoding='latin-1'?><p>é</p>", "é"),
        ("<meta charset='latin-1'>é", "é"),
        ("1 &lt; 2 &amp;&amp; &quot;x&quot; &eacute;&nbsp;&#8217;&#x1F600;&copy", '1 < 2 && "x" é\u00a0’😀©'),
        ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
        ("&xyzzy; & more &nothing;", "&xyzzy; & more ¬hing;"),  # as browsers have it
        ("&#xD800;&#0;", "\ufffd\ufffd"),
        ("<svg><text>in a picture</text></svg>", "in a picture"),
        ("𝒳<i>日本</i>語", "𝒳日本語"),
        ("", ""),
    ],
)
def test_the_text_is_what_a_browser_shows(strip: Callable[[str], str], text: str, wanted: str) -> None:
    assert strip(text) == wanted


@pytest.mark.parametrize(
    "text", ["a < b", "x<3 you", "5 > 3 & 2 < 3", " no tags,\n\n two  spaces ", "R&D", "<", "&", "a <= b", "<<>>"]
)
def test_text_that_is_no_html_stays(strip: Callable[[str], str], text: str) -> None:
    assert strip(text) == text


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_what_was_escaped_comes_back(strip: Callable[[str], str], text: str) -> None:
    assert strip(f"<b>{html.escape(text)}</b>") == text.strip()


@given(text=st.text(alphabet="<>/!-ab '\"=&;#&p\n"), again=st.text(alphabet="<>/!-ab"))
def test_any_text_can_be_read_and_leaves_nothing_for_the_next(
    strip: Callable[[str], str], transform: Make, text: str, again: str
) -> None:
    strip(text)

    assert strip(again) == transform("strip-html")(again)


def test_no_text_is_lost_below_any_number_of_elements(strip: Callable[[str], str]) -> None:
    assert strip("<i>" * 5000 + "deep" + "</i>" * 5000 + " end") == "deep end"


@pytest.mark.parametrize("part", ["<!--", "<a ", "<", "<a href='", "<p>x", "&lt", "<script>", "<b><p>", "</", "x&amp;"])
def test_a_long_text_takes_time_by_its_length_alone(strip: Callable[[str], str], part: str) -> None:
    def seconds(length: int) -> float:
        text = part * (length // len(part))
        began = time.process_time()
        strip(text)
        return time.process_time() - began

    assert seconds(100_000) < 1.0  # one that is quadratic takes ten: Python's own parser, of comments that never end

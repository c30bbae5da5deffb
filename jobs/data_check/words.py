"""Words and scripts of a text, in any language."""

from functools import cache

import regex

_WORD = regex.compile(r"\w+")
_LETTER = regex.compile(r"\p{L}")

_NAMED = (
    "Latin Cyrillic Greek Arabic Hebrew Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu "
    "Kannada Malayalam Sinhala Thai Lao Tibetan Myanmar Khmer Mongolian Georgian Armenian Ethiopic "
    "Cherokee Hangul"
)
EAST_ASIAN = "Han and kana"
"""One name for three scripts, for Japanese is written in all of them."""
OTHER = "other"
WITHOUT_SPACES = {EAST_ASIAN, "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"}
"""Scripts that write no spaces between words."""

_PATTERNS = {name: regex.compile(rf"\p{{Script={name}}}") for name in _NAMED.split()}
_PATTERNS[EAST_ASIAN] = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}]")
_OF_NONE = regex.compile(r"[\p{Script=Common}\p{Script=Inherited}]")


def words_in(text: str) -> list[str]:
    """Runs of letters, digits and their marks; punctuation stands apart."""
    found: list[str] = _WORD.findall(text)
    return found


def word_spans(text: str) -> list[tuple[int, int]]:
    """The characters of each word, [start, end)."""
    return [match.span() for match in _WORD.finditer(text)]


@cache
def script_of(character: str) -> str | None:
    """The script of a letter; None of what is no letter, or belongs to no script."""
    if not _LETTER.match(character) or _OF_NONE.match(character):
        return None
    return next((name for name, is_of in _PATTERNS.items() if is_of.match(character)), OTHER)

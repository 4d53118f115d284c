"""Digit strings read out in Chinese, the way the public module `cn_tn` reads them (ASR sheet section 5).

Two readings: digit by digit (`read_digits`, for years, telephone numbers and codes) and as a quantity
(`read_number`). Units above 万 go up by 10^4 each: 亿 10^8, 兆 10^12, ... 载 10^44.
"""

from __future__ import annotations

_DIGITS = "零一二三四五六七八九"
_SMALL = zip((1, 2, 3, 4), "十百千万", strict=True)
_LARGE = zip(range(8, 48, 4), "亿兆京垓秭穰沟涧正载", strict=True)
_UNITS: dict[int, str] = dict([*_SMALL, *_LARGE])
"""Power of ten -> character."""

_Symbol = tuple[str, int]
"""(character, power of ten); power 0 marks a digit."""


def read_digits(number: str) -> str:
    """Digit by digit: "2025" -> 二零二五."""
    return "".join(_DIGITS[int(c)] for c in number)


def read_number(number: str) -> str:
    """As a quantity: "12" -> 十二, "200" -> 两百, "1050.2" -> 一千零五十点二.

    Several zeros and nothing else read as nothing, as in the original.
    """
    whole, _, decimals = number.partition(".")
    text = "".join(_two_as_liang(_quantity(whole))) if len(whole) > 1 else read_digits(whole)
    if decimals:
        text += "点" + read_digits(decimals)
    if text.startswith("点"):
        return _DIGITS[0] + text
    return text[1:] if text.startswith("一十") else text


def _quantity(number: str) -> list[_Symbol]:
    """Splits at the largest unit below the number until single digits are left, left part first."""
    out: list[_Symbol] = []
    pending: list[str | _Symbol] = [number]
    while pending:
        part = pending.pop()
        if isinstance(part, tuple):
            out.append(part)
            continue
        digits = part.lstrip("0")
        if len(digits) > 1:
            power = max(p for p in _UNITS if p < len(digits))
            pending += [digits[-power:], (_UNITS[power], power), part[:-power]]
        elif digits:
            if len(part) > 1:
                out.append((_DIGITS[0], 0))
            out.append((_DIGITS[int(digits)], 0))
    return out


def _two_as_liang(symbols: list[_Symbol]) -> list[str]:
    """二 becomes 两 before 百, 千, 万, 亿, ... unless a digit or 十 stands before it."""
    out: list[str] = []
    for i, (char, power) in enumerate(symbols):
        before = symbols[i - 1][1] if i else None
        after = symbols[i + 1][1] if i + 1 < len(symbols) else 0
        liang = power == 0 and char == _DIGITS[2] and after > 1 and (before is None or before > 1)
        out.append("两" if liang else char)
    return out

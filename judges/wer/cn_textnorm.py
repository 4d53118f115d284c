"""Chinese text normalisation with every switch off: digits to Chinese numerals, punctuation to blanks.

The steps and their order are those of `cn_tn` in speechio/chinese_text_normalization, the module on which
both UltraEval-Audio and Kimi-Audio-Evalkit rely (ASR sheet section 5): dates, money, mobile numbers,
landline numbers, fractions, percentages, number + measure word, strings of 4 to 32 digits, other numbers,
then Latin-二-Latin back to 2. Numbers found in one step are replaced one after the other at their *first
textual occurrence*, not where they were found; that quirk is part of the rule. The patterns never enter a
run of digits or letters in its middle, so that they stay linear on hostile text.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator

from judges.wer.cn_numbers import read_digits, read_number

_MONEY_UNIT = "(?:亿|千万|百万|万|千|百|元|块|角|毛|分)"
_MEASURES = (
    "丈丝两个丸世丘代令件伏位冬出刀分刻勺匹升单卮厘双叠口只合名周啖回场块坡堂堆墙壳壶夏夜天头季客家寸对寻尺"
    "尾层山岁岭常幢年座张忽户手扎打担挑捆撮支斗斛斤日旬时春曲更月本条杯板枝根桶棵毫江泡溪炮煲片瓶盆盏盒盘石砣"
    "碗碟秋秒程窠笼管箩箱篮簋粒纪线罐网罗群脚腔袋袭课贯贴跳身辆辈道里针钟钧钱钵铢铺锅锱阙队阵面页顶颗首"
)
_DATE = re.compile(
    r"(?<=\D)(?:(?:[089]\d|(?:19|20)\d{2})年(?:\d{1,2}月(?:\d{1,2}[日号])?)?|\d{1,2}月(?:\d{1,2}[日号])?)"
)
_MONEY = re.compile(rf"(?<=\D)\d+(?:\.\d+)?[多余几]?{_MONEY_UNIT}(?:\d{_MONEY_UNIT}?)?")
_MOBILE = re.compile(r"\D((?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8})\D")
_LANDLINE = re.compile(r"\D((?:0(?:10|2[1-3]|[3-9]\d{2})-?)?[1-9]\d{6,7})\D")
_FRACTION = re.compile(r"((?<!\d)\d+/\d+)")
_PERCENTAGE = re.compile(r"((?<!\d)\d+(?:\.\d+)?%)")
_MEASURED = re.compile(rf"((?<!\d)\d+(?:\.\d+)?)[多余几]?(?:[{_MEASURES}]|[千微][克米])")
_CODE = re.compile(r"(\d{4,32})")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")
_LATIN_TWO = re.compile(r"((?<![a-zA-Z])[a-zA-Z]+二[a-zA-Z]+)")

_PUNCTUATION = (
    string.punctuation
    + "".join(map(chr, (0xB7, 0x2013, 0x2014, 0x2018, 0x2019, *range(0x201B, 0x2020), 0x2026, 0x2027)))
    + "".join(
        map(chr, (*range(0x3001, 0x3004), *range(0x3008, 0x3012), *range(0x3014, 0x3020), 0x3030, 0x303E))
    )
    + "".join(map(chr, (0x303F, 0xFE4F, *range(0xFF01, 0xFF0E), 0xFF0F, *range(0xFF1A, 0xFF21))))
    + "".join(map(chr, (*range(0xFF3B, 0xFF41), *range(0xFF5B, 0xFF65))))
)
_TO_BLANK = str.maketrans(dict.fromkeys(_PUNCTUATION, " "))


def text_norm(text: str) -> str:
    """Digits to Chinese numerals, Chinese and ASCII punctuation to blanks. Full-width "．" stays."""
    return _read_numbers(text).translate(_TO_BLANK)


def _read_numbers(text: str) -> str:
    text = f"^{text}$"  # several patterns want a non-digit on either side
    text = _replace(text, _apart(_DATE, text), _read_date)
    text = _replace(text, _apart(_MONEY, text), _read_money)
    text = _replace(text, _found(_MOBILE, text), _read_mobile)
    text = _replace(text, _found(_LANDLINE, text), lambda s: read_digits(s.replace("-", "")))
    text = _replace(text, _found(_FRACTION, text), _read_fraction)
    text = text.replace("％", "%")
    text = _replace(text, _found(_PERCENTAGE, text), lambda s: "百分之" + read_number(s.rstrip("%")))
    text = _replace(text, _found(_MEASURED, text), read_number)
    text = _replace(text, _found(_CODE, text), read_digits)
    text = _replace(text, _found(_NUMBER, text), read_number)
    text = _replace(text, _found(_LATIN_TWO, text), lambda s: s.replace("二", "2"))
    return text.lstrip("^").rstrip("$")


def _found(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    return (m.group(1) for m in pattern.finditer(text))


def _apart(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """Matches with at least one character that is no digit between one and the next."""
    at = 0
    while m := pattern.search(text, at + 1):
        yield m.group()
        at = m.end()


def _replace(text: str, found: Iterator[str], read: Callable[[str], str]) -> str:
    for piece in list(found):
        text = text.replace(piece, read(piece), 1)
    return text


def _read_date(date: str) -> str:
    """Years digit by digit; month and day as quantities."""
    year, mark, rest = date.rpartition("年")
    month, month_mark, day = rest.partition("月")
    day = read_number(day[:-1]) + day[-1] if day else ""
    return read_digits(year) + mark + read_number(month) + month_mark + day


def _read_money(money: str) -> str:
    """Each number is read, and replaced wherever it stands in the amount."""
    for number in _NUMBER.findall(money):
        money = money.replace(number, read_number(number))
    return money


def _read_mobile(number: str) -> str:
    return read_digits(number.strip("+").replace(" ", ""))


def _read_fraction(fraction: str) -> str:
    numerator, denominator = fraction.split("/")
    return f"{read_number(denominator)}分之{read_number(numerator)}"

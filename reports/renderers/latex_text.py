"""Text for LaTeX: every character typesets under pdfLaTeX in its default fonts, and none of them is a command."""

from __future__ import annotations

import unicodedata

from reports.safe import visible

_SPECIAL = {
    **{c: "\\" + c for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"''{}",
    "`": r"\`{}",
    "'": "'{}",
    "-": "-{}",  # two in a row would be a dash
    "[": "{[}",  # after a line's end it would be an option
    "]": "{]}",
}
_KNOWN = {
    "\u2013": r"\textendash{}",
    "\u2014": r"\textemdash{}",
    "\u2018": r"\textquoteleft{}",
    "\u2019": r"\textquoteright{}",
    "\u201c": r"\textquotedblleft{}",
    "\u201d": r"\textquotedblright{}",
    "\u2026": r"\textellipsis{}",
    "\u00a0": "~",
    "\u2191": r"$\uparrow$",
    "\u2193": r"$\downarrow$",
    "\u2192": r"$\rightarrow$",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "\u00b1": r"$\pm$",
    "\u00b7": r"$\cdot$",
    "\u2022": r"$\bullet$",
    "\u2264": r"$\leq$",
    "\u2265": r"$\geq$",
    "\u2248": r"$\approx$",
    "\u00b0": r"$^\circ$",
    "\u00b5": r"$\mu$",
}
_GREEK = {
    **dict(zip("\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8\u03b9\u03ba\u03bb\u03bc", (
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu",
    ), strict=True)),
    **dict(zip("\u03bd\u03be\u03c0\u03c1\u03c3\u03c4\u03c5\u03c6\u03c7\u03c8\u03c9", (
        "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    ), strict=True)),
    **dict(zip("\u0393\u0394\u0398\u039b\u039e\u03a0\u03a3\u03a6\u03a8\u03a9", (
        "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
    ), strict=True)),
}  # fmt: skip
_ACCENTS = {
    **{
        "\u0300": "`",
        "\u0301": "'",
        "\u0302": "^",
        "\u0303": "~",
        "\u0308": '"',
        "\u0304": "=",
        "\u0307": ".",
    },
    **{"\u0306": "u", "\u030c": "v", "\u030b": "H", "\u0327": "c", "\u0323": "d", "\u030a": "r"},
}
_LETTERS = {
    **{"\u00df": r"\ss{}", "\u00f8": r"\o{}", "\u00d8": r"\O{}", "\u00e6": r"\ae{}", "\u00c6": r"\AE{}"},
    **{"\u0153": r"\oe{}", "\u0152": r"\OE{}", "\u0142": r"\l{}", "\u0141": r"\L{}", "\u0131": r"\i{}"},
}
CHARACTER = "\\evalkitchar"


def _one(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character if character.isprintable() else " "
    if known := _KNOWN.get(character) or _LETTERS.get(character):
        return known
    if name := _GREEK.get(character):
        return f"$\\{name}$"
    base, *marks = list(unicodedata.normalize("NFD", character))
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        return f"\\{_ACCENTS[marks[0]]}{{{base}}}"
    return f"{CHARACTER}{{{ord(character):04X}}}{{{character}}}"


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is, on one line.

    Accented Latin, Greek and common signs become commands; every other character outside ASCII becomes
    `\\evalkitchar{4E2D}{..}`, which XeLaTeX and LuaLaTeX set as the character and pdfLaTeX as its code point.
    """
    return "".join(map(_one, " ".join(visible(unicodedata.normalize("NFC", text)).split())))

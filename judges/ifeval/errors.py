"""Why a sample can't be scored: one exception, a code and a sentence."""

from __future__ import annotations


class Unscorable(Exception):
    """This sample can't be scored, whatever the response says.

    Args:
        code: short word for counting ("bad-argument", "missing-tool", ...).
        sentence: what is wrong and what to do about it.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence

    @property
    def reason(self) -> str:
        """The reason of an unscored verdict: code first."""
        return f"{self.code}: {self.sentence}"

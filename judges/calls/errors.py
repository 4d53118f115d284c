"""Error codes of the public scorers, and what a checker says of a call or of a record.

Source: speech function calling sheet, section 7. The codes are the public ones, to the letter.
"""

from __future__ import annotations

from dataclasses import dataclass

CORRECT = "correct"
DECODER_FAILED = "ast_decoder:decoder_failed"

SIMPLE_COUNT = "simple_function_checker:wrong_count"
MULTIPLE_COUNT = "multiple_function_checker:wrong_count"
PARALLEL_COUNT = "parallel_function_checker_no_order:wrong_count"
PARALLEL_NO_MATCH = "parallel_function_checker_no_order:cannot_find_match"
WRONG_NAME = "simple_function_checker:wrong_func_name"
MISSING_REQUIRED = "simple_function_checker:missing_required"
UNEXPECTED_PARAM = "simple_function_checker:unexpected_param"
MISSING_OPTIONAL = "simple_function_checker:missing_optional"
TYPE_SIMPLE = "type_error:simple"
TYPE_NESTED = "type_error:nested"
DICT_KEY = "value_error:dict_key"
DICT_VALUE = "value_error:dict_value"
OTHERS = "value_error:others"
DICT_UNCLEAR = "dict_checker:unclear"
LIST_DICT_UNCLEAR = "list_dict_checker:unclear"

STRING = "value_error:string"
LIST = "value_error:list/tuple"
LIST_DICT_COUNT = "value_error:list_dict_count"

ACE_COUNT = "wrong functions number"
ACE_MISMATCH = "function_mismatch"
ACE_NAME = "wrong_function_name"
ACE_UNCLEAR = "simple_function_checker:unclear"
ACE_PARAM = "wrong_param"
ACE_LACKS = "lack_args"
ACE_ADDS = "addition_args"
ACE_TYPE = "type_error"
ACE_VALUE = "value_error"

CHECKER_CRASH = "checker_crash"
"""Ours: the public scorer stops with an exception here, and with it the whole run."""


class CheckerCrash(Exception):
    """The public checker can't get past this record; the message says why."""


CRASHES = (CheckerCrash, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
"""What stands for a crash: the plain operations of the rules raise these where the public scorer's do."""


def cause(exc: Exception) -> str:
    """What went wrong where a checker stopped, in a line."""
    return cut(str(exc) if isinstance(exc, CheckerCrash) else f"{type(exc).__name__}: {exc}")


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why something doesn't pass: a public code, and a short sentence of our own."""

    code: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a checker makes of one record.

    Attributes:
        valid: do the calls pass?
        error_type: "correct" or the public error code.
        reasons: short sentences of our own, the deciding one first.
    """

    valid: bool
    error_type: str = CORRECT
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, wrong: Wrong | None) -> Outcome:
        """The outcome that a single finding makes."""
        return PASSED if wrong is None else cls(False, wrong.code, (wrong.reason,) if wrong.reason else ())


PASSED = Outcome(True)


def brief(value: object, width: int = 60) -> str:
    """A value for a message: its Python spelling, cut short. Never raises: a message must not be the crash."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        text = f"a deep {type(value).__name__}"
    return cut(text, width)


def cut(text: str, width: int = 160) -> str:
    """A text cut short, with a mark where it was."""
    return text if len(text) <= width else text[: width - 3] + "..."

"""Function calling as SpeechFCEval scores it: rules on predicted calls, no judge model (speech function calling sheet).

What is where:
    errors      error codes, and what a checker says of a call or a record
    parsing     from the text of a response to calls
    native      from an endpoint's own tool calls to the same
    values      strings made comparable, schema types, what equals what
    schemas     tool definitions: unwrapping, finding one, faults of a data set that would crash the public scorer
    bfcl        the BFCL-style checker (Speech-BFCL, Speech-SmartInteract)
    acebench    the ACEBench-style checker (Speech-ACEBench)
    strict      our own, stricter checker, for both styles of answers
    storable    calls as they may stand in a score's detail
    judge       the `Judge`s
"""

from __future__ import annotations

from judges.calls.judge import CallChecker, StrictCallChecker

__all__ = ["CallChecker", "StrictCallChecker"]

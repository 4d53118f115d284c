"""Gates: hold a candidate's run against a baseline's by a policy; a verdict with an exit code. Only reads runs."""

from evalkit.gate.evaluate import gate
from evalkit.gate.model import Check, Outcome, Row
from evalkit.gate.policy import Policy, parse_policy, read_policy

__all__ = ["Check", "Outcome", "Policy", "Row", "gate", "parse_policy", "read_policy"]

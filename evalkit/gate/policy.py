"""What a gate asks for: gate.yaml, read and checked. Field by field: docs/gates.md.

Every mistake is one sentence that names the file and the key. Unknown keys are refused: a limit that is misspelt
would be a limit that nobody holds.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import UsageError
from reports.safe import shorten

Rule = Literal["non-inferiority", "no-significant-drop", "superiority", "point"]
OnInconclusive = Literal["inconclusive", "fail", "pass"]

PARTS = ("protocol", "prompt", "data", "n", "judges", "evalkit")
"""Parts of a signature that a policy may let differ; the runner's always may."""

MOST_BYTES = 1_000_000
"""Of a policy's file: a thousand times what one takes. YAML is slow, and what is longer was named by mistake."""

_Amount = Annotated[float, Field(ge=0)]
_Positive = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Bar(_Strict):
    """What one number has to hold. None: not said here.

    Attributes:
        rule: how the difference to the baseline is judged.
        margin: printed points that the number may get worse by (of an error rate: rise); or by unit, label or name of
            the metric: {"%": 1.0, "1-5": 0.05, "WER": 0.5}.
        floor, ceiling: what the candidate's number itself may not fall below (rise above), on the printed scale.
        bound_by: the number itself, or the end of its 95 % interval that is nearer to the limit.
        on_inconclusive: what counts where the data cannot tell.
        required: true: a missing number is a regression; false: it is passed over; not said: not comparable.
        skip: don't gate it.
    """

    rule: Rule | None = None
    margin: _Amount | dict[str, _Amount] | None = None
    floor: float | None = None
    ceiling: float | None = None
    bound_by: Literal["value", "interval"] | None = None
    on_inconclusive: OnInconclusive | None = None
    required: bool | None = None
    skip: bool | None = None


class Limits(Bar):
    """A number of a task, with limits on how many samples may be without a score.

    Attributes:
        max_lost: share of the samples scored in the baseline that the candidate may have no score for.
        min_scored: least share of the candidate's samples that must have a score.
        max_errors: most samples of the candidate whose request may have failed.
    """

    max_lost: _Share | None = None
    min_scored: _Share | None = None
    max_errors: _Count | None = None


class Latency(_Strict):
    """Seconds to an answer: percentiles of the candidate, and how many times the baseline's they may be."""

    p50: _Positive | None = None
    p95: _Positive | None = None
    p50_ratio: _Positive | None = None
    p95_ratio: _Positive | None = None


class TaskRules(Limits):
    """A task, with limits on time, and its other numbers.

    Attributes:
        allow: parts of the signature that may differ.
        metrics: further numbers of the task, by the metric's name.
        groups: its subsets, by "key" (each of them) or "key=name" (that one).
    """

    latency: Latency | None = None
    allow: tuple[str, ...] | None = Field(default=None, strict=False)
    metrics: dict[str, Limits] = {}
    groups: dict[str, Limits] = {}


class Policy(_Strict):
    """A gate's policy. `tasks` may be globs; the most specific that says something about a field decides it.

    Attributes:
        level: of intervals; a regression or a pass is wrong at most (1 - level) / 2 of the time.
        seed, draws: of the bootstrap.
        correction: "holm": regressions are called so only as far as they survive Holm's correction over all
            differences; what doesn't is inconclusive.
        power: chance that "needs n samples" is about.
    """

    version: Literal[1] = 1
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    seed: Annotated[int, Field(ge=0)] = 0
    draws: Annotated[int, Field(ge=1000, le=1_000_000)] = 10_000
    correction: Literal["none", "holm"] = "none"
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    defaults: TaskRules = TaskRules()
    benchmarks: dict[str, TaskRules] = {}
    tasks: dict[str, TaskRules] = {}
    overall: dict[str, Bar] = {}


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, of which the first would be lost without a word.

    Keys are looked at as they are written: what `<<` brings along may be said again.
    """

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # no key of a policy; what comes of it is refused
            if (key.tag, key.value) in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add((key.tag, key.value))
        return node


def read_policy(path: Path | str) -> Policy:
    """Read gate.yaml. Raises UsageError that names the file, and of each mistake the key."""
    where = Path(path)
    try:
        with where.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except FileNotFoundError as exc:
        raise UsageError(
            f"there is no policy {where}; `gate --baseline RUN --write-policy {where}` writes one to start from."
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{where} can't be read: {exc}") from exc
    if len(data) > MOST_BYTES:
        raise UsageError(f"{where} is no policy: it is longer than {MOST_BYTES // 1000:,} kB.")
    try:
        held = yaml.load(text, _Loader)
    except yaml.YAMLError as exc:
        raise UsageError(f"{where} is not YAML: {' '.join(str(exc).split())}") from exc
    except (RecursionError, ValueError, TypeError) as exc:
        raise UsageError(f"{where} can't be read as a policy: {exc}") from exc
    return parse_policy(held, str(where))


def parse_policy(held: object, where: str = "the policy") -> Policy:
    """A policy from what YAML gave. Raises UsageError."""
    if held is None:
        held = {}
    if not isinstance(held, Mapping):
        raise UsageError(f"{where}: a policy is a mapping (defaults:, tasks:, ...), not {_kind(held)}.")
    try:
        policy = Policy.model_validate(_filled(dict(held)))
    except ValidationError as exc:
        raise UsageError(_listed(where, [_sentence(e) for e in _distinct(exc)])) from exc
    except RecursionError as exc:
        raise UsageError(f"{where}: it refers to itself.") from exc
    if said := _contradictions(policy):
        raise UsageError(_listed(where, said))
    return policy


def _filled(held: dict[Any, Any]) -> dict[Any, Any]:
    """Sections and entries that say nothing (`tasks:`, `voicebench/sd-qa:`) are empty, not null."""
    out = dict(held)
    if "defaults" in out:
        out["defaults"] = _entry(out["defaults"])
    for name in ("benchmarks", "tasks", "overall"):
        if name in out:
            out[name] = _section(out[name])
    return out


def _section(held: Any) -> Any:
    if held is None:
        return {}
    return {k: _entry(v) for k, v in held.items()} if isinstance(held, Mapping) else held


def _entry(held: Any) -> Any:
    if held is None:
        return {}
    if not isinstance(held, Mapping):
        return held
    inner = {
        k: {n: {} if v is None else v for n, v in held[k].items()}
        for k in ("metrics", "groups")
        if _held(held, k)
    }
    return {**held, **inner}


def _held(held: Mapping[Any, Any], key: str) -> bool:
    return isinstance(held.get(key), Mapping)


def _contradictions(policy: Policy) -> list[str]:
    """What each field may say alone, but not so."""
    said = []
    for name, rules in entries(policy):
        if rules.floor is not None and rules.ceiling is not None and name != "defaults":
            said.append(f"{name}: a number has a floor (higher is better) or a ceiling, not both")
        if isinstance(rules, TaskRules):
            said += [
                f"{name}.allow: a signature has no part {part!r}; it has: {', '.join(PARTS)}"
                for part in rules.allow or ()
                if part not in PARTS
            ]
            said += [
                f"{name}.groups: write KEY or KEY=NAME, not {key!r}"
                for key in rules.groups
                if not all(key.split("=", 1))
            ]
    return said


def entries(policy: Policy) -> list[tuple[str, Bar]]:
    """Every entry of a policy with the key it stands under."""
    out: list[tuple[str, Bar]] = [("defaults", policy.defaults)]
    for section in ("benchmarks", "tasks", "overall"):
        out += [(f"{section}.{name}", rules) for name, rules in getattr(policy, section).items()]
    inner: list[tuple[str, Bar]] = []
    for name, rules in out:
        if isinstance(rules, TaskRules):
            inner += [(f"{name}.metrics.{k}", v) for k, v in rules.metrics.items()]
            inner += [(f"{name}.groups.{k}", v) for k, v in rules.groups.items()]
    return out + inner


def _listed(where: str, sentences: list[str]) -> str:
    if len(sentences) == 1:
        return f"{where}: {sentences[0]}."
    return f"{where} has {len(sentences)} mistakes:" + "".join(f"\n  {where}: {s}." for s in sentences)


def _distinct(exc: ValidationError) -> list[Any]:
    """A mistake a field: of the forms that a field may have (a number, a mapping), the fitting complaint."""
    kept: dict[tuple[Any, ...], Any] = {}
    for error in exc.errors(include_url=False):
        loc = tuple(x for x in error["loc"] if x not in _FORMS)
        old = kept.get(loc)
        if old is None or (old["type"] == "dict_type" or error["type"] == "greater_than_equal"):
            kept[loc] = {**error, "loc": loc}
    inner = {loc for loc in kept if any(o != loc and o[: len(loc)] == loc for o in kept)}
    return [e for loc, e in kept.items() if loc not in inner]


_FORMS = (
    *("float", "constrained-float", "function-wrap"),
    *("dict[str,constrained-float]", "[key]", "dict[str,float]"),
)


def _sentence(error: Mapping[str, Any]) -> str:
    """One mistake: the key, what is wrong, what it should be."""
    at = ".".join(str(x) for x in error["loc"]) or "the policy"
    kind, given, ctx = error["type"], error.get("input"), error.get("ctx") or {}
    if kind == "extra_forbidden":
        return f"{at}: there is no such key{_closest(error['loc'])}"
    wanted = {
        "literal_error": f"must be {ctx.get('expected', '')}",
        "float_type": "must be a number",
        "int_type": "must be a whole number",
        "bool_type": "must be true or false",
        "string_type": "must be text (put it in quotes)",
        "dict_type": "must be a mapping of keys",
        "model_type": "must be a mapping of keys",
        "tuple_type": "must be a list",
        "finite_number": "must be a finite number",
        "greater_than_equal": f"must be {_plain(ctx.get('ge'))} or more",
        "greater_than": f"must be more than {_plain(ctx.get('gt'))}",
        "less_than_equal": f"must be {_plain(ctx.get('le'))} or less",
        "less_than": f"must be less than {_plain(ctx.get('lt'))}",
    }.get(kind, str(error.get("msg")))
    return f"{at}: {wanted}, not {_kind(given)}"


def _plain(x: Any) -> str:
    return f"{x:g}" if isinstance(x, int | float) else str(x)


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else shorten(repr(value), 80)


def _closest(loc: tuple[Any, ...]) -> str:
    """ " (did you mean margin?)", or the keys there are."""
    model: type[BaseModel] = Policy
    if loc[:-1]:
        inside = {"defaults": TaskRules, "benchmarks": TaskRules, "tasks": TaskRules, "overall": Bar}
        model = inside.get(str(loc[0]), Policy)
        model = Latency if loc[-2] == "latency" else model
        model = Limits if {"metrics", "groups"}.intersection(map(str, loc[1:-1])) else model
    known = list(model.model_fields)
    near = difflib.get_close_matches(str(loc[-1]), known, 1)
    return f" (did you mean {near[0]}?)" if near else f"; there are: {', '.join(known)}"

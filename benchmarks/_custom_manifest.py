"""The manifest of a data set of one's own: its fields, and a sentence for each way to get one wrong.

Documented in docs/custom-data.md. Read with pydantic; every error names the file, the field and the remedy.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from evalkit.errors import UsageError
from evalkit.records import Modality
from judges.custom import BUILT_IN

HEAD = "evalkit_task"
DOCS = "see docs/custom-data.md"
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}([-_][A-Za-z0-9]{1,8})*$")]
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_NEARLY = re.compile(r"\{\s{0,9}(question|answer|reference|choices)\b[^{}\n]{0,20}\}", re.IGNORECASE)


def _misspelled(text: str) -> None:
    """Raises ValueError for `{Answer}` or `{ answer }`, which would stay as it is and be read by the model."""
    for found in _NEARLY.finditer(text):
        if not PLACEHOLDER.fullmatch(found[0]):
            raise ValueError(f"{found[0]} is not filled in; write {{{found[1].lower()}}}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Data(_Part):
    """Where the rows are: a path (file, glob or folder, relative to the manifest), or a hub data set.

    `audio_dir` is the folder that audio paths start from; default: that of the rows.
    """

    path: str | None = None
    audio_dir: str | None = None
    hub: Annotated[str, Field(pattern=r"^[\w.\-]+/[\w.\-]+$")] | None = None
    config: str | None = None
    split: str = "test"
    revision: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Data:
        if (self.path is None) == (self.hub is None):
            raise ValueError("say where the rows are: either path, or hub with config, split and revision")
        if self.hub and self.audio_dir:
            raise ValueError("audio_dir goes with path; a hub data set brings its audio along")
        return self


class Columns(_Part):
    """Which column holds what; a name that isn't given stands for itself, if the rows have it."""

    audio: str = "audio"
    id: str = "id"
    question: str = "question"
    answer: str = "answer"
    choices: str | tuple[str, ...] = "choices"
    language: str = "language"


class Choice(_Part):
    """The letter or the words of the right option; anything else is wrong."""

    kind: Literal["choice"]


class Match(_Part):
    """exact-match: equal apart from case, punctuation and articles; exist-match: a reference's words occur."""

    kind: Literal["exact-match", "exist-match"]


class ErrorRate(_Part):
    """Corpus word or character error rate; `normalizer` names another than the language's."""

    kind: Literal["wer", "cer"]
    language: Language | None = None
    normalizer: str | None = None


class Judged(_Part):
    """A text model judges: by a built-in rubric, or by one's own with {question}, {answer}, {reference}.

    `scale` is what an own rubric asks for: right or wrong, or whole numbers between two.
    """

    kind: Literal["llm-judge"]
    rubric: str = "right-wrong"
    scale: Literal["right-wrong"] | tuple[int, int] = "right-wrong"

    @property
    def built_in(self) -> bool:
        return self.rubric in BUILT_IN

    @model_validator(mode="after")
    def _sound(self) -> Judged:
        if isinstance(self.scale, tuple) and not 0 <= self.scale[0] < self.scale[1]:
            raise ValueError("scale is two whole numbers, the lower first, as [1, 5]")
        if self.built_in:
            if "scale" in self.model_fields_set:
                raise ValueError("scale goes with a rubric of your own; the built-in ones have theirs")
            return self
        if not re.search(r"\s", self.rubric):
            raise ValueError(
                f"there is no rubric {self.rubric!r}; write right-wrong, rating, or your own text"
            )
        _misspelled(self.rubric)
        named = set(PLACEHOLDER.findall(self.rubric))
        if unknown := sorted(named - {"question", "answer", "reference"}):
            raise ValueError(
                f"the rubric has {{{unknown[0]}}}; what can be filled in is {{question}}, {{answer}} and {{reference}}"
            )
        if "answer" not in named:
            raise ValueError("the rubric never shows the answer; put {answer} where it belongs")
        return self


class Refused(_Part):
    """Refusal rate: blank, or holds one of VoiceBench's 71 strings, in any case."""

    kind: Literal["refusal"]


Scorer = Annotated[Choice | Match | ErrorRate | Judged | Refused, Field(discriminator="kind")]


def _as_data(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


def _as_scorer(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


class Manifest(_Part):
    """A task of one's own, as its file declares it. `name` becomes custom/<name>."""

    evalkit_task: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._\-]*$", max_length=100)]
    title: str | None = None
    data: Annotated[Data, BeforeValidator(_as_data)]
    scorer: Annotated[Scorer, BeforeValidator(_as_scorer)]
    modality: Modality = Modality.S2T
    columns: Columns = Columns()
    separator: Annotated[str, StringConstraints(strip_whitespace=False, min_length=1)] | None = None
    prompt: str | None = None
    language: Language = "en"
    groups: tuple[str, ...] = ()
    cluster: str | None = None
    metric_label: str | None = None
    samples: Annotated[int, Field(gt=0)] | None = None
    licence: str = "not stated"
    citation: str = ""

    @model_validator(mode="after")
    def _prompt_is_known(self) -> Manifest:
        if self.prompt is not None and self.prompt != "choices":
            _misspelled(self.prompt)
            for found in PLACEHOLDER.findall(self.prompt):
                if found not in ("question", "choices"):
                    raise ValueError(
                        f"the prompt has {{{found}}}; what can be filled in is {{question}} and {{choices}}"
                    )
        return self


KINDS = ("choice", "exact-match", "exist-match", "wer", "cer", "llm-judge", "refusal")


def read_manifest(path: Path) -> Manifest:
    """The manifest in a YAML or JSON file.

    Raises:
        UsageError: no such file, not YAML, no manifest, or a field that is wrong, naming it and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(
            f"the manifest {path} can't be read: {getattr(exc, 'strerror', None) or exc}."
        ) from exc
    try:
        found = _json(text) if path.suffix == ".json" else yaml.load(text, _Loader)
    except (ValueError, yaml.YAMLError, RecursionError) as exc:
        what = "JSON" if path.suffix == ".json" else "YAML"
        raise UsageError(f"{path} is not {what}: {' '.join(str(exc).split())[:200]}.") from exc
    if not isinstance(found, dict) or HEAD not in found:
        raise UsageError(f"{path} is no evalkit manifest: it has no line `{HEAD}: 1`; {DOCS}.")
    try:
        return Manifest.model_validate(found)
    except ValidationError as exc:
        raise UsageError(f"{path}: {sentence(exc)}; {DOCS}.") from exc


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A mapping of these; of a field that stands twice the last would win unseen. Raises ValueError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [k for k, _ in pairs]
        raise ValueError(f"the field {next(k for k in names if names.count(k) > 1)!r} stands twice")
    return found


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


class _Loader(yaml.SafeLoader):
    """YAML without code and without fields that stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node. Raises yaml.YAMLError or ValueError."""
        if isinstance(node, yaml.MappingNode):
            _once(
                [(k.value, None) for k, _ in node.value if isinstance(k, yaml.ScalarNode) and k.value != "<<"]
            )
        return super().construct_mapping(node, deep)


def sentence(exc: ValidationError) -> str:
    """What is wrong with the first field that is, and what to do."""
    first = min(exc.errors(), key=lambda e: e["type"] != "extra_forbidden")
    place = [str(p) for p in first["loc"] if str(p) not in (*KINDS, "function-before", "function-after")]
    field = ".".join(place) or "the manifest"
    kind = first["type"]
    if kind == "extra_forbidden":
        known = list(_fields(place[:-1]))
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"there is no field {field!r}{hint} (known: {', '.join(known)})"
    if kind == "missing":
        return f"the field {field!r} is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        given = first["input"].get("kind") if isinstance(first["input"], dict) else first["input"]
        return f"there is no scorer {given!r}; the scorers are {', '.join(KINDS)}"
    if field.startswith("scorer.scale"):
        return "scorer.scale is right-wrong, or two whole numbers, the lower first, as [1, 5]"
    if kind == "string_type" and not isinstance(first["input"], list | dict | None):
        return f"{field} is {first['input']!r:.60}; it takes a text: put it in quotes"
    if kind == "tuple_type":
        return f"{field} is {first['input']!r:.60}; it takes a list"
    if kind == "value_error":
        return f"{field}: {first['msg'].removeprefix('Value error, ')}"
    if kind == "string_pattern_mismatch":
        wanted = {
            "name": "lower-case letters, digits, dots, dashes and underscores",
            "language": "an ISO code, e.g. en, zh or zh-CN",
            "scorer.language": "an ISO code, e.g. en, zh or zh-CN",
            "data.hub": "OWNER/NAME, as on the hub",
        }
        return f"{field} is {first['input']!r:.60}; it takes {wanted.get(field, 'another form')}"
    said = first["msg"]
    return f"{field} is {first['input']!r:.60}: {said[:1].lower()}{said[1:]}"


def _fields(place: list[str]) -> tuple[str, ...]:
    models: dict[str, tuple[type[BaseModel], ...]] = {
        "": (Manifest,),
        "data": (Data,),
        "columns": (Columns,),
        "scorer": (Choice, Match, ErrorRate, Judged, Refused),
    }
    found = models.get(place[0] if place else "", ())
    return tuple(dict.fromkeys(name for model in found for name in model.model_fields))

"""A table of one's own: a YAML file with columns, sections and rows. What a file may say, and what it means."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from evalkit.errors import UsageError

GIVEN = "given"


def _one(value: Any) -> Any:
    """A number where a text is meant ("table: 2") is its text; a truth value is a mistake."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_one), Field(min_length=1, max_length=2000)]


FileName = Annotated[str, BeforeValidator(_one), Field(min_length=1, max_length=100)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnSpec(_Part):
    """A column: a printed `model`, `runs` (folders, or "given": those of the command line), or numbers `typed` in."""

    model: Text | None = None
    runs: Text | list[Text] | None = None
    typed: Text | None = None
    label: Text | None = None
    source: Text | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> ColumnSpec:
        if sum(x is not None for x in (self.model, self.runs, self.typed)) != 1:
            raise ValueError("a column has one of model, runs, typed")
        if self.runs == []:
            raise ValueError("runs names no run")
        if self.runs == GIVEN and self.label:
            raise ValueError(
                "runs: given stands for all runs of the command line, which have labels of their own"
            )
        return self

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.label or self.model or self.typed or ""


class Printed(_Part):
    """The address of a printed row; `table` and `section` may be left out where the row is the only one so called."""

    row: Text
    table: Text | None = None
    section: Text | None = None
    language: Text | None = None
    metric: Text | None = None


class RowSpec(_Part):
    """A row: a `task` (one of its metrics, one of its groups), an `overall`, a `printed` row, or typed numbers."""

    task: Text | None = None
    metric: Text | None = None
    group: dict[Text, Text] | None = None
    overall: Text | None = None
    printed: Printed | None = None
    label: Text | None = None
    values: dict[Text, float] = Field(default_factory=dict)
    decimals: int | None = Field(default=None, ge=0, le=6)
    unit: Text | None = None
    direction: Literal["higher", "lower"] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> RowSpec:
        kinds = [k for k in ("task", "overall", "printed") if getattr(self, k) is not None]
        if len(kinds) > 1:
            raise ValueError(f"a row has one of task, overall, printed, not {' and '.join(kinds)}")
        if not kinds and not (self.values and self.label):
            raise ValueError("a row has one of task, overall, printed; or label and values")
        if (self.metric or self.group) and not self.task:
            raise ValueError("metric and group go with task")
        if self.group is not None and len(self.group) != 1:
            raise ValueError("group names one group, as in group: {region: usa}")
        if not all(math.isfinite(v) for v in self.values.values()):
            raise ValueError("values are finite numbers")
        return self


class SectionSpec(_Part):
    title: Text
    rows: list[RowSpec] = Field(min_length=1)


class TableSpec(_Part):
    """The whole file."""

    title: Text
    caption: Text | None = None
    name: FileName | None = None
    decimals: int | None = Field(default=None, ge=0, le=6)
    second: bool = False
    intervals: bool = False
    delta: Text | None = None
    columns: list[ColumnSpec] = Field(default_factory=list)
    sections: list[SectionSpec] = Field(default_factory=list)
    rows: list[RowSpec] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_rows(self) -> TableSpec:
        if bool(self.rows) == bool(self.sections):
            raise ValueError("a table has rows, or sections of rows, and not both")
        names = [c.name for c in self.columns if c.name]
        if twice := next((n for n in names if names.count(n) > 1), None):
            raise ValueError(f"two columns are called {twice!r}")
        if sum(c.runs == GIVEN for c in self.columns) > 1:
            raise ValueError("runs: given stands in one column only")
        return self


def read(path: Path) -> TableSpec:
    """Read a table's file.

    Raises:
        UsageError: it can't be read, is no YAML, or says what no table has; one sentence that names file and key.
    """
    import yaml

    from reports.yamlfile import load

    try:
        found = load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {path}. --table takes a number (1 to 7), all, or a YAML file."
        ) from None
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(
            f"{path} can't be read: {getattr(exc, 'strerror', None) or 'it is not UTF-8 text'}."
        ) from exc
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise UsageError(
            f"{path} is no YAML{where}: {getattr(exc, 'problem', None) or 'check its layout'}."
        ) from exc
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no table: it begins with title: and has columns: and rows:.")
    try:
        return TableSpec.model_validate(found)
    except ValidationError as exc:
        raise UsageError(f"{path}: {_told(exc)}") from None


_SAID = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_type": "must be a text (put it in quotes)",
    "list_type": "must be a list (lines that begin with -)",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "too_short": "names nothing",
    "string_too_short": "is empty",
    "too_long": "is too long",
    "string_too_long": "is too long",
}


def place(parts: tuple[int | str, ...]) -> str:
    """ "sections[0].rows[2].task" """
    out = ""
    for part in parts:
        # A choice between types adds its name, which is no key of the file.
        if isinstance(part, str) and ("[" in part or part in ("str", "constrained-str", "list")):
            continue
        out += f"[{part + 1}]" if isinstance(part, int) else f"{'.' if out else ''}{part}"
    return out


def _told(exc: ValidationError) -> str:
    from difflib import get_close_matches

    errors = exc.errors(include_url=False, include_context=False)
    # A key that isn't known explains the one that is missing: "titel".
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    said = _SAID.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    if first["type"] in ("model_type", "dict_type", "model_attributes_type"):
        said = "must be a mapping (key: value)"
    if first["type"] in ("greater_than_equal", "less_than_equal"):
        said = "must be 0 to 6"
    if first["type"] == "literal_error":
        said = "must be higher or lower"
    if first["type"] == "extra_forbidden":
        known = {f for m in (ColumnSpec, Printed, RowSpec, SectionSpec, TableSpec) for f in m.model_fields}
        near = get_close_matches(str(first["loc"][-1]), sorted(known), 1)
        said += f" (did you mean {near[0]}?)" if near else ""
    where = place(first["loc"])
    more = len({e["loc"] for e in errors}) - 1
    others = f" ({more} more {'mistake' if more == 1 else 'mistakes'})" if more else ""
    glue = " " if first["type"] in _SAID or said.startswith("must ") else ": "
    return f"{where}{glue if where else ''}{said}{others}."

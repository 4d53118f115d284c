"""A figure of one's own as a small YAML file (docs/figures.md shows one)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit import published as paper
from evalkit.errors import UsageError
from reports.figures.spec import Axis, FigureSpec, Panel, chosen_models, figure_1, find_rows
from reports.safe import slug


def load_figure(name: str) -> FigureSpec:
    """The figure that `--figure` names: "1", or a YAML file.

    Raises:
        UsageError: no such figure; a file that can't be read or says something a figure doesn't have.
    """
    if name.strip().lower() in ("1", "figure-1", "figure1"):
        return figure_1()
    path = Path(name)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"there is no figure {name!r}: --figure takes 1 or a YAML file (docs/figures.md).")
    import yaml

    from reports.yamlfile import load

    try:
        data = load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no file {name!r}; --figure takes 1 or a YAML file (docs/figures.md).") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{name}: can't be read ({type(exc).__name__}).") from None
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        mark, why = getattr(exc, "problem_mark", None), getattr(exc, "problem", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise UsageError(f"{name}: no YAML{where}{f': {why}' if why else ''}.") from None
    try:
        return parse_figure(data, slug(path.stem))
    except UsageError as exc:
        raise UsageError(f"{name}: {exc}") from None


def parse_figure(data: Any, name: str) -> FigureSpec:
    """A figure from the content of its file.

    Raises:
        UsageError: in a sentence that says where.
    """
    whole = _mapping(data, "a figure", {"title", "models", "panels"})
    panels = whole.get("panels")
    if not isinstance(panels, list) or not panels:
        raise UsageError("a figure needs `panels`: a list of one or more.")
    models = whole.get("models")
    if models is not None and not isinstance(models, str | list):
        raise UsageError("`models` is a list of names, or a set: 8B, large, all, none.")
    spec = FigureSpec(
        name, _text(whole, "title", name), tuple(_panel(p, f"panel {k}") for k, p in enumerate(panels, 1))
    )
    if models is None:
        return spec
    wanted = models if isinstance(models, str) else ",".join(str(m) for m in models)
    return FigureSpec(spec.name, spec.title, spec.panels, chosen_models(wanted, spec))


def _panel(data: Any, where: str) -> Panel:
    given = _mapping(data, where, {"kind", "title", "axes"})
    kind = given.get("kind", "bars")
    if kind not in ("bars", "radar"):
        raise UsageError(f"{where}: kind is bars or radar, not {kind!r}.")
    axes = given.get("axes")
    if not isinstance(axes, list) or not axes:
        raise UsageError(f"{where} needs `axes`: a list.")
    if kind == "radar" and len(axes) < 3:
        raise UsageError(f"{where}: a radar needs at least 3 axes, this one has {len(axes)}.")
    read = tuple(_read_axis(a, f"{where}, axis {k}") for k, a in enumerate(axes, 1))
    return Panel(kind, _text(given, "title", ""), read)


_AXIS = {
    "label",
    "section",
    "row",
    "language",
    "printed",
    "table",
    "task",
    "metric",
    "overall",
    "scale",
    "invert",
}


def _read_axis(data: Any, where: str) -> Axis:
    given = _mapping(data, where, _AXIS)
    section, row, task, overall = (_text(given, k, "") for k in ("section", "row", "task", "overall"))
    if sum(map(bool, (section or row, task, overall))) != 1 or bool(section) != bool(row):
        raise UsageError(
            f"{where}: name one thing: `section` and `row`, or `task` (and `metric`), or `overall`."
        )
    invert = given.get("invert", False)
    if not isinstance(invert, bool):
        raise UsageError(f"{where}: invert is true or false.")
    scale = _scale(given.get("scale"), where)
    if scale and invert:
        raise UsageError(f"{where}: an inverted axis runs from 100 down to 0; leave out scale.")
    rows: tuple[paper.PublishedRow, ...] = ()
    if section:
        try:
            rows = find_rows(
                section, row, language=_text(given, "language", ""), metric=_text(given, "printed", ""),
                table=_text(given, "table", ""),
            )  # fmt: skip
        except UsageError as exc:
            raise UsageError(f"{where}: {exc}") from None
        if not rows[0].higher_is_better and not invert:
            raise UsageError(f"{where}: lower is better in {row!r}: say `invert: true` to draw 100 - value.")
    own = rows[0].range if rows else (0.0, 100.0) if overall else None
    label = _text(given, "label", row or task or overall)
    metric = _text(given, "metric", "")
    return Axis(label, rows, task, metric, overall, scale or own, invert)


def _scale(given: Any, where: str) -> tuple[float, float] | None:
    if given is None:
        return None
    good = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2
    if (
        not good
        or not all(isinstance(v, int | float) and abs(v) < 1e9 for v in given)
        or given[0] >= given[1]
    ):
        raise UsageError(f"{where}: scale is [worst, best], two numbers that rise, not {given!r}.")
    return float(given[0]), float(given[1])


def _mapping(data: Any, where: str, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise UsageError(f"{where} is a mapping with {', '.join(sorted(known))}.")
    if odd := sorted(str(k) for k in data if k not in known):
        near = difflib.get_close_matches(odd[0], known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(sorted(known))}."
        raise UsageError(f"{where} has no {odd[0]!r}; {hint}")
    return data


def _text(given: Mapping[str, Any], key: str, default: str) -> str:
    value = given.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        # YAML reads a bare `no` as false: the one language code that bites
        raise UsageError(f"{key} is a text, not {value!r}.")
    return str(value)

"""Damaged results are refused in one sentence that says where, whatever stands there."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit.resultshape import check
from tests.gate_fixtures import MMSU, call, letters, scored


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scored(tmp_path_factory.mktemp("shape"), "a", MMSU, letters(20, range(3)))


def changed(results: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    out = at = copy.deepcopy(results)
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return out


def paths(value: object, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*at, key)
            yield from paths(inner, (*at, key))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tasks",), []),
        (("tasks", MMSU), None),
        (("tasks", MMSU, "headline"), "f1"),
        (("tasks", MMSU, "headline"), {}),
        (("tasks", MMSU, "metrics"), {}),
        (("tasks", MMSU, "groups", "domain", "law"), 3),
        (("tasks", MMSU, "metrics", "acc", "value"), "90"),
        (("tasks", MMSU, "metrics", "acc", "value"), float("nan")),
        (("tasks", MMSU, "metrics", "acc", "ci"), [1.0]),
        (("tasks", MMSU, "metrics", "acc", "n_scored"), -1),
        (("tasks", MMSU, "metrics", "acc", "signature"), None),
        (("tasks", MMSU, "groups", "domain", "law", "acc", "decimals"), 2.5),
        (("model", "generation"), "x"),
    ],
)
def test_the_damaged_field_is_named(run: Path, path: tuple[str, ...], value: object) -> None:
    results = json.loads((run / "results.json").read_text())
    check(results, "results.json")
    with pytest.raises(UsageError) as caught:
        check(changed(results, path, value), "results.json")
    assert str(caught.value).startswith(f"results.json is damaged at {'.'.join(path[:-1])}")
    assert "Call the command that made the run again" in str(caught.value)


def test_whatever_stands_there_a_gate_has_a_verdict_or_a_sentence(run: Path, tmp_path: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    for k, path in enumerate(paths(results)):
        value = (None, "", [], {}, -1, float("inf"), True, ["x"])[k % 8]
        (run / "results.json").write_text(json.dumps(changed(results, path, value)))
        done = call(tmp_path, "gate", "--baseline", run, "--candidate", run, "--json", "--no-html")
        assert done.code in (0, 1, 2, 4, 5) and done.err.count("\n") <= 1, (path, value, done.said)
    (run / "results.json").write_text(json.dumps(results))

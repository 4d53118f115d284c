"""gate.yaml: what it may say, how mistakes are told, and which entry decides which field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UsageError
from evalkit.gate.evaluate import _units
from evalkit.gate.policy import Policy, TaskRules, parse_policy, read_policy
from evalkit.gate.starter import starting_policy
from evalkit.gate.terms import (
    default_margin,
    extra_metrics,
    of_group,
    of_overall,
    of_task,
    unknown_margins,
    unused,
)

ROOT = Path(__file__).parent.parent


def metric(label: str = "Accuracy", unit: str = "%", higher: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "label": label, "unit": unit, "higher_is_better": higher, "lo": 0.0, "hi": 1.0, "scale": 100.0,
        "value": 50.0, "decimals": 2, "ci": [40.0, 60.0], "n": 10, "n_scored": 10,
    } | more  # fmt: skip


def entry(**metrics: dict[str, Any]) -> dict[str, Any]:
    held = metrics or {"acc": metric()}
    head = next(iter(held))
    return {"headline": head, "metrics": held, "groups": {"region": {"usa": {head: held[head]}}}}


def policy(text: str) -> Policy:
    return parse_policy(yaml.safe_load(text), "gate.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defaults: {margn: 1}", "defaults.margn: there is no such key (did you mean margin?)."),
        ("defualts: {}", "defualts: there is no such key (did you mean defaults?)."),
        ("voicebench/sd-qa: {margin: 1}", "voicebench/sd-qa: there is no such key; there are: version"),
        ("defaults: {margin: -1}", "defaults.margin: must be 0 or more, not -1."),
        ("defaults: {margin: one}", "defaults.margin: must be a number, not 'one'."),
        ("defaults: {margin: yes}", "defaults.margin: must be a number, not true."),
        ("defaults: {margin: .nan}", "defaults.margin: must be a finite number, not nan."),
        ("defaults: {margin: {'%': -2}}", "defaults.margin.%: must be 0 or more, not -2."),
        ("defaults: {rule: strict}", "defaults.rule: must be 'non-inferiority', 'no-significant-drop'"),
        ("defaults: {allow: judges}", "defaults.allow: must be a list, not 'judges'."),
        ("defaults: {allow: [runner]}", "defaults.allow: a signature has no part 'runner'"),
        ("defaults: {max_lost: 5}", "defaults.max_lost: must be 1 or less, not 5."),
        ("tasks: {a/b: {latency: {p95: 0}}}", "tasks.a/b.latency.p95: must be more than 0, not 0."),
        ("tasks: {a/b: {latency: {p99: 1}}}", "tasks.a/b.latency.p99: there is no such key (did you mean p95?)"),
        ("tasks: {a/b: {floor: 1, ceiling: 2}}", "tasks.a/b: a number has a floor (higher is better) or a ceiling"),
        ("tasks: {a/b: {groups: {'region=': {}}}}", "tasks.a/b.groups: write KEY or KEY=NAME, not 'region='."),
        ("tasks: {a/b: {groups: {region: {latency: {p50: 1}}}}}", "tasks.a/b.groups.region.latency: there is no"),
        ("tasks: [a/b]", "tasks: must be a mapping of keys, not a list."),
        ("overall: {v: {max_lost: 0.1}}", "overall.v.max_lost: there is no such key"),
        ("level: 95", "level: must be less than 1, not 95."),
        ("draws: 10", "draws: must be 1000 or more, not 10."),
        ("version: 2", "version: must be 1, not 2."),
        ("- tasks", "a policy is a mapping (defaults:, tasks:, ...), not a list."),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_file_and_key(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        policy(text)
    assert str(caught.value).startswith(f"gate.yaml: {said}")
    assert "\n" not in str(caught.value) and "pydantic" not in str(caught.value)


def test_each_of_several_mistakes_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        policy("{level: 2, seed: -1, tasks: {a/b: {flor: 1}}}")
    told = str(caught.value).splitlines()
    assert told[0] == "gate.yaml has 3 mistakes:" and len(told) == 4
    assert all(line.startswith("  gate.yaml: ") for line in told[1:])


def test_files_that_are_no_policy(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    with pytest.raises(UsageError, match=r"there is no policy .*--write-policy"):
        read_policy(path)
    for text, said in (
        ("a: [", "is not YAML"),
        ("level: 0.9\nlevel: 0.8", "'level' is there twice"),
        ("{[1]: 2}", "YAML"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=re.escape(said)):
            read_policy(path)
    path.write_text("a" * 1_000_001)
    with pytest.raises(UsageError, match=r"is no policy: it is longer than 1,000 kB"):
        read_policy(path)
    path.write_text("a" * 1_000_000)
    with pytest.raises(UsageError) as caught:
        read_policy(path)
    assert len(str(caught.value)) < 400
    path.write_bytes(b"level: \xff")
    with pytest.raises(UsageError, match="can't be read"):
        read_policy(path)
    with pytest.raises(UsageError, match="can't be read"):
        read_policy(tmp_path)
    path.write_text("tasks: &t\n  a/b: {groups: *t}\n")
    with pytest.raises(UsageError):
        read_policy(path)


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    """What a merge brings along may be said again, whoever is merged into whom; a key written twice may not."""
    path = tmp_path / "gate.yaml"
    path.write_text(
        "defaults: &d {margin: 3, rule: point}\n"
        "tasks:\n  a/b: &x\n    <<: *d\n    margin: 4\n  a/c: {<<: [*x, *d], max_lost: 0}\n  a/d: *x\n"
    )
    p = read_policy(path)
    assert [(t.rule, t.margin) for t in p.tasks.values()] == [("point", 4.0)] * 3
    path.write_text('defaults: &d {margin: 3}\ntasks:\n  a/b: {<<: *d, margin: 4, "margin": 5}\n')
    with pytest.raises(UsageError, match="'margin' is there twice"):
        read_policy(path)


def test_an_empty_policy_is_the_built_in_one(tmp_path: Path) -> None:
    for text in ("", "# nothing\n", "tasks:\ndefaults:\n", "\ufeffversion: 1\n"):
        (tmp_path / "g.yaml").write_text(text, encoding="utf-8")
        assert read_policy(tmp_path / "g.yaml") == Policy()
    assert policy("tasks: {a/b: , c/d: {groups: {region: }}}").tasks["a/b"] == TaskRules()


KEYS = st.text() | st.sampled_from(sorted(Policy.model_fields))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.recursive(LEAVES, lambda x: st.lists(x) | st.dictionaries(KEYS, x)))
def test_whatever_yaml_holds(held: Any) -> None:
    """A policy or a UsageError, nothing else."""
    try:
        assert isinstance(parse_policy(held), Policy)
    except UsageError as exc:
        assert str(exc)


# --- which entry decides ----------------------------------------------------------------------------


def test_the_most_specific_entry_decides_field_by_field() -> None:
    p = policy(
        """
        defaults: {margin: 3, on_inconclusive: fail, max_lost: 0.5}
        benchmarks: {b: {margin: 4, max_errors: 7}}
        tasks:
          b/one: {margin: 1}
          "b/*": {margin: 2, min_scored: 0.9}
          "*": {margin: 5, max_errors: 1}
        """
    )
    one, two, other = (of_task(p, t, "acc", entry()) for t in ("b/one", "b/two", "c/x"))
    assert (one.margin, two.margin, other.margin) == (1, 2, 5)
    assert (one.min_scored, one.max_errors, one.max_lost, one.on_inconclusive) == (0.9, 1, 0.5, "fail")
    assert one.source["margin"] == "tasks.b/one" and one.source["min_scored"] == "tasks.b/*"
    assert one.source["max_lost"] == "defaults"


def test_margins_by_unit_label_or_name() -> None:
    p = policy("defaults: {margin: {'%': 2, '1-5': 0.1, WER: 0.7, acc: 1.5}}")
    assert of_task(p, "b/x", "acc", entry()).margin == 1.5
    assert of_task(p, "b/x", "other", entry(other=metric())).margin == 2
    assert of_task(p, "b/x", "geval", entry(geval=metric("G-Eval", "1-5"))).margin == 0.1
    assert of_task(p, "b/x", "wer", entry(wer=metric("WER", higher=False))).margin == 0.7
    # A unit that isn't named keeps the built-in margin.
    assert of_task(p, "b/x", "mos", entry(mos=metric("UTMOS", "MOS"))).margin == 0.05


@pytest.mark.parametrize(
    ("unit", "higher", "lo", "hi", "scale", "margin"),
    [
        ("%", True, 0.0, 1.0, 100.0, 1.0),
        ("0-100", True, 0.0, 5.0, 20.0, 1.0),
        ("1-5", True, 1.0, 5.0, 1.0, 0.05),
        ("MOS", True, 1.0, 5.0, 1.0, 0.05),
        ("%", False, 0.0, None, 100.0, 0.5),
        ("1-10", True, 1.0, 10.0, 1.0, 0.09),
        ("points", True, None, None, 1.0, 1.0),
    ],
)
def test_margins_of_no_policy(
    unit: str, higher: bool, lo: float | None, hi: float | None, scale: float, margin: float
) -> None:
    assert default_margin(unit, higher, lo, hi, scale) == margin


def test_margins_and_floors_of_a_task_are_of_its_headline() -> None:
    p = policy("tasks: {b/x: {margin: 3, floor: 40, max_lost: 0.2, metrics: {mos: {margin: 0.2}, gpt: {}}}}")
    held = entry(acc=metric(), mos=metric("UTMOS", "MOS"), gpt=metric())
    head, mos, gpt = (of_task(p, "b/x", m, held) for m in ("acc", "mos", "gpt"))
    assert (head.margin, head.floor) == (3, 40)
    assert (mos.margin, mos.floor, mos.max_lost) == (0.2, None, 0.2)
    assert (gpt.margin, gpt.floor) == (1.0, None)
    assert extra_metrics(p, "b/x") == ["mos", "gpt"] and extra_metrics(p, "b/y") == []


def test_subsets_are_gated_only_where_named() -> None:
    p = policy(
        "tasks: {b/x: {margin: 2, floor: 40, groups: {region: {}, region=usa: {margin: 7}}}, b/y: {margin: 2}}"
    )
    usa = of_group(p, "b/x", ("region", "usa"), entry())
    assert usa is not None and (usa.margin, usa.floor, usa.max_lost) == (7, None, None)
    assert of_group(p, "b/y", ("region", "usa"), entry()) is None
    named = policy("tasks: {b/x: {groups: {region=usa: {}}}}")
    other = entry()
    other["groups"]["region"]["ind"] = other["groups"]["region"]["usa"]
    assert of_group(named, "b/x", ("region", "ind"), other) is None


def test_overalls_are_gated_only_where_named() -> None:
    assert of_overall(policy("defaults: {margin: 2}"), "voicebench") is None
    terms = of_overall(policy("{defaults: {rule: point}, overall: {'*': {margin: 0.4}}}"), "voicebench")
    assert terms is not None and (terms.rule, terms.margin, terms.max_lost) == ("point", 0.4, None)
    with pytest.raises(UsageError, match="higher is better; write floor"):
        of_overall(policy("overall: {voicebench: {ceiling: 4}}"), "voicebench")


def test_a_floor_of_an_error_rate_is_refused_where_it_is_meant() -> None:
    """Said of one task it is a mistake; said of many it holds for those that it fits."""
    wer = entry(wer=metric("WER", higher=False))
    with pytest.raises(UsageError, match=r"tasks.b/x.floor: of b/x \(WER\), lower is better; write ceiling"):
        of_task(policy("tasks: {b/x: {floor: 5}}"), "b/x", "wer", wer)
    wide = policy("tasks: {'b/*': {floor: 5}}")
    assert of_task(wide, "b/x", "wer", wer).floor is None and of_task(wide, "b/x", "acc", entry()).floor == 5
    both = policy("defaults: {floor: 40, ceiling: 8}")
    assert (
        of_task(both, "b/x", "wer", wer).ceiling == 8 and of_task(both, "b/x", "acc", entry()).ceiling is None
    )


def test_keys_that_fit_nothing_are_found() -> None:
    p = policy(
        "{benchmarks: {q: {}}, tasks: {b/x: {groups: {region: {}, age: {}}}, b/sdqa: {}, 'b/*': {}}, overall: {v: {}}}"
    )
    told = unused(p, ["b/x"], ["b"], {"b/x": {"region", "region=usa"}}, {"b/x": {"acc"}})
    assert told == ["benchmarks.q", "tasks.b/sdqa", "overall.v", "tasks.b/x.groups.age"]
    p = policy("{defaults: {metrics: {acc: {}, f2: {}}}, tasks: {'b/*': {metrics: {acc: {}, ac: {}}}}}")
    told = unused(p, ["b/x", "b/y"], [], {}, {"b/x": {"acc"}, "b/y": {"f1"}})
    assert told == ["defaults.metrics.f2", "tasks.b/*.metrics.ac"]


def test_margins_of_no_number_are_found() -> None:
    p = policy(
        "{defaults: {margin: {'%': 1, WERR: 2}}, tasks: {a/b: {margin: 1, metrics: {x: {margin: {mos: 1}}}}}}"
    )
    assert unknown_margins(p, {"%", "MOS"}) == ["defaults.margin.WERR", "tasks.a/b.metrics.x.margin.mos"]


# --- policies that ship -----------------------------------------------------------------------------


def test_the_policies_of_examples_and_docs() -> None:
    example = read_policy(ROOT / "examples" / "gate.yaml")
    assert not unknown_margins(example, _units())  # else a note stands under every gate by it
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "gates.md").read_text(encoding="utf-8"), re.S)
    full = [parse_policy(yaml.safe_load(b), "docs/gates.md") for b in blocks if b.startswith("version:")]
    assert full
    # The full example has every key there is.
    text = "\n".join(b for b in blocks if b.startswith("version:"))
    for name in {*Policy.model_fields, *TaskRules.model_fields}:
        assert re.search(rf"\b{name}:", text), name


def test_a_starting_policy_says_what_none_says() -> None:
    """It reads back, has every task, and decides as no policy would; hostile names stay keys and comments."""
    hostile = 'x/y: "z"\n#\u202e{}'
    tasks = {
        "b/one": entry(acc=metric(), mos=metric("UTMOS", "MOS")),
        "b/err": entry(wer=metric("WER", higher=False, hi=None)),
        hostile: entry(acc=metric(label="evil\nkey: 1", value=None, ci=None)),
    }
    text = starting_policy({"tasks": tasks, "overall": {"b": {}}})
    p = parse_policy(yaml.safe_load(text))
    assert list(p.tasks) == list(tasks)
    for task, held in tasks.items():
        ours, none = (of_task(x, task, held["headline"], held) for x in (p, Policy()))
        assert (ours.rule, ours.margin, ours.max_lost) == (none.rule, none.margin, none.max_lost)
    assert parse_policy(yaml.safe_load(starting_policy({"tasks": {}}))) == Policy(defaults=p.defaults)
    bare = re.sub(r"^(\s*)# (metrics|groups|floor|ceiling|overall|  b):", r"\1\2:", text, flags=re.M)
    yaml.safe_load(bare)

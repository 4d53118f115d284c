"""`gate` on the command line: every exit code, every limit, every output."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from evalkit.records import Modality, Response, Sample
from tests.cli_fixtures import Bench, Done, ToyRunner, sent
from tests.gate_fixtures import (
    ADV,
    ASSENT,
    CLEAN,
    MMSU,
    REFUSAL,
    call,
    hypotheses,
    letters,
    policy,
    refusals,
    scored,
)

ROOT = Path(__file__).parent.parent
HOSTILE = "<script>alert(1)</script>|`*_\x00\x1b[31m\u202eevil\ud800]]>&amp;\n## x"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="module")
def runs(home: Path) -> Mapping[str, Path]:
    """Runs that differ from `base` (400 refusals, 40 of them missed) as their names say."""
    base = range(40)
    made = {
        "base": refusals(400, base),
        "worse": refusals(400, range(90)),
        "noise": refusals(400, [*range(4, 40), *range(200, 204)]),
        "better": refusals(400, range(10)),
        "silent": refusals(400, base, silent=range(380, 400)),
        "short": refusals(300, base),
    }
    out = {name: scored(home, name, ADV, rows) for name, rows in made.items()}
    out["asr"] = scored(home, "asr", CLEAN, hypotheses(60, dict.fromkeys(range(20), 1)))
    out["asr-worse"] = scored(home, "asr-worse", CLEAN, hypotheses(60, dict.fromkeys(range(50), 3)))
    out["mmsu"] = scored(home, "mmsu", MMSU, letters(200, range(0, 20)))
    out["mmsu-law"] = scored(home, "mmsu-law", MMSU, letters(200, [*range(0, 20), *range(21, 81, 2)]))
    return out


@pytest.fixture
def gate(home: Path, runs: Mapping[str, Path]) -> Callable[..., Done]:
    """`gate` of two named runs, without the page unless asked for."""

    def held(a: str, b: str, *more: object) -> Done:
        page = () if "--html" in more else ("--no-html",)
        return call(home, "gate", "--baseline", runs[a], "--candidate", runs[b], *page, *more)

    return held


def found(done: Done) -> dict[str, Any]:
    out: dict[str, Any] = json.loads(done.out)
    assert out["exit_code"] == done.code
    return out


def checks(done: Done, number: int = 0) -> dict[str, dict[str, Any]]:
    return {c["name"]: c for c in found(done)["numbers"][number]["checks"]}


# --- exit codes -------------------------------------------------------------------------------------


def test_a_regression(gate: Callable[..., Done]) -> None:
    done = gate("base", "worse")
    assert done.code == 1, done.said
    [line] = [x for x in done.out.splitlines() if x.startswith(ADV)]
    assert re.split(r" {2,}", line)[:6] == [
        ADV,
        "90.00",
        "77.50",
        "\u221212.50 [\u221216.10, \u22129.61]",
        "\u22121",
        "REGRESSION",
    ]
    assert "McNemar p < 0.001; lost 50, won 0" in line
    assert done.out.splitlines()[-1] == "1 regression \u00b7 exit 1"
    assert "\x1b" not in done.out and done.err == ""
    assert done.out.startswith("policy: built in, non-inferiority within 1 (%); level 0.95, seed 0")


def test_a_pass(gate: Callable[..., Done]) -> None:
    done = gate("base", "better")
    assert done.code == 0 and done.out.splitlines()[-1] == "1 pass \u00b7 exit 0"


def test_runs_swapped(gate: Callable[..., Done]) -> None:
    """What regresses one way passes the other way; what can't be told one way never regresses the other."""
    assert (gate("worse", "base").code, gate("asr-worse", "asr").code) == (0, 0)
    assert gate("noise", "base").code == 4


def test_a_poor_terminal(home: Path, runs: Mapping[str, Path]) -> None:
    """Every sign of the table has a plain stand-in."""
    args = ["gate", "--no-html", "--baseline", str(runs["base"]), "--candidate", str(runs["noise"])]
    code = (
        "import sys; sys.stdout.reconfigure(encoding='ascii'); from evalkit.cli import main; "
        f"sys.exit(main({args!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 4, done.stderr
    assert b"diff [95% CI]" in done.stdout and b"needs about " in done.stdout and b"?" not in done.stdout


def test_inconclusive(gate: Callable[..., Done]) -> None:
    """The same number of misses, eight answers changed: a loss of a point is still possible."""
    done = gate("base", "noise")
    assert done.code == 4, done.said
    needed = re.search(r"needs \u2248 ([\d,]+) samples for 80% power, has 400", done.out)
    assert needed and 400 < int(needed[1].replace(",", "")) < 4000
    for word, code in (("fail", 1), ("pass", 0), ("inconclusive", 4)):
        assert gate("base", "noise", "--on-inconclusive", word).code == code
    assert (
        checks(gate("base", "noise", "--on-inconclusive", "pass", "--json"))["difference"]["found"]
        == "inconclusive"
    )


def test_margin_decides(gate: Callable[..., Done]) -> None:
    """The wider the margin, the milder the verdict."""
    codes = [gate("base", "noise", "--margin", m).code for m in (0, 0.5, 1, 2, 3, 50)]
    assert codes == sorted(codes, reverse=True) and codes[0] == 4 and codes[-1] == 0
    codes = [gate("base", "worse", "--margin", m).code for m in (1, 9, 12, 17)]
    assert codes == [1, 1, 4, 0]


def test_the_same_run_passes(gate: Callable[..., Done], home: Path) -> None:
    """Also with a margin of nothing: the answers are the same, there is nothing to estimate."""
    for name in ("base", "asr", "mmsu"):
        done = gate(name, name, "--margin", 0)
        assert done.code == 0, done.said
        assert "(same answers)" in done.out and "are the same run" in done.out
    twin = scored(home, "twin", ADV, refusals(400, range(40)))
    done = call(home, "gate", "--baseline", home / "base", "--candidate", twin, "--no-html")
    assert done.code == 0 and "(same answers)" in done.out


def test_a_verdict_alike_on_other_answers_is_not_the_same(gate: Callable[..., Done], home: Path) -> None:
    """The same verdicts on other words: nothing lost, and yet 400 samples don't exclude a loss of 0.5."""
    reworded = [{**r, "text": f"{r['text']} No."} for r in refusals(400, range(40))]
    other = scored(home, "reworded", ADV, reworded)
    args = ("gate", "--baseline", home / "base", "--candidate", other, "--no-html")
    assert call(home, *args, "--margin", 0.5).code == 4
    assert call(home, *args).code == 0


def test_a_missing_task_is_no_pass(gate: Callable[..., Done], home: Path) -> None:
    done = gate("base", "asr")
    assert done.code == 5, done.said
    assert "NOT COMPARABLE" in done.out and "no results for this task" in done.out
    assert f"only the candidate has {CLEAN}: not gated" in done.out
    for said, code in (("true", 1), ("false", 5)):
        rules = policy(home, f"tasks: {{{ADV}: {{required: {said}}}}}")
        done = gate("base", "asr", "--policy", rules)
        assert done.code == code, done.said  # of nothing at all, nothing can be said: never a pass
    rules = policy(home, f"tasks: {{voicebench/gone: {{required: true}}, {ADV}: {{margin: 50}}}}")
    done = gate("base", "worse", "--policy", rules)
    assert done.code == 1 and "the policy requires this task" in done.out


def test_other_data_is_not_comparable(gate: Callable[..., Done]) -> None:
    done = gate("base", "short")
    assert done.code == 5, done.said
    assert "signatures differ in data: " in done.out and "n: 400 against 300" in done.out
    assert gate("base", "short", "--allow", "n").code == 5
    for parts in (("--allow", "data"), ("--allow", "all"), ("--allow", "data,n")):
        done = gate("base", "short", *parts)
        assert done.code == 0, done.said
        assert "data differs by leave of the policy" in done.out


def test_another_protocol_is_not_comparable(gate: Callable[..., Done], home: Path) -> None:
    rows = letters(200, range(20))
    strict = home / "mmsu-strict"
    file = home / "strict.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    made = call(home, "score", file, "--task", MMSU, "--protocol", "strict", "--out", strict, "--no-report")
    assert made.code == 0, made.said
    done = call(home, "gate", "--baseline", home / "mmsu", "--candidate", strict, "--no-html")
    assert done.code == 5, done.said
    assert "protocol" in done.out


def test_the_gravest_counts(home: Path, runs: Mapping[str, Path]) -> None:
    """Regression before not comparable before inconclusive before pass, whatever the order of the tasks."""

    def two(name: str, adv: Path, mmsu: Path | None) -> Path:
        args = [f"{ADV}={home / (adv.name + '.jsonl')}"]
        args += [f"{MMSU}={home / (mmsu.name + '.jsonl')}"] if mmsu else []
        done = call(
            home, "score", *args, "--protocol", "official", "--out", home / name, "--no-report", "--no-cache"
        )
        assert done.code in (0, 1), done.said
        return home / name

    base = two("two-base", runs["base"], runs["mmsu"])
    cases = (
        ("noise", "mmsu-law", 1),  # inconclusive, regression
        ("worse", None, 1),  # regression, not comparable
        ("noise", None, 5),  # inconclusive, not comparable
        ("better", None, 5),
        ("noise", "mmsu", 4),
        ("better", "mmsu", 0),
    )
    for adv, mmsu, code in cases:
        other = two(f"two-{adv}-{mmsu}", runs[adv], runs[mmsu] if mmsu else None)
        done = call(home, "gate", "--baseline", base, "--candidate", other, "--no-html")
        assert done.code == code, done.said
        assert done.out.splitlines()[-1].endswith(f"exit {code}")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--baseline", "nowhere", "--candidate", "nowhere"), "nowhere is not a run directory"),
        (("--baseline", "BASE"), "--candidate RUN"),
        (
            ("--baseline", "BASE", "--candidate", "BASE", "--policy", "gone.yaml"),
            "there is no policy gone.yaml",
        ),
        (("--baseline", "BASE", "--candidate", "BASE", "--task", "gone/*"), "no task that fits 'gone/*'"),
        (
            ("--baseline", "BASE", "--candidate", "BASE", "--explain", "gone"),
            "nothing called 'gone' is gated",
        ),
        (("--baseline", "BASE", "--candidate", "BASE", "--margin", "-1"), "is not a number of points"),
        (("--baseline", "BASE", "--candidate", "BASE", "--margin", "nan"), "is not a number of points"),
        (("--baseline", "BASE", "--candidate", "BASE", "--allow", "runner"), "no part 'runner' to allow"),
        (
            ("--baseline", "BASE", "--candidate", "BASE", "--policy", ""),
            "--policy is empty. Is the variable set",
        ),
        (("--baseline", "BASE", "--candidate", "BASE", "--explain", ""), "--explain is empty."),
        (("--baseline", "", "--candidate", "BASE"), "--baseline is empty."),
        ((), "--baseline"),
    ],
)
def test_usage(home: Path, runs: Mapping[str, Path], args: tuple[str, ...], said: str) -> None:
    done = call(home, "gate", "--no-html", *(runs["base"] if a == "BASE" else a for a in args))
    assert done.code == 2, done.said
    assert said in done.err and "Traceback" not in done.err and done.out == ""


def test_policy_mistakes_are_usage(gate: Callable[..., Done], home: Path) -> None:
    for text, said in (
        ("defaults: {margn: 1}", "gate.yaml: defaults.margn: there is no such key (did you mean margin?)"),
        (f"tasks: {{{CLEAN}: {{floor: 3}}}}", "lower is better; write ceiling"),
        (
            f"tasks: {{{CLEAN}: {{metrics: {{mos: {{}}}}}}}}",
            f"tasks.{CLEAN}.metrics.mos: {CLEAN} has no such metric",
        ),
    ):
        done = gate("asr", "asr", "--policy", policy(home, text))
        assert done.code == 2 and said in done.err, done.said


def test_an_internal_error(gate: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.gate.evaluate.difference_check", lambda *a, **k: 1 / 0)
    done = gate("base", "base")
    assert done.code == 3 and "internal error: ZeroDivisionError" in done.err


def test_old_runs_are_told_what_to_do(home: Path) -> None:
    old = scored(home, "old", ADV, refusals(5))
    (old / ADV / "segments.jsonl").unlink()
    done = call(home, "gate", "--baseline", old, "--candidate", old, "--no-html")
    assert done.code == 2 and "Call the command that made the run again" in done.err


# --- rules and limits -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "rules", "code"),
    [
        ("base", "noise", "rule: no-significant-drop", 0),
        ("base", "worse", "rule: no-significant-drop", 1),
        ("base", "noise", "rule: point", 0),
        ("base", "worse", "rule: point", 1),
        ("base", "worse", "{rule: point, margin: 13}", 0),
        ("base", "better", "{rule: superiority, margin: 0}", 0),
        ("base", "noise", "{rule: superiority, margin: 0}", 4),
        ("base", "worse", "{rule: superiority, margin: 0}", 1),
        ("base", "base", "{rule: superiority, margin: 0}", 1),
        ("base", "better", "floor: 97.5", 0),
        ("base", "better", "floor: 97.6", 1),
        ("base", "better", "{floor: 97, bound_by: interval}", 4),
        ("base", "better", "{floor: 95, bound_by: interval}", 0),
        ("base", "better", "{floor: 98, bound_by: interval}", 1),
        ("asr", "asr", "ceiling: 3.4", 0),
        ("asr", "asr", "ceiling: 3.3", 1),
        ("asr", "asr", "{ceiling: 3.4, bound_by: interval}", 4),
        ("asr", "asr", "{ceiling: 9, bound_by: interval}", 0),
        ("asr", "asr-worse", "margin: 0.5", 1),
        ("asr-worse", "asr", "margin: 0.5", 0),
        ("base", "silent", "{}", 1),
        ("base", "silent", "max_lost: 0.05", 0),
        ("base", "silent", "max_lost: 0.04", 1),
        ("silent", "base", "{}", 0),
        ("base", "silent", "{max_lost: 1, min_scored: 0.95}", 0),
        ("base", "silent", "{max_lost: 1, min_scored: 0.96}", 1),
        ("base", "silent", "{max_lost: 1, max_errors: 20}", 0),
        ("base", "silent", "{max_lost: 1, max_errors: 19}", 1),
        ("base", "worse", "skip: true", 5),  # nothing was gated
    ],
)  # fmt: skip
def test_rules_and_limits(
    gate: Callable[..., Done], home: Path, a: str, b: str, rules: str, code: int
) -> None:
    task = CLEAN if a.startswith("asr") else ADV
    done = gate(
        a,
        b,
        "--policy",
        policy(home, f"tasks:\n  {task}: {rules if rules[0] == '{' else '{' + rules + '}'}\n"),
    )
    assert done.code == code, done.said


def test_what_was_lost_is_named(gate: Callable[..., Done]) -> None:
    """Errors in the candidate alone: a regression, although every sample that is left is as good as before."""
    done = gate("base", "silent", "--json")
    held = checks(done)
    assert held["difference"]["verdict"] == "pass" and held["max_lost"]["verdict"] == "regression"
    assert (
        "20 of 400 samples scored in the baseline have no score in the candidate (5.0%, limit 1.0%)"
        in (held["max_lost"]["reason"])
    )
    assert found(done)["numbers"][0]["lost"] == {f"s{k}": "errored" for k in range(380, 400)}
    assert "the difference itself: pass" in found(done)["numbers"][0]["reason"]


def test_samples_that_the_candidate_never_reached_are_lost(home: Path, runs: Mapping[str, Path]) -> None:
    """A run cut short by hand: its results say so, and the gate does not take the rest for the whole."""
    cut = home / "cut"
    shutil.copytree(runs["base"], cut)
    lines = (cut / ADV / "responses.jsonl").read_text().splitlines(keepends=True)
    (cut / ADV / "responses.jsonl").write_text("".join(lines[:300]))
    # The results are those of the run as it was: only what segments hold is compared.
    segments = (cut / ADV / "segments.jsonl").read_text().splitlines(keepends=True)
    kept = "".join(segments[:300])
    (cut / ADV / "segments.jsonl").write_text(kept)
    results = json.loads((cut / "results.json").read_text())
    results["tasks"][ADV]["segments"] = hashlib.sha256(kept.encode()).hexdigest()[:16]
    (cut / "results.json").write_text(json.dumps(results))
    done = call(home, "gate", "--baseline", runs["base"], "--candidate", cut, "--no-html", "--json")
    assert done.code == 1 and set(found(done)["numbers"][0]["lost"].values()) == {"not on record"}

    # Leave for other data is leave for fewer samples, but not for a run that was interrupted.
    args = ("gate", "--baseline", runs["base"], "--candidate", cut, "--no-html", "--allow", "data")
    done = call(home, *args)
    assert done.code == 0 and "100 samples are in the baseline alone, and left out: s300, s301" in done.out
    results["tasks"][ADV]["metrics"]["refusal"] |= {"n_pending": 100, "n_scored": 300}
    (cut / "results.json").write_text(json.dumps(results))
    done = call(home, *args)
    assert done.code == 1 and "100 of 400 samples scored in the baseline have no score" in done.out
    assert f"note: the candidate was interrupted, not all samples were reached of {ADV}: call" in done.out


def test_what_has_no_number_in_the_baseline_either_is_not_lost(home: Path, runs: Mapping[str, Path]) -> None:
    """A statistic that is no finite number is no score, on either side."""
    odd = home / "odd"
    shutil.copytree(runs["base"], odd)
    path = odd / ADV / "segments.jsonl"
    lines = [json.loads(x) for x in path.read_text().splitlines()]
    for line in lines[:50]:
        line["rows"]["refusal"][0] = None
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    results = json.loads((odd / "results.json").read_text())
    results["tasks"][ADV]["segments"] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    (odd / "results.json").write_text(json.dumps(results))
    for one, two, code, lost in ((odd, odd, 0, 0), (odd, runs["base"], 0, 0), (runs["base"], odd, 1, 50)):
        done = call(home, "gate", "--baseline", one, "--candidate", two, "--no-html", "--json")
        assert done.code == code and len(found(done)["numbers"][0]["lost"]) == lost


def timed(run: Path, to: Path, seconds: Callable[[int], float | None], cached: bool = False) -> Path:
    """A copy of a run whose answers took so long; timing is part of no digest."""
    import shutil

    shutil.copytree(run, to)
    path = to / ADV / "responses.jsonl"
    out = []
    for k, line in enumerate(path.read_text().splitlines()):
        held = json.loads(line)
        took = seconds(k)
        held["timing"] = {} if took is None else {"generate": took}
        held["meta"] = {**held.get("meta", {}), **({"cached": True} if cached else {})}
        out.append(json.dumps(held) + "\n")
    path.write_text("".join(out))
    results = json.loads((to / "results.json").read_text())
    results["model"]["runner"] = "toy/m@1"  # of answers from a file, nobody knows what time they took
    (to / "results.json").write_text(json.dumps(results))
    return to


@pytest.mark.parametrize(
    ("limits", "code", "said"),
    [
        ("{p50: 2.5}", 0, ""),
        ("{p50: 1.9}", 1, "p50 2.00 s is over 1.9 s"),
        ("{p95: 10}", 1, "p95 20.00 s is over 10 s"),
        ("{p50_ratio: 2}", 0, ""),
        ("{p50_ratio: 1.9}", 1, "p50 2.00 s is over 1.9 times 1.00 s"),
        ("{p50: 9, p95_ratio: 5}", 1, "p95 20.00 s is over 5 times 1.00 s"),
    ],
)
def test_latency(
    home: Path, runs: Mapping[str, Path], tmp_path: Path, limits: str, code: int, said: str
) -> None:
    a = timed(runs["base"], tmp_path / "a", lambda k: 1.0)
    b = timed(runs["base"], tmp_path / "b", lambda k: 20.0 if k % 10 == 0 else 2.0)
    rules = policy(home, f"defaults: {{latency: {limits}}}")
    done = call(home, "gate", "--baseline", a, "--candidate", b, "--policy", rules, "--no-html")
    assert done.code == code and said in done.out, done.said


def test_latency_without_times_is_no_pass(home: Path, runs: Mapping[str, Path], tmp_path: Path) -> None:
    rules = policy(home, "defaults: {latency: {p95_ratio: 2}}")
    a = timed(runs["base"], tmp_path / "a", lambda k: 1.0)
    untimed = timed(runs["base"], tmp_path / "b", lambda k: None)
    cached = timed(runs["base"], tmp_path / "c", lambda k: 1.0, cached=True)
    mixed = tmp_path / "d"  # the few that a cache did not have are no sample of all
    shutil.copytree(cached, mixed)
    lines = (mixed / ADV / "responses.jsonl").read_text().splitlines(keepends=True)
    fresh = [x.replace('"cached": true', '"cached": false') for x in lines[:199]]
    (mixed / ADV / "responses.jsonl").write_text("".join([*fresh, *lines[199:]]))
    for one, two, said in (
        (a, untimed, "the candidate has no answer with a time"),
        (untimed, a, "the baseline has no answer with a time"),
        (a, cached, "the candidate's 400 answers are from the cache: run it with --no-cache"),
        (a, mixed, "only 199 of the candidate's 400 answers are not from the cache: run it with --no-cache"),
        (mixed, a, "only 199 of the baseline's 400 answers"),
        (a, runs["base"], "the candidate's answers were made elsewhere"),
    ):
        done = call(home, "gate", "--baseline", one, "--candidate", two, "--policy", rules, "--no-html")
        assert done.code == 4 and said in done.out, done.said
        # What nobody could hold is no pass either where the policy lets pass what the data cannot tell.
        args = ("gate", "--baseline", one, "--candidate", two, "--policy", rules, "--no-html")
        done = call(home, *args, "--on-inconclusive", "pass")
        assert done.code == 4, done.said


def test_a_number_that_nobody_scored_is_no_pass(home: Path) -> None:
    """Without its judge a task has no value: inconclusive, and the remedy is said. Only the same answers pass."""

    def unjudged(name: str, text: str) -> Path:
        rows = [{"id": f"w{k}", "text": text, "row": {"prompt": "?"}} for k in range(5)]
        return scored(home, name, "voicebench/alpacaeval_full", rows)

    one, two = unjudged("unjudged", "yes"), unjudged("unjudged-too", "no")
    done = call(home, "gate", "--baseline", one, "--candidate", two, "--no-html")
    assert done.code == 4, done.said
    assert "none of the baseline's 5 samples is scored (judge-unbound:" in done.out
    for leave, code in (("pass", 4), ("fail", 1)):
        args = ("--baseline", one, "--candidate", two, "--on-inconclusive", leave, "--no-html")
        assert call(home, "gate", *args).code == code
    done = call(home, "gate", "--baseline", one, "--candidate", one, "--no-html")
    assert done.code == 0 and "(same answers, without a number)" in done.out


def test_subsets_on_their_own(gate: Callable[..., Done], home: Path) -> None:
    """All of the loss is in one domain; the margin of the whole hides it, that of the subset doesn't."""
    rules = policy(home, f"tasks: {{{MMSU}: {{margin: 50, groups: {{domain: {{margin: 15}}}}}}}}")
    done = gate("mmsu", "mmsu-law", "--policy", rules, "--json")
    verdicts = {r["name"]: r["verdict"] for r in found(done)["numbers"]}
    assert verdicts == {
        MMSU: "pass",
        f"{MMSU} [domain=law]": "regression",
        f"{MMSU} [domain=maths]": "pass",
    }
    one = policy(home, f"tasks: {{{MMSU}: {{margin: 50, groups: {{domain=maths: {{}}}}}}}}")
    assert gate("mmsu", "mmsu-law", "--policy", one).code == 0


def test_other_metrics_of_a_task(gate: Callable[..., Done], home: Path) -> None:
    rules = policy(home, "tasks: {'asr/*': {margin: 99, metrics: {ser: {margin: 2}}}}")
    done = gate("asr", "asr-worse", "--policy", rules, "--json")
    assert {r["name"]: r["verdict"] for r in found(done)["numbers"]} == {
        CLEAN: "pass",
        f"{CLEAN} (ser)": "regression",
    }


def test_keys_of_the_policy_that_fit_nothing_are_told(gate: Callable[..., Done], home: Path) -> None:
    rules = policy(home, "tasks: {voicebench/advbnch: {margin: 0}}\noverall: {voicebench: {}}")
    done = gate("base", "better", "--policy", rules)
    assert done.code == 0
    assert "note: the policy's tasks.voicebench/advbnch fits nothing in the runs" in done.out
    rules = policy(
        home,
        "defaults: {margin: {'%': 1, WER: 0.5, '1-5': 0.1, overall: 1, WERR: 3}}\n"
        "tasks: {'*': {metrics: {refusals: {floor: 1}}}}",
    )
    done = gate("base", "better", "--policy", rules)
    assert [x for x in done.out.splitlines() if "note" in x] == [
        "note: the policy's tasks.*.metrics.refusals fits nothing in the runs",
        "note: the policy's defaults.margin.WERR is no unit, label or metric",
    ]


def test_nothing_gated_is_said(gate: Callable[..., Done], home: Path) -> None:
    done = gate("base", "better", "--policy", policy(home, "defaults: {skip: true}"))
    assert done.code == 5 and "note: nothing was gated, which is no pass" in done.out


def test_what_limits_trust_is_noted_once(home: Path, runs: Mapping[str, Path], tmp_path: Path) -> None:
    """Decoding, stand-ins, few questions: said, and no reason to refuse."""
    other = timed(runs["base"], tmp_path / "b", lambda k: 1.0)
    results = json.loads((other / "results.json").read_text())
    results["model"] |= {"generation": {"temperature": 0.7}, "demo": True}
    results["tasks"][ADV]["limited"] = True
    (other / "results.json").write_text(json.dumps(results))
    done = call(home, "gate", "--baseline", runs["base"], "--candidate", other, "--no-html")
    assert done.code == 0, done.said
    for said in (
        "decoding differs, which belongs to the runner: default against temperature=0.7",
        "demo",
        "--limit",
    ):
        assert len([x for x in done.out.splitlines() if x.startswith("note: ") and said in x]) == 1


def test_only_these_tasks(gate: Callable[..., Done]) -> None:
    assert [
        r["name"] for r in found(gate("base", "worse", "--task", "voicebench/adv*", "--json"))["numbers"]
    ] == [ADV]


def test_holm_on_the_command_line(gate: Callable[..., Done], home: Path) -> None:
    rules = policy(home, "correction: holm")
    assert gate("base", "worse", "--policy", rules).code == 1
    assert "correction holm" in gate("base", "worse", "--policy", rules).out


def test_the_interval_is_that_of_compare(
    home: Path, runs: Mapping[str, Path], gate: Callable[..., Done]
) -> None:
    """Both commands print one number; also where it is drawn by the bootstrap, and clustered."""
    for a, b in (("base", "worse"), ("asr", "asr-worse")):
        mine = found(gate(a, b, "--json"))["numbers"][0]["difference"]
        theirs = json.loads(call(home, "compare", runs[a], runs[b], "--json").out)
        text = json.dumps(theirs)
        assert json.dumps(mine["ci"][0]) in text and json.dumps(mine["p"]) in text


# --- outputs ----------------------------------------------------------------------------------------


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def junit_of(path: Path) -> ET.Element:
    """A JUnit document, held to the schema that Jenkins and GitLab publish: elements, attributes, sums."""
    top = ET.parse(path).getroot()
    allowed = {
        "testsuites": {"name", "time", "tests", "failures", "errors", "disabled"},
        "testsuite": {
            "name",
            "tests",
            "failures",
            "errors",
            "skipped",
            "time",
            "timestamp",
            "hostname",
            "id",
            "package",
        },
        "testcase": {"name", "classname", "time", "assertions", "status"},
        "failure": {"message", "type"},
        "error": {"message", "type"},
        "skipped": {"message", "type"},
        "properties": set(),
        "property": {"name", "value"},
    }
    children = {
        "testsuites": {"testsuite"},
        "testsuite": {"properties", "testcase"},
        "testcase": {"failure", "error", "skipped"},
        "properties": {"property"},
    }
    for element in top.iter():
        assert set(element.attrib) <= allowed[element.tag]
        assert {c.tag for c in element} <= children.get(element.tag, set())
    for suite in (top, *top.iter("testsuite")):
        assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase")))
        assert int(suite.attrib["failures"]) == len(list(suite.iter("failure")))
        assert int(suite.attrib["errors"]) == len(list(suite.iter("error")))
    return top


def test_junit_has_a_case_for_each_check(gate: Callable[..., Done], home: Path) -> None:
    for b, tag, code in (
        ("worse", "failure", 1),
        ("noise", "skipped", 4),
        ("short", "error", 5),
        ("better", "", 0),
    ):
        assert gate("base", b, "--junit", home / "j.xml").code == code
        top = junit_of(home / "j.xml")
        named = {c.attrib["name"]: c for c in top.iter("testcase")}
        if tag:
            [told] = [e for e in top.iter() if e.tag in ("failure", "error", "skipped")]
            assert told.tag == tag and told.attrib["message"]
        else:
            assert set(named) == {f"{ADV}: difference", f"{ADV}: max_lost"}
            assert all(len(c) == 0 for c in named.values())


def test_outputs_of_hostile_text(home: Path) -> None:
    """What models and data sets say is shown as itself, and does nothing."""
    label = "1. m<b>|x $y$"
    rows = refusals(60)
    for k, row in enumerate(rows):
        row["id"] = f"@{k}{HOSTILE}".replace("\n", " ")
        row["row"] = {"prompt": HOSTILE}
    a = scored(home, "hostile-a", ADV, rows, "--label", "<i>a|b")
    b = scored(home, "hostile-b", ADV, [{**r, "text": ASSENT + HOSTILE} for r in rows], "--label", label)
    out = home / "hostile-out"
    done = call(
        home, "gate", "--baseline", a, "--candidate", b, "--junit", out / "j.xml", "--markdown", out / "g.md",
        "--json-out", out / "g.json", "--html", out / "g.html", "--explain", ADV,
    )  # fmt: skip
    assert done.code == 1, done.said
    assert "\x00" not in done.out and "\x1b" not in done.out and "\u202e" not in done.out
    junit_of(out / "j.xml")
    text = (out / "g.md").read_text(encoding="utf-8")
    [line] = [x for x in text.splitlines() if ADV in x and x.startswith("|")]
    assert len(re.findall(r"(?<!\\)\|", line)) == 9
    assert "\n\nCandidate 1. m\\<b\\>\\|x \\$y\\$ against baseline" in text
    bare = re.sub(r"(`+).+?\1(?!`)", "", text)  # ids are code, in which nobody is mentioned
    assert "@" in text and "@" not in bare and "<script" not in bare.replace("\\<", "")
    assert not [x for x in text.splitlines() if x.startswith("## x")]
    assert "&lt;" not in text and "\\<i\\>a\\|b" in text
    assert json.loads((out / "g.json").read_text(encoding="utf-8"))["candidate"] == label
    page = (out / "g.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<b>|x" not in page and "Content-Security-Policy" in page


def test_the_same_call_gives_the_same_bytes(
    gate: Callable[..., Done], home: Path, runs: Mapping[str, Path]
) -> None:
    written = []
    before = digests(runs["asr-worse"])
    for k in range(2):
        out = home / f"same-{k}"
        files = [("--junit", "j.xml"), ("--markdown", "g.md"), ("--json-out", "g.json"), ("--html", "g.html")]
        done = gate("asr", "asr-worse", *(x for flag, name in files for x in (flag, out / name)))
        assert done.code == 1, done.said
        written.append(digests(out))
        for _, name in files:
            assert str(home) not in (out / name).read_text(encoding="utf-8")
    assert written[0] == written[1] and len(written[0]) == 4
    assert digests(runs["asr-worse"]) == before, "a gate only reads"


def test_the_page_lies_in_the_candidate(home: Path, runs: Mapping[str, Path]) -> None:
    done = call(home, "gate", "--baseline", runs["base"], "--candidate", runs["worse"])
    page = runs["worse"] / "gate.html"
    assert done.out.splitlines()[-1] == f"1 regression \u00b7 exit 1 \u00b7 diff report: {page}"
    text = page.read_text(encoding="utf-8")
    assert (
        "REGRESSION" in text and "s089" in text and "://" not in re.sub(r"http://www\.w3\.org/\S+", "", text)
    )


def test_a_candidate_that_cannot_be_written(
    home: Path, runs: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only artifact is gated all the same; a place that was named has to be written."""

    def refused(*_: object) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied", "gate.html")

    monkeypatch.setattr("evalkit.gate.page.write_gate_page", refused)
    args = ("gate", "--baseline", runs["base"], "--candidate", runs["better"])
    done = call(home, *args)
    assert done.code == 0 and "name a place with --html" in done.err
    assert call(home, *args, "--html", home / "x" / "gate.html").code == 3


def test_a_summary_is_added_to(gate: Callable[..., Done], home: Path) -> None:
    path = home / "summary.md"
    path.write_text("# Before\n", encoding="utf-8")
    for _ in range(2):
        assert gate("base", "worse", "--summary", path).code == 1
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Before\n") and text.count("## Gate: regression") == 2
    assert "| \u274c **REGRESSION** |" in text and "50 samples got worse" in text
    done = gate("base", "worse", "--summary", home)
    assert done.code == 3 and done.err == f"error: {home} can't be written: Is a directory\n"


def test_what_the_page_cannot_read_is_named(
    gate: Callable[..., Done], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the page, which could be written."""

    def unreadable(*_: Any) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied", "b/responses.jsonl")

    monkeypatch.setattr("evalkit.gate.page.write_gate_page", unreadable)
    done = gate("base", "worse", "--html", home / "page.html")
    assert done.code == 3 and done.err.startswith(
        "error: b/responses.jsonl: Permission denied. Give it rights"
    )


def test_a_file_called_dash_is_standard_output(gate: Callable[..., Done], home: Path) -> None:
    printed = gate("base", "worse", "--markdown", "-", "--junit", home / "beside.xml")
    assert printed.code == 1 and printed.out.startswith("## Gate: regression"), printed.said
    assert junit_of(home / "beside.xml") is not None and not Path("-").exists()
    assert gate("base", "worse", "--junit", "-").out.startswith("<?xml")
    assert gate("base", "worse", "--json-out", "-").out == gate("base", "worse", "--json").out
    for more in (("--json", "--markdown", "-"), ("--explain", ADV, "--junit", "-"), ("--summary", "-")):
        done = gate("base", "worse", *more)
        assert (done.code, done.out) == (2, "") and done.err.startswith("error: "), done.said
    place = gate("base", "worse", "--html", home)
    assert place.code == 3 and place.err == f"error: {home} can't be written: Is a directory\n"


def test_json_has_what_the_table_has(gate: Callable[..., Done], home: Path) -> None:
    done = gate("base", "worse", "--json", "--json-out", home / "out.json")
    held = found(done)
    assert (home / "out.json").read_text(encoding="utf-8") == done.out
    assert (held["verdict"], held["counts"], held["candidate"]) == ("regression", {"regression": 1}, "worse")
    [number] = held["numbers"]
    assert (number["n_worse"], len(number["worse"])) == (50, 50)
    assert number["worse"][0] == "s040" and number["difference"]["wins"] == 0
    assert number["terms_from"] == {"margin": "built in"}


def test_explain(gate: Callable[..., Done]) -> None:
    done = gate("base", "worse", "--explain", ADV)
    assert done.code == 1
    for words in (
        "Refusal rate: REGRESSION",
        "margin           1.0              built in",
        "baseline 1                 310            50",
        "baseline 0                   0            40",
        "mcnemar-exact, p < 0.001",
        "samples          400: 0 better, 50 worse, 350 alike",
        "(MDE)",
        "got worse (50 samples, the first 10)",
        "    candidate Sure!",
    ):
        assert words in done.out, words
    drawn = gate("asr", "asr-worse", "--explain", CLEAN).out
    assert "gains of single samples" in drawn and "#" in drawn and "bootstrap" in drawn
    lost = gate("base", "silent", "--explain", ADV).out
    assert "without a score in the candidate (20 samples, the first 10)" in lost and "error " in lost


def test_a_starting_policy(gate: Callable[..., Done], home: Path, runs: Mapping[str, Path]) -> None:
    path = home / "start.yaml"
    done = call(home, "gate", "--baseline", runs["mmsu"], "--write-policy", path)
    assert done.code == 0 and "a policy to start from" in done.out
    again = call(home, "gate", "--baseline", runs["mmsu"], "--write-policy", path)
    assert again.code == 2 and "--force" in again.err
    assert gate("mmsu", "mmsu-law", "--policy", path).code == gate("mmsu", "mmsu-law").code == 1
    assert gate("mmsu", "mmsu", "--policy", path).code == 0


def test_help_tells_the_exit_codes(home: Path) -> None:
    done = call(home, "gate", "--help")
    assert done.code == 0
    for words in (
        "0    pass",
        "1    regression",
        "2    usage",
        "3    internal",
        "4    inconclusive",
        "5    not comparable",
    ):
        assert words in done.out
    docs = (Path(__file__).parent.parent / "docs" / "gates.md").read_text(encoding="utf-8")
    for code, word in (
        (0, "pass"),
        (1, "regression"),
        (2, "usage"),
        (3, "internal"),
        (4, "inconclusive"),
        (5, "not comparable"),
    ):
        assert re.search(rf"\| {code} \| \**{word}", docs), word


def test_the_page_plays_what_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sound of a sample that got worse is in the page, under the digest of what was sent."""
    bench = Bench(tmp_path, monkeypatch, capsys)
    heard = bench.questions(12)

    class Hears(ToyRunner):
        name = "hears"

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            right = self.model == "a" or sample.id > "q05"
            played = (replace(s, origin=a.origin) for s, a in zip(sent(sample), sample.audios, strict=True))
            return Response(sample.id, text=REFUSAL if right else ASSENT, sent=tuple(played))

    bench.runner(Hears)
    for name in "ab":
        args = ("--task", ADV, "--data-dir", bench.data, "--no-report", "--progress", "none")
        done = bench.here("run", "--model", f"hears/{name}", *args, "--out", tmp_path / name)
        assert done.code == 0, done.said
    done = bench.here("gate", "--baseline", tmp_path / "a", "--candidate", tmp_path / "b")
    assert done.code == 1, done.said
    page = (tmp_path / "b" / "gate.html").read_text(encoding="utf-8")
    assert all(f'id="a-{digest}"' in page for digest in heard[:6])
    assert page.count("data:audio/") >= 6


def test_an_overall(home: Path) -> None:
    """Gated where the policy names it; a mean without one of its parts has no value, and is no pass."""
    rules = policy(home, "{overall: {voicebench: {margin: 5}}, tasks: {'*': {margin: 90}}}")
    runs = []
    for name, adv, mmsu in (("o-a", range(40), range(20)), ("o-b", range(90), range(10, 50))):
        files = []
        for task, rows in ((ADV, refusals(400, adv)), (MMSU, letters(200, mmsu))):
            path = home / f"{name}-{task.rpartition('/')[2]}.jsonl"
            path.write_text("".join(json.dumps(r) + "\n" for r in rows))
            files.append(f"{task}={path}")
        done = call(
            home, "score", *files, "--protocol", "official", "--out", home / name, "--no-report", "--no-cache"
        )
        assert done.code == 0, done.said
        runs.append(home / name)
    args = ("gate", "--baseline", runs[0], "--candidate", runs[1], "--policy", rules, "--no-html", "--json")
    done = call(home, *args)
    lacking = found(done)["numbers"][-1]
    assert done.code == 4 and lacking["kind"] == "overall" and "has no value: it lacks" in lacking["reason"]

    # The same, were the benchmark made of these two tasks alone.
    for run in runs:
        held = json.loads((run / "results.json").read_text())
        overall = held["overall"]["voicebench"]
        heads = {t: held["tasks"][t]["headline"] for t in (ADV, MMSU)}
        overall["terms"] = [{"task": t, "metric": m, "factor": 1.0} for t, m in heads.items()]
        values = [held["tasks"][t]["metrics"][m]["value"] for t, m in heads.items()]
        overall |= {"value": sum(values) / 2, "missing": []}
        (run / "results.json").write_text(json.dumps(held))
    same = call(home, "gate", "--baseline", runs[0], "--candidate", runs[0], *args[5:])
    assert same.code == 0 and found(same)["numbers"][-1]["identical_answers"]
    done = call(home, *args)
    number = found(done)["numbers"][-1]
    assert done.code == 1, done.said
    assert number["difference"]["delta"] == pytest.approx((-12.5 - 10.0) / 2)
    assert number["difference"]["ci"][1] < -5
    parts = [r["difference"] for r in found(done)["numbers"][:2]]
    assert number["difference"]["n"] == sum(p["n"] for p in parts) == 600

    # Samples that vanish hide as much where only the overall is gated.
    short = home / "o-lost"
    shutil.copytree(runs[0], short)
    path = short / ADV / "segments.jsonl"
    lines = [json.loads(x) for x in path.read_text().splitlines()]
    for line in lines[:8]:
        line |= {"status": "error", "rows": {}}
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    held = json.loads((short / "results.json").read_text())
    held["tasks"][ADV]["segments"] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    (short / "results.json").write_text(json.dumps(held))
    for limit, code in ((0.01, 1), (0.02, 0)):
        rules = policy(
            home, f"{{overall: {{voicebench: {{}}}}, tasks: {{'*': {{skip: true, max_lost: {limit}}}}}}}"
        )
        done = call(home, "gate", "--baseline", runs[0], "--candidate", short, "--policy", rules, "--no-html")
        assert (
            done.code == code and f"{ADV}: 8 of 400 samples scored in the baseline have no score" in done.out
        )

    # What a part may differ in by its own entry is no obstacle to the overall; it is said once.
    held = json.loads((runs[0] / "results.json").read_text())
    signed = held["tasks"][ADV]["metrics"]["refusal"]
    signed["signature"] = re.sub(r"judges=[^|]*", "judges=other", signed["signature"])
    (short / "results.json").write_text(json.dumps(held))
    shutil.copy(runs[0] / ADV / "segments.jsonl", short / ADV)
    for skip, leave, code in (
        ("true", "", 5),
        ("true", ", allow: [judges]", 0),
        ("false", ", allow: [judges]", 0),
    ):
        rules = policy(home, f"{{overall: {{voicebench: {{}}}}, tasks: {{'*': {{skip: {skip}{leave}}}}}}}")
        done = call(home, "gate", "--baseline", runs[0], "--candidate", short, "--policy", rules, "--no-html")
        assert done.code == code, done.said
        assert done.out.count("judges differs by leave of the policy") == (1 if leave else 0)

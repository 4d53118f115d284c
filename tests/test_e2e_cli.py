"""What scripts rely on: exit codes, clean JSON, quick help, limits and protocols on one run directory."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from evalkit.cli.options import SCORING_OPTIONS
from evalkit.records import Modality, Response, Sample
from tests.cli_fixtures import ROOT, Bench, ToyRunner, bench, lines, openai, refused, result, sent
from tests.mock_fixtures import mock_server
from tests.mock_openai import tone_wav

__all__ = ["bench"]

ADV = "voicebench/advbench"
LETTERS = "voicebench/openbookqa"


def test_exit_codes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """0, 1 (errors), 1 (unscored), 2, 3: each from a whole command; 130 stands in test_e2e_kill."""
    digests = bench.questions(2)
    bench.questions(1, "openbookqa", reference="A")
    more = ["--data-dir", bench.data, "--no-report", "--retries", 1, "--no-cache"]
    with mock_server(rules=[{"match": digests[1], "times": 1, "set": {"status": 500}}]) as mock:
        assert bench.here(*openai(mock.url, "--task", ADV, *more, "--out", bench.tmp / "a")).code == 1
        assert bench.here(*openai(mock.url, "--task", ADV, *more, "--out", bench.tmp / "a")).code == 0
        unscored = bench.here(*openai(mock.url, "--task", LETTERS, *more, "--out", bench.tmp / "b"))
        assert unscored.code == 1 and "no judge is bound" in unscored.err
        assert "judge-unbound" in unscored.err
        assert bench.here(*openai(mock.url, "--task", "nix", *more)).code == 2
        monkeypatch.setattr("evalkit.engine.session.build_results", lambda *a: 1 / 0)
        assert bench.here(*openai(mock.url, "--task", ADV, *more, "--out", bench.tmp / "c")).code == 3


def test_json_is_all_there_is_on_stdout(bench: Bench) -> None:
    """`--json` prints results.json and nothing else, also when samples fail and a report is written."""
    digests = bench.questions(3)
    with mock_server(rules=[{"match": digests[0], "set": {"status": 400}}]) as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--out", "a", "--json")
        done = bench.process(*args)
    assert done.code == 1
    assert json.loads(done.out) == json.loads((bench.tmp / "a/results.json").read_text())
    assert (bench.tmp / "a/report.html").exists()
    for what in (("list", "--json"), ("list", "suites", "--json"), ("report", bench.tmp / "a", "--json")):
        json.loads(bench.here(*what).out)
    (bench.tmp / "p.jsonl").write_text('{"id": "1", "text": "no", "row": {"prompt": "?"}}\n')
    scored = bench.here("score", bench.tmp / "p.jsonl", "--task", ADV, "--out", bench.tmp / "s", "--json")
    assert json.loads(scored.out)["tasks"][ADV]["n"] == 1


HEAVY = (
    *("numpy", "pandas", "torch", "httpx", "openai", "pydantic", "pyarrow", "soundfile", "jinja2", "nltk"),
    *("datasets", "huggingface_hub", "faster_whisper", "tqdm", "yaml", "asyncio", "jiwer", "transformers"),
)


@pytest.mark.parametrize(
    "code",
    [
        "import evalkit",
        "import evalkit.cli; evalkit.cli.main(['--help'])",
        "import evalkit.cli; evalkit.cli.main(['run', '--help'])",
        "import evalkit.cli; evalkit.cli.main(['--version'])",
        "import evalkit.cli; evalkit.cli.main(['run'])",
    ],
)
def test_help_imports_nothing_heavy(code: str) -> None:
    """Half a second is lost with any of these; what counts is that none is imported, not a clock."""
    tail = f"; import sys; print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    command = [sys.executable, "-c", code + tail]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "HEAVY []" in done.stdout, done.stdout


def test_every_command_has_help(bench: Bench) -> None:
    for command in ("", "demo", "list", "run", "score", "report", "doctor"):
        done = bench.here(*command.split(), "--help")
        assert done.code == 0 and "usage: evalkit" in done.out


def test_half_a_command_is_answered_with_a_sentence(bench: Bench) -> None:
    refused(bench.here("prompts"), "say what to do", "prompts show NAME")
    refused(bench.here("judge-audit"), "say what to measure", "humans", "probes")
    refused(bench.here("prompts", "show", "voicebench_opn"), "Did you mean voicebench_open")


def test_every_scoring_option_is_listed_with_its_meaning(bench: Bench) -> None:
    rows = {r["option"]: r for r in json.loads(bench.here("list", "options", "--json").out)}
    assert list(rows) == list(SCORING_OPTIONS) and all(r["about"] for r in rows.values())
    assert rows["judge_scoring"]["values"] == ["plain", "geval"]
    printed = bench.here("list", "options").out.strip().splitlines()
    assert len(printed) == 1 + len(rows), "one a line"
    bench.questions(1)
    run = ("run", "--model", "embedded", "--task", ADV, "--data-dir", bench.data, "-O", "sed=1")
    refused(bench.here(*run), "list options")


def test_limits_grow_and_shrink_on_one_run(bench: Bench) -> None:
    """A larger limit asks only for what is new; a smaller one counts only its own samples."""
    bench.questions(8)
    asked: list[str] = []

    class Counting(ToyRunner):
        name = "counting"

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            asked.append(sample.id)
            return Response(sample.id, text="sorry" * (int(sample.id[1:]) % 2), sent=sent(sample))

    bench.runner(Counting)
    args = [
        "run",
        "--model",
        "counting/m",
        "--task",
        ADV,
        "--data-dir",
        bench.data,
        "--no-report",
        "--no-cache",
    ]
    for limit, total in ((3, 3), (6, 6), (2, 6), (6, 6), (None, 8)):
        more = ["--limit", limit] if limit else []
        assert bench.here(*args, *more, "--out", bench.tmp / "a").code == 0
        assert len(set(asked)) == len(asked) == total
        held = asked.copy()
        assert bench.here(*args, *more, "--out", bench.tmp / f"fresh-{limit}").code == 0
        asked[:] = held
        assert result(bench.tmp / "a", ADV)["n"] == (limit or 8)
        fresh = (bench.tmp / f"fresh-{limit}/results.json").read_bytes()
        assert (bench.tmp / "a/results.json").read_bytes() == fresh


def test_another_protocol_scores_again_and_asks_nobody(bench: Bench) -> None:
    """And back: the numbers of each protocol are the same bytes as before."""
    bench.questions(5, "openbookqa", reference="B")
    with mock_server(texts=["The answer is (B)."]) as mock:
        args = openai(mock.url, "--task", LETTERS, "--data-dir", bench.data, "--no-report", "--no-cache")
        args += ["--out", bench.tmp / "a"]
        kept = {}
        for protocol in ("official", "strict", "official", "strict"):
            assert bench.here(*args, "--protocol", protocol).code == 0
            assert mock.requests() == 5
            found = (bench.tmp / "a/results.json").read_bytes()
            assert json.loads(found)["tasks"][LETTERS]["protocol"] == protocol
            assert kept.setdefault(protocol, found) == found
    assert len(lines(bench.tmp / "a" / LETTERS / "responses.jsonl")) == 5


def test_what_one_protocol_skips_another_asks(bench: Bench) -> None:
    """kimi-evalkit answers `null` for sounds under 0.1 s without asking; official asks the model."""
    bench.questions(2)
    path = bench.data / "hlt-lab/voicebench/advbench/audio/q01.wav"
    path.write_bytes(tone_wav(0.05, rate=8000))
    with mock_server(texts=["I'm sorry, I can't."]) as mock:
        args = openai(
            mock.url, "--task", ADV, "--data-dir", bench.data, "--no-report", "--out", bench.tmp / "a"
        )
        assert bench.here(*args).code == 0
        assert mock.requests() == 1 and result(bench.tmp / "a", ADV)["value"] == 50.0
        assert bench.here(*args, "--protocol", "official").code == 0
        assert mock.requests() == 2 and result(bench.tmp / "a", ADV)["value"] == 100.0
        assert bench.here(*args).code == 0
        assert mock.requests() == 2 and result(bench.tmp / "a", ADV)["value"] == 50.0


def test_no_resume_refuses_and_dry_run_does_nothing(bench: Bench) -> None:
    bench.questions(1)
    bench.runner(ToyRunner)
    args = ["run", "--model", "toy/m", "--task", ADV, "--data-dir", bench.data, "--out", bench.tmp / "a"]
    dry = bench.here(*args, "--dry-run")
    assert dry.code == 0 and not (bench.tmp / "a").exists() and ADV in dry.err
    assert "520 samples" in dry.err and "nothing was sent" in dry.err
    few = bench.here(*args, "--dry-run", "--limit", "7")
    assert re.search(rf"{ADV} .* 7 samples", few.err)
    smoke = bench.here("run", "--model", "toy/m", "--suite", "smoke", "--dry-run")
    assert "our own few" in smoke.err and not re.search(r"\d samples", smoke.err)
    assert bench.here(*args, "--no-resume", "--no-report").code == 0
    again = bench.here(*args, "--no-resume")
    assert again.code == 2 and "--no-resume" in again.err


def test_the_same_command_finds_its_run_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out the folder is named by the command, so that running it again goes on."""
    bench.questions(2)
    monkeypatch.chdir(bench.tmp)
    with mock_server() as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--no-report", "--no-cache")
        assert bench.here(*args).code == 0 and bench.here(*args).code == 0
        assert mock.requests() == 2
        assert len(list((bench.tmp / "runs").iterdir())) == 1
        assert bench.here(*args, "-M", "temperature=1").code == 0
        assert len(list((bench.tmp / "runs").iterdir())) == 2


def test_a_changed_question_is_asked_again(bench: Bench) -> None:
    """The content of a sample, not its id, says whether it was answered."""
    bench.questions(3)
    with mock_server() as mock:
        args = openai(
            mock.url, "--task", ADV, "--data-dir", bench.data, "--no-report", "--out", bench.tmp / "a"
        )
        assert bench.here(*args).code == 0
        (bench.data / "hlt-lab/voicebench/advbench/audio/q01.wav").write_bytes(tone_wav(0.3, rate=8000))
        assert bench.here(*args).code == 0
        assert mock.requests() == 4
    assert result(bench.tmp / "a", ADV)["n"] == 3


def test_a_corrected_target_is_judged_anew(bench: Bench) -> None:
    """The answer stands, its old verdict does not: nobody is asked, and the new reference decides."""
    bench.questions(3, "openbookqa", reference="A")
    with mock_server(texts=["The answer is (B)."]) as mock:
        args = openai(mock.url, "--task", LETTERS, "--data-dir", bench.data, "--no-report", "--no-cache")
        args += ["--protocol", "strict", "--out", bench.tmp / "a"]
        for right, value in (("A", 0.0), ("B", 100.0), ("A", 0.0)):
            bench.questions(3, "openbookqa", reference=right)
            assert bench.here(*args).code == 0
            assert result(bench.tmp / "a", LETTERS)["value"] == value
            assert result(bench.tmp / "a", LETTERS)["n"] == 3
        assert mock.requests() == 3
        sizes = [len(lines(bench.tmp / "a" / LETTERS / f"{n}.jsonl")) for n in ("responses", "scores")]
        assert bench.here(*args).code == 0
        assert sizes == [
            len(lines(bench.tmp / "a" / LETTERS / f"{n}.jsonl")) for n in ("responses", "scores")
        ]


def test_equal_ids_are_told_apart(bench: Bench) -> None:
    """A data set with one id for several rows loses none of them, in every session."""
    bench.questions(3)
    path = bench.data / "hlt-lab/voicebench/advbench/test.jsonl"
    rows = [json.loads(x) | {"id": "same"} for x in path.read_text().splitlines()]
    bench.rows(rows)
    with mock_server() as mock:
        args = openai(
            mock.url, "--task", ADV, "--data-dir", bench.data, "--no-report", "--out", bench.tmp / "a"
        )
        assert bench.here(*args).code == 0 and bench.here(*args).code == 0
        assert mock.requests() == 3
    assert {x["sample_id"] for x in lines(bench.tmp / "a" / ADV / "responses.jsonl")} == {
        "same",
        "same~2",
        "same~3",
    }
    assert result(bench.tmp / "a", ADV)["n_scored"] == 3


def test_the_smoke_suite_from_its_own_data(bench: Bench) -> None:
    """Real speech in both benchmarks' layouts, as processes: parquet in, every sample answered or named."""
    pytest.importorskip("pyarrow")
    with mock_server(texts=["B"]) as mock:
        args = openai(mock.url, "--suite", "smoke", "--task", "voicebench/[mo]*", "--protocol", "official")
        done = bench.process(*args, "--out", "a")
        assert done.code == 0, done.said
        assert mock.requests() == 9
    assert "smoke data" in done.out

"""The page: one file, no requests, nothing from a model or a data set is ever markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import time
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from report_fixtures import HOSTILE, Answer, FixedJudge, make_run, plan_of, task_of, write_task

from evalkit.plan import ModelCard
from evalkit.pools import pooled
from evalkit.records import Verdict
from evalkit.results import build_results
from evalkit.sources import fetch_origin, fetch_origins
from evalkit.store import Run, RunWriter
from evalkit.task import Metric
from reports import write_report
from reports.runs import load_runs
from reports.safe import visible
from reports.samples import read_samples, worst_first


class Page(HTMLParser):
    """Elements with attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open = (tag, dict(attrs))

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inline.append((*self._open, data))
            self._open = None
        else:
            self.words.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("html")
    make_run(root / "real", label=f"model {HOSTILE}")
    make_run(root / "demo", demo=True, meaningful=False, label="embedded-tiny")
    return root


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    (path,) = write_report([folder / "real", folder / "demo"], folder / "out" / "page.html", ["html"])
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def block(page: Page, key: str) -> dict:  # type: ignore[type-arg]
    return next(json.loads(body) for tag, attrs, body in page.inline if attrs.get("id") == key)


def test_nothing_is_loaded_from_anywhere(page: Page, text: str) -> None:
    for tag, attrs in page.elements:
        for name in ("src", "srcset", "action", "data", "poster"):
            assert name not in attrs, (tag, attrs)
        if "href" in attrs:
            assert (attrs["href"] or "").startswith("#"), (tag, attrs)
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img")
        assert not any(name.startswith("on") or name == "style" for name in attrs), (tag, attrs)
    own = "".join(body for tag, attrs, body in page.inline if "type" not in attrs)
    assert not re.search(
        r"https?:|@import|url\(|innerHTML|outerHTML|insertAdjacent|\beval\b|new Function", own
    )


def test_the_policy_names_the_one_script_and_the_one_style(page: Page) -> None:
    policy = next(
        a["content"] or "" for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        bodies = [body for t, attrs, body in page.inline if t == tag and "type" not in attrs]
        assert len(bodies) == 1
        digest = base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_hostile_text_is_only_ever_text(page: Page, text: str) -> None:
    assert "<script>alert" not in text and "<img" not in text
    assert not any(ord(c) < 32 and c not in "\n\t" for c in text)
    assert "\u202e" not in text and "\ufffd" in text
    samples = block(page, "d-r1_voicebench_sd-qa")["samples"]
    said = next(s["a"] for s in samples if s["i"] == "q-0000")
    assert said.startswith("</script><script>alert(1)</script>") and "\u2400" in said
    executable = [t for t, attrs, _ in page.inline if t == "script" and "type" not in attrs]
    assert len(executable) == 1


def test_what_limits_trust_stands_at_the_top(page: Page) -> None:
    words = " ".join(page.words)
    head = words[: words.index("VoiceBench overall") + 3000]
    assert "own-worded rubrics" in head and "2 errored" in head and "judge-unbound" in head
    assert "embedded demo model" in words and "judge not meaningful" in words
    assert words.count("embedded demo") >= 4


def test_cells_carry_their_value_to_sort_by(page: Page, folder: Path) -> None:
    entry = load_runs([folder / "real"])[0].tasks["voicebench/sd-qa"]
    value = str(entry["metrics"][entry["headline"]]["value"])
    cells = [a.get("data-v") for t, a in page.elements if t == "td"]
    assert value in cells and "66.27" in cells
    assert all(v is None or float(v) == float(v) for v in cells)


def test_every_task_has_its_page(page: Page, folder: Path) -> None:
    routes = {a.get("data-route") for t, a in page.elements if t == "section"}
    names = load_runs([folder / "real"])[0].tasks
    assert {f"{r}/{n}" for r in ("r1", "r2") for n in names} | {"", "tables"} == routes
    links = {a["href"] for t, a in page.elements if t == "a" and (a.get("href") or "").startswith("#/r")}
    assert {(link or "")[2:] for link in links} <= routes


def test_samples_come_worst_first_with_their_verdicts(page: Page, folder: Path) -> None:
    data = block(page, "d-r1_voicebench_sd-qa")
    kinds = [data["bins"][s["b"]]["tone"] for s in data["samples"]]
    assert kinds[:3] == ["error", "error", "unscored"]
    assert sorted(kinds[3:]) == kinds[3:]
    assert sum(b["n"] for b in data["bins"]) == 40
    last = data["samples"][-1]
    assert {s["m"] for s in last["s"]} == {"panda", "gpt"}
    assert last["s"][1]["d"]["replies"] == ["Yes", "Yes", "No"]
    run = load_runs([folder / "real"])[0]
    views = worst_first(list(read_samples(run, "voicebench/sd-qa")), run.tasks["voicebench/sd-qa"])
    assert [v.id for v in views] == [s["i"] for s in data["samples"]]


def test_ratings_that_nobody_got_are_shown(page: Page) -> None:
    bins = block(page, "d-r1_voicebench_alpacaeval_full")["bins"]
    assert [b["label"] for b in bins] == ["1", "2", "3", "4", "5"]
    assert bins[0]["n"] == 0 and bins[0]["tone"] == "0" and bins[4]["tone"] == "4"


def test_sound_in_and_out_is_in_the_page(page: Page) -> None:
    held = {a["id"]: body for t, a, body in page.inline if a.get("type") == "text/plain"}
    sent = block(page, "d-r1_voicebench_sd-qa")["samples"][0]["au"]
    assert [c["role"] for c in sent] == ["in"]
    assert held[f"a-{sent[0]['sha']}"].startswith("data:audio/")
    assert sent[0]["from"].startswith("row ") and "/" not in sent[0]["from"]
    spoken = block(page, "d-r1_ultraeval-audio_llama-questions")["samples"][0]
    assert [c["role"] for c in spoken["au"]] == ["out"]
    assert f"a-{spoken['au'][0]['sha']}" in held
    assert spoken["h"].startswith("the planet")


def test_sound_keeps_its_budget_and_says_what_is_gone(folder: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (silent,) = write_report([run], tmp_path / "silent", ["html"], max_audio_mb=0)
    assert 'type="text/plain"' not in silent.read_text(encoding="utf-8")
    (small,) = write_report([run], tmp_path / "small", ["html"], max_audio_mb=0.06)
    uris = [b for _, a, b in Page(small.read_text(encoding="utf-8")).inline if a.get("type") == "text/plain"]
    assert 0 < sum(map(len, uris)) <= 60_000
    data = tmp_path / "run-data" / "usa.parquet"
    data.unlink()
    (gone,) = write_report([run], tmp_path / "gone", ["html"])
    reasons = block(Page(gone.read_text(encoding="utf-8")), "d-sound-missing")
    assert reasons and all("no longer at row" in r for r in reasons.values())


def test_changed_sound_is_not_played(tmp_path: Path) -> None:
    from report_fixtures import parquet_of, tone

    run = make_run(tmp_path / "run")
    parquet_of(tmp_path / "run-data" / "usa.parquet", [tone(0.3, 999.0)] * 8)
    (path,) = write_report([run], tmp_path / "out", ["html"])
    reasons = block(Page(path.read_text(encoding="utf-8")), "d-sound-missing")
    assert reasons and all("changed since the run" in r for r in reasons.values())


def test_many_origins_equal_one_by_one(tmp_path: Path) -> None:
    from report_fixtures import parquet_of, tone

    sounds = [tone(0.1, 100.0 + i) for i in range(11)]
    parquet_of(tmp_path / "a.parquet", sounds, row_group_size=3)
    (tmp_path / "b.wav").write_bytes(sounds[0])
    origins = [f"{tmp_path}/a.parquet#row={i}&column=audio" for i in (10, 0, 4, 3, 4)]
    origins += [f"{tmp_path}/b.wav", f"{tmp_path}/a.parquet#row=11&column=audio", f"{tmp_path}/c.wav",
                f"{tmp_path}/a.parquet#row=1&column=sound", f"{tmp_path}/a.parquet#row=x"]  # fmt: skip
    found = fetch_origins(origins)
    assert len(found) == 5
    assert all(found[o] == fetch_origin(o) for o in found)


def test_a_speech_path_can_not_leave_the_run(tmp_path: Path) -> None:
    from reports.samples import SampleView
    from reports.sound import clips_of

    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    line = {"audio": {"path": "../secret.wav", "sha256": "ab"}}
    assert clips_of(SampleView("x", line), tmp_path / "run")[0].origin == ""


def test_5000_samples_are_quick(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", size=1700)
    write_report([run], tmp_path / "warm", ["html"], max_audio_mb=0)
    before = time.process_time()
    (path,) = write_report([run], tmp_path / "out", ["html"], max_audio_mb=0)
    assert time.process_time() - before < 4.0  # about 1 s on an idle machine
    assert path.stat().st_size < 12_000_000


def test_smoke_data_is_said_once_for_all(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    results = Run(run).results()
    for entry in results["tasks"].values():
        entry["data"]["kind"] = "smoke"
    Run(run).write_results(results)
    (path,) = write_report([run], tmp_path / "out", ["html"], max_audio_mb=0)
    words = " ".join(Page(path.read_text(encoding="utf-8")).words)
    assert "ran on the smoke data" in words and "better than" not in words
    assert words.count("smoke data") < 25  # by page and column, not by cell
    results["tasks"]["voicebench/sd-qa"]["data"]["kind"] = "local"
    Run(run).write_results(results)
    (path,) = write_report([run], tmp_path / "out", ["html"], max_audio_mb=0)
    assert 'class="flag warn">smoke data' in path.read_text(encoding="utf-8")


def test_empty_tasks_odd_ids_and_open_scales(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    judges = [FixedJudge("wer", "wer")]
    wer = Metric("wer", "WER", pool=pooled("errors", "length"), higher_is_better=False, hi=float("inf"))
    tasks = [task_of(f"asr/{n}", n, [wer], judges) for n in ("full", "empty")]
    answers = [
        Answer(f"u/{i}%20#\u00fc", verdicts=(Verdict("wer", i / 10, counts={"errors": i, "length": 10}),))
        for i in range(25)
    ]
    write_task(writer, tasks[0], judges, answers)
    writer.write_manifest({"v": 1})
    plans = [plan_of(tasks[0], judges, 25), plan_of(tasks[1], judges, 0)]
    writer.write_results(build_results(writer, plans, ModelCard("m", "m@1")))
    writer.close()
    (path,) = write_report([tmp_path / "run"], tmp_path / "out", ["html"])
    page = Page(path.read_text(encoding="utf-8"))
    data = block(page, "d-r1_asr_full")
    assert data["samples"][0]["i"] == "u/24%20#\u00fc"
    assert data["bins"][0]["tone"] == "0" and data["bins"][-1]["tone"] == "4"
    assert sum(b["n"] for b in data["bins"]) == 25
    assert block(page, "d-r1_asr_empty")["samples"] == []
    assert "none of the numbers can stand beside a printed one" in " ".join(page.words)


def test_a_cut_list_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (path,) = write_report([run], tmp_path / "out", ["html"], max_samples_per_task=10, max_audio_mb=0)
    page = Page(path.read_text(encoding="utf-8"))
    assert len(block(page, "d-r1_voicebench_sd-qa")["samples"]) == 10
    assert "the first 10 are in this page" in " ".join(page.words)


def dump(url: str) -> tuple[str, list[str]]:
    """The page as a browser leaves it, and what the browser complained about."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--enable-logging=stderr", "--virtual-time-budget=2000",
            "--dump-dom", url,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")


@browser
@pytest.mark.parametrize(
    "view", ["", "#/tables", "#/r1/voicebench/sd-qa/~/q-0000", "#/r1/ultraeval-audio/llama-questions/~/l-003"]
)
def test_the_browser_has_no_complaint(folder: Path, text: str, view: str) -> None:
    found, complaints = dump(f"file://{folder / 'out' / 'page.html'}{view}")
    assert not complaints
    assert 'class="js"' in found
    assert 'class="sort"' in found and 'placeholder="Filter rows"' in found
    if "~" in view:
        assert 'class="body"' in found and "[object" not in found
        assert found.count('aria-expanded="true">') == 1
    if "llama" in view:
        assert "<audio" in found and "<del>" in found


ODD_IDS = ("a/~/b", "%E0%A4%A", "50%25 #x?q=1", "\u00fc\u8a9e", "<b>\"'", "..", "\ud800x", "two\nlines")


@browser
@pytest.mark.parametrize("wanted", [*ODD_IDS, "not there"])
def test_a_link_opens_its_sample_whatever_the_id(tmp_path: Path, wanted: str) -> None:
    judges = [FixedJudge("m", "m")]
    task = task_of("odd/ids", "ids", [Metric("m", "M")], judges)
    fine = [Answer(f"q-{i}", verdicts=(Verdict("m", 0.0),)) for i in range(60)]  # a page of worse ones before
    writer = RunWriter(tmp_path / "run")
    write_task(writer, task, judges, [*fine, *(Answer(i, verdicts=(Verdict("m", 1.0),)) for i in ODD_IDS)])
    writer.write_manifest({"v": 1})
    writer.write_results(build_results(writer, [plan_of(task, judges, 68)], ModelCard("m", "m@1")))
    writer.close()
    (path,) = write_report([tmp_path / "run"], tmp_path / "out", ["html"])
    found, complaints = dump(f"file://{path}#/r1/odd/ids/~/{quote(visible(wanted), safe='')}")
    opened = re.findall(r'aria-expanded="true">.*?class="id mono">(.*?)</span>', found, re.S)
    assert not complaints
    if wanted == "not there":
        assert not opened and "Sample not there is not in this page." in found
    else:
        assert [unescape(text) for text in opened] == [visible(wanted)]


@browser
def test_ratings_a_judge_weighed_are_told_in_a_line(tmp_path: Path) -> None:
    judges = [FixedJudge("m", "m")]
    task = task_of("weighed/one", "one", [Metric("m", "M")], judges)
    weights = {"10": 0.325, "4": 0.65, "3": 0.021, "2": 0.004}
    told = {"method": "logprobs", "plain": 4.0, "distribution": weights, "mass": 0.98}
    writer = RunWriter(tmp_path / "run")
    write_task(writer, task, judges, [Answer("a", verdicts=(Verdict("m", 4.31, detail={"geval": told}),))])
    writer.write_manifest({"v": 1})
    writer.write_results(build_results(writer, [plan_of(task, judges, 1)], ModelCard("m", "m@1")))
    writer.close()
    (path,) = write_report([tmp_path / "run"], tmp_path / "out", ["html"])
    found, complaints = dump(f"file://{path}#/r1/weighed/one/~/a")
    assert not complaints
    line = re.search(r'class="quiet geval">(.*?)<', found)
    assert line and unescape(line[1]).replace("\u202f", " ") == (
        "G-Eval 4.31: 2 < 1 %, 3 2 %, 4 65 %, 10 33 %; captured 98 %; the reply itself said 4"
    )

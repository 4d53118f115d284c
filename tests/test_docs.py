"""The documentation says what is so: examples run, flags parse, fields are described, links lead somewhere.

A code block under `<!-- file: PATH -->` is a file of an example; the tests put it where the page says.
"""

from __future__ import annotations

import http.server
import importlib
import json
import re
import shlex
import shutil
import sys
import threading
import tomllib
import wave
import xml.etree.ElementTree as ET
from argparse import ArgumentParser
from array import array
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from math import pi, sin
from pathlib import Path
from typing import Any

import pytest

from evalkit import registry
from evalkit.cli import main
from evalkit.cli.main import parser
from tests.mock_fixtures import mock_server
from tests.mock_openai import tone_wav

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FILE_BLOCK = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.S)
CODE = re.compile(r"```.*?```", re.S)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def example_files() -> dict[str, str]:
    """Every file that the pages show, by its path."""
    return {name: body for page in PAGES for name, body in FILE_BLOCK.findall(read(page))}


def console_commands() -> list[tuple[str, list[str]]]:
    """(page, arguments) of every evalkit command line in a console block."""
    out = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", read(page), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if found := re.match(r"\$ python run_eval\.py (.*?)(\||$)", line):
                    out.append((page.name, shlex.split(found[1])))
    return out


# --- examples --------------------------------------------------------------------------------------


def tone(path: Path, loud: bool) -> None:
    """One second at 16 kHz, at half or at a fiftieth of full scale."""
    peak = 16_000 if loud else 600
    samples = array("h", (int(peak * sin(2 * pi * 440 * i / 16_000)) for i in range(16_000)))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(samples.tobytes())


@pytest.fixture
def quiz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example files in place, found as if they had been dropped in; the folder of the data."""
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    for name, body in example_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body, encoding="utf-8")
    data = tmp_path / "spoken-quiz"
    (data / "wav").mkdir()
    for row in map(json.loads, (data / "test.jsonl").read_text(encoding="utf-8").splitlines()):
        tone(data / row["audio"], loud=row["answer"] != "A")
    for package, folder in (
        *(("benchmarks", "benchmarks"), ("evalkit.runners", "evalkit/runners")),
        ("evalkit.formats", "evalkit/formats"),
    ):
        module = importlib.import_module(package)
        monkeypatch.setattr(module, "__path__", [*module.__path__, str(tmp_path / folder)])
    before = set(sys.modules)
    forget()
    yield data
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    forget()


def forget() -> None:
    """What discovery has found so far."""
    registry.catalogue.cache_clear()
    registry.runner_modules.cache_clear()
    registry.formats.cache_clear()
    importlib.invalidate_caches()


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return found


def test_the_format_of_the_docs(quiz: Path, tmp_path: Path) -> None:
    lines = [{"utt": f"q-00{k}", "said": said} for k, said in ((1, "C"), (2, "B"), (3, "B"))]
    file = tmp_path / "mine.acme.jsonl"
    file.write_text("".join(json.dumps(x) + "\n" for x in lines), encoding="utf-8")
    common = ["--data-dir", str(quiz), "--out", str(tmp_path / "run"), "--progress", "none", "--no-report"]
    assert main(["score", str(file), "--task", "quiz/general", *common]) == 0
    found = results(tmp_path / "run")["tasks"]["quiz/general"]["metrics"]["acc"]
    assert (found["n"], found["value"]) == (3, pytest.approx(200 / 3))


def test_the_benchmark_and_the_batch_runner_of_the_docs(quiz: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    common = ["--data-dir", str(quiz), "--out", str(out), "--progress", "none"]
    assert main(["run", "--model", "loudness", "--task", "quiz/*", *common]) == 0
    tasks = results(out)["tasks"]
    assert tasks["quiz/general"]["metrics"]["acc"]["value"] == pytest.approx(200 / 3)
    assert set(tasks["quiz/general"]["groups"]["topic"]) == {"biology", "physics"}
    assert tasks["quiz/brevity"]["metrics"]["brief"]["value"] == 100
    quiet = [*common[:2], "--out", str(tmp_path / "quiet"), "--progress", "none", "--no-report"]
    assert main(["run", "--model", "loudness", "-M", "threshold=0.9", "--suite", "quiz", *quiet]) == 0
    found = results(tmp_path / "quiet")["tasks"]
    assert found["quiz/general"]["metrics"]["acc"]["value"] == pytest.approx(100 / 3)


class Ask(http.server.BaseHTTPRequestHandler):
    """Says C to everything, after one 503."""

    refusals = 0

    def do_POST(self) -> None:
        heard = self.rfile.read(int(self.headers["Content-Length"]))
        status = 200 if Ask.refusals or heard[:4] != b"RIFF" else 503
        Ask.refusals += 1
        body = b'{"answer": "The answer is C."}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return None


def test_the_concurrent_runner_of_the_docs(quiz: Path, tmp_path: Path) -> None:
    Ask.refusals = 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ask)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"url=http://127.0.0.1:{server.server_port}/ask"
        out = tmp_path / "run"
        command = [
            "run",
            "--model",
            "plain-http/my-model",
            "-M",
            url,
            "--suite",
            "quiz",
            "--task",
            "quiz/general",
        ]
        command += ["--data-dir", str(quiz), "--out", str(out), "--progress", "none", "--no-report"]
        assert main(command) == 0
    finally:
        server.shutdown()
        server.server_close()
    assert results(out)["tasks"]["quiz/general"]["metrics"]["acc"]["value"] == pytest.approx(100 / 3)
    assert Ask.refusals == 4, "three samples and one retry"
    assert main([*command[:3], "-M", "nope=1", *command[5:-1], "--no-cache"]) == 2


def test_the_entry_points_of_the_docs(quiz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "elsewhere" / "acme_eval"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("benchmarks/spoken_quiz.py", "evalkit/runners/plain_http.py"):
        shutil.move(tmp_path / name, package / Path(name).name)
    shutil.rmtree(tmp_path / "benchmarks")
    monkeypatch.syspath_prepend(str(package.parent))
    points = [
        EntryPoint(name, value, group)
        for page in PAGES
        for block in re.findall(r"```toml\n(.*?)```", read(page), re.S)
        for group, found in tomllib.loads(block)["project"]["entry-points"].items()
        for name, value in found.items()
    ]
    assert len(points) == 2
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    forget()
    assert "quiz/general" in registry.catalogue().tasks
    assert registry.make_runner("plain-http/x", {}).identity()["model"] == "x"


@pytest.fixture
def museum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The manifests of custom-data.md with their rows, and a recording for each row."""
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    for name, body in example_files().items():
        if name.startswith("museum/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(body, encoding="utf-8")
    folder = tmp_path / "museum"
    (folder / "clips").mkdir()
    for clip in ("q1", "q2", "q3", "d1", "d2", "g1", "g2", "m1", "m2"):
        tone(folder / "clips" / f"{clip}.wav", loud=True)
    return folder


def test_the_manifests_of_the_docs(museum: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Multiple choice, recognition, open questions and Mandarin, beside a task of a benchmark, in one run."""
    pytest.importorskip("pyarrow")
    said = {"q1": "(A)", "q2": "The coin.", "q3": "It was Bob.", "g1": "Downstairs.", "g2": "Yes."}
    said |= {"d1": "the museum opens at 9", "d2": "please do not touch the bases"}
    said |= {"m1": "博物馆九点开门", "m2": "请不要摸花瓶"}
    answers = tmp_path / "answers.jsonl"
    answers.write_text(
        "".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in said.items()), encoding="utf-8"
    )
    tasks = [
        w for n in ("quiz", "dictation", "guide", "mandarin") for w in ("--task", str(museum / f"{n}.yaml"))
    ]
    out = tmp_path / "run"
    model = ["--model", f"replay/{answers}", "--out", str(out), "--progress", "none"]
    smoke = ["--task", "voicebench/advbench", "--data-dir", str(ROOT / "benchmarks" / "smoke")]
    with mock_server(texts=["Good. Rating: [[4]]"]) as mock:
        judge = ["--judge", "openai/j", "-J", f"base_url={mock.url}"]
        assert main(["run", *model, *tasks, *judge, *smoke]) == 1, "of the benchmark nothing was answered"
    found = results(out)["tasks"]
    assert found["custom/museum-quiz"]["metrics"]["acc"]["value"] == pytest.approx(200 / 3)
    assert set(found["custom/museum-quiz"]["groups"]["room"]) == {"hall", "attic"}
    assert found["custom/museum-dictation"]["metrics"]["wer"]["value"] == pytest.approx(100 / 11)
    guide = found["custom/museum-guide"]["metrics"]["rating"]
    assert (guide["value"], guide["label"], guide["unit"]) == (4.0, "Helpfulness", "1-5")
    assert found["custom/museum-mandarin"]["metrics"]["cer"]["value"] == pytest.approx(100 / 14)
    assert found["voicebench/advbench"]["metrics"]["refusal"]["n_errors"] > 0
    capsys.readouterr()
    assert main(["show", str(museum / "quiz.yaml"), "--limit", "1"]) == 0
    [said_there] = re.findall(
        r"show museum/quiz.yaml --limit 1\n(.*?)\n\n", read(ROOT / "docs/custom-data.md"), re.S
    )
    shown = capsys.readouterr().out
    assert all(line.partition("sha256")[0] in shown for line in said_there.splitlines())


# --- flags, names, links ---------------------------------------------------------------------------


def options(top: ArgumentParser | None = None) -> set[str]:
    """Every option of every command, and of what commands have below them."""
    actions = (top or parser())._actions
    below = [p for a in actions if isinstance(a.choices, dict) for p in a.choices.values()]
    return {o for a in actions for o in a.option_strings}.union(*map(options, below))


SERVER_FLAGS = {
    *("--served-model-name", "--max-model-len", "--chat-template", "--limit-mm-per-prompt"),
    *("--worker-extension-cls", "--enable-auto-tool-choice", "--tool-call-parser"),
}
"""Of `vllm serve`, which is not ours."""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_flag_exists(page: Path) -> None:
    said = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*|-[A-Z](?= ))", read(page)))
    assert said <= options() | (SERVER_FLAGS if page.name == "vllm.md" else set())


def test_every_command_line_parses_and_names_what_there_is() -> None:
    commands = console_commands()
    assert len(commands) > 8
    for page, words in commands:
        args = parser().parse_args(words)
        if getattr(args, "suite", None) not in (None, "quiz"):
            registry.catalogue().suite(args.suite)
        tasks = args.task if isinstance(getattr(args, "task", None), list) else [getattr(args, "task", None)]
        for task in (t for t in tasks if t and not t.startswith(("quiz", "museum/"))):
            assert registry.catalogue().select([task]), f"{page}: {task}"


def test_every_variable_that_is_read_is_in_the_readme() -> None:
    sources = (p for top in ("evalkit", "judges", "reports") for p in (ROOT / top).rglob("*.py"))
    used = {name for p in sources for name in re.findall(r"EVALKIT_[A-Z_]+", read(p))}
    said = set(re.findall(r"EVALKIT_[A-Z_]+", read(ROOT / "README.md")))
    assert said == used


def slug(heading: str) -> str:
    """The anchor GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", read(page))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", CODE.sub("", read(found)), re.M)
            assert anchor in map(slug, headings), target


def test_pictures_are_well_formed() -> None:
    for picture in (ROOT / "docs").glob("*.svg"):
        assert ET.parse(picture).getroot().tag.endswith("svg")


def test_the_counts_of_vectors_are_those_of_the_files() -> None:
    said = read(ROOT / "README.md")
    counted = {p.name: len(read(p).splitlines()) for p in (ROOT / "tests" / "vectors").glob("*.jsonl")}
    for name, words in {
        "voicebench.mcq": "{} letter and",
        "voicebench.kimi_collect_acc": "letter and {} judge vectors",
        "voicebench.ifeval": "| {} and",
        "voicebench.advbench": "and {} vectors |",
        "voicebench.bbh": "{} vectors of BBH",
        "voicebench.sdqa": "{} vectors of votes",
        "voicebench.open": "{} open (3 votes)",
        "voicebench.kimi_open": "and {} Kimi vectors",
        "ultraeval.kimi_oab": "{} vectors of judges' replies",
        "ultraeval.ue_chatbot_eval": "{} vectors of ratings",
        "ultraeval.ue_qa_exist_match": "{} exist-match",
        "ultraeval.ue_qa_exact_match": "{} exact-match",
        "mcq.mmsu_records": "| {} vectors |",
        "mmau_pro.rules": "{} instruction and",
        "mmau_pro.judge_parse": "and {} judge vectors",
        "speech_fc.bfcl": "{} vectors with error codes",
        "vstyle.judge_replies": "{} vectors of replies",
        "wer.normalizers": "{} normaliser",
    }.items():
        assert words.format(counted[f"{name}.jsonl"]) in said, name
    rates = sum(n for name, n in counted.items() if re.search(r"_(wer|cer)_(en|zh)\.", name))
    assert f"{rates} rates" in said


# --- fields ----------------------------------------------------------------------------------------

NAMED = {"tasks", "metrics", "overall", "reasons", "groups"}
"""Objects whose keys are names (of tasks, metrics, codes) rather than fields."""
FREE = {
    "identity",
    "generation",
    "options",
    "roles",
    "usage",
    "timing",
    "detail",
    "counts",
    "touched",
    "weights",
}
"""Objects whose keys are somebody else's."""


def fields(value: Any, inside: str = "", depth: int = 0) -> Iterator[str]:
    """Names of all fields of a JSON value."""
    if isinstance(value, list):
        for item in value:
            yield from fields(item, inside, depth)
    elif isinstance(value, dict) and inside in FREE:
        return
    elif isinstance(value, dict) and inside in NAMED:
        # groups: key, group, metric; the others: one level of names
        for item in value.values():
            yield from fields(item, inside if inside == "groups" and depth < 2 else "", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from fields(item, key)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that hold about everything: errors, groups, skipped scores, speech, transcripts."""
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("fresh")
    smoke = ["--suite", "smoke", "--no-report", "--no-cache", "--progress", "none"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVALKIT_CACHE", str(folder / "cache"))
        patch.setenv("EVALKIT_OFFLINE", "1")
        with mock_server(texts=["I could not say."]) as mock:
            model = ["--model", "openai/m", "-M", f"base_url={mock.url}", "--out", str(folder / "text")]
            judge = ["--judge", "openai/j", "-J", f"base_url={mock.url}", "--protocol", "official"]
            tasks = [w for t in ("mmsu", "commoneval", "advbench") for w in ("--task", f"voicebench/{t}")]
            main(["run", *model, *judge, *smoke, *tasks])
            model = ["--model", "openai/m", "-M", f"base_url={mock.url}", "--out", str(folder / "silent")]
            tasks = ["--task", "vstyle/en", "--task", "speech-style/speech-if"]
            hears = ["--lalm-judge", "openai/h", "-L", f"base_url={mock.url}"]
            assert main(["run", *model, *hears, *smoke, *tasks]) == 1, "a model that was to speak, and didn't"
        with mock_server(texts=["4"]) as mock:
            model = ["--model", "openai/m", "-M", f"base_url={mock.url}", "--out", str(folder / "judged")]
            judge = ["--judge", "openai/j", "-J", f"base_url={mock.url}", "--task", "voicebench/commoneval"]
            assert main(["run", *model, *judge, *smoke]) == 0, "a judge whose replies can be read"
        with mock_server(texts=["Rome"], speak=0.5, status=500, fail_first=1) as mock:
            model = ["--model", "openai/s", "-M", f"base_url={mock.url}", "--out", str(folder / "speech")]
            task = ["--task", "ultraeval-audio/llama-questions", "--retries", "1"]
            assert main(["run", *model, *smoke, *task]) == 1, "every request fails the first time"
            main(["run", *model, *smoke, *task])
    (folder / "a.wav").write_bytes(tone_wav(0.5))
    row = {"Questions": "What is the capital of Italy?", "Answer": "Rome"}
    line = {"id": "x", "text": "Rome", "audio": "a.wav", "transcript": "Rome", "row": row}
    (folder / "preds.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    common = ["--task", "ultraeval-audio/llama-questions", "--out", str(folder / "given"), "--no-report"]
    main(["score", str(folder / "preds.jsonl"), *common, "--progress", "none", "--no-cache"])
    return folder


def section(name: str) -> str:
    """The part of run-directory.md about one file."""
    return re.split(
        r"^## ", read(ROOT / "docs" / "run-directory.md").partition(f"\n## {name}\n")[2], flags=re.M
    )[0]


def described(name: str) -> set[str]:
    """Every word in code spans of that part."""
    return {word for code in re.findall(r"`([^`]+)`", section(name)) for word in re.findall(r"\w+", code)}


def written(folder: Path, name: str) -> set[str]:
    """Every field in the files of that name."""
    found: set[str] = set()
    for path in folder.rglob(name):
        lines = read(path).splitlines() if name.endswith("l") else [read(path)]
        found |= {f for line in lines for f in fields(json.loads(line))}
    return found


ALWAYS = {
    "responses.jsonl": {"sent", "audio", "error", "attempts", "groups", "meta"},
    "scores.jsonl": {"counts", "reason", "touched"},
}
FILES = (
    "run.json",
    "responses.jsonl",
    "transcripts.jsonl",
    "scores.jsonl",
    "calls.jsonl",
    "costs.json",
    "results.json",
)


@pytest.mark.parametrize("name", FILES)
def test_every_field_that_is_written_is_described(fresh: Path, name: str) -> None:
    found = written(fresh, name)
    assert found >= ALWAYS.get(name, {"v"}), "the runs lack what this test is about"
    assert found - described(name) == set()


@pytest.mark.parametrize("name", ["run.json", "results.json"])
def test_every_field_that_is_described_is_written(fresh: Path, name: str) -> None:
    rows = re.findall(r"^\| (`.+?) \|", section(name), re.M)
    said = {w for r in rows for code in re.findall(r"`([^`]+)`", r) for w in re.findall(r"\w+", code)}
    assert said - written(fresh, name) - {"task"} == set()

"""Discovery: ours by dropping a file in, others' through entry points; wrong names get help."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit import registry
from evalkit.errors import UsageError
from evalkit.formats import Head, Reading
from evalkit.registry import catalogue, make_chat, make_runner, make_transcriber, runner_modules

RUNNER = """
from evalkit.interfaces import Runner
from evalkit.records import Response

class Parrot(Runner):
    name = "parrot"

    def __init__(self, model, **options):
        self.model, self.options = model, options

    def identity(self):
        return {"model": self.model, **self.options}

    async def generate(self, sample, modality):
        return Response(sample.id, sample.question)
"""

BENCHMARK = """
from evalkit.interfaces import Judge
from evalkit.records import Modality, Sample, Verdict
from evalkit.sources import HubData
from evalkit.task import Metric, Overall, Part, Suite, Task, Variant

class Length(Judge):
    metrics = ("length",)
    signature = "length@1"

    def score(self, sample, answer):
        return [Verdict("length", float(len(answer.text)))]

TASKS = (
    Task(
        "theirs/one", "One", Modality.T2T, HubData("their/data"),
        lambda task, row: Sample(str(row["id"]), task, ()),
        {"own": Variant(lambda roles: [Length()], (Metric("length", "Length"),), "Longer is better.")},
    ),
)
OVERALLS = (Overall("theirs", "Overall", (Part("theirs/one"),), "itself"),)
SUITES = (Suite("theirs", ("theirs/*",), "all of theirs"),)
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What was discovered in one test is forgotten before the next."""

    def forget() -> None:
        catalogue.cache_clear()
        runner_modules.cache_clear()
        registry.formats.cache_clear()
        for name in [m for m in sys.modules if m.startswith("their_")]:
            del sys.modules[name]

    forget()
    yield
    forget()


def install(site: Path, monkeypatch: pytest.MonkeyPatch, entry_points: str, **modules: str) -> None:
    """Lay out an installed package as pip would: modules, and metadata with its entry points."""
    for name, text in modules.items():
        (site / f"{name}.py").write_text(text)
    info = site / "their_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(str(site))


# --- other people's packages ---------------------------------------------------------------------


@pytest.mark.parametrize("value", ["their_runner", "their_runner:Parrot"])
def test_a_runner_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    install(tmp_path, monkeypatch, f"[evalkit.runners]\nparrot = {value}\n", their_runner=RUNNER)
    made = make_runner("parrot/some/model", {"volume": "11"})
    assert made.identity() == {"model": "some/model", "volume": "11"}
    assert "openai" in runner_modules()


def test_a_benchmark_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = set(catalogue().tasks)
    catalogue.cache_clear()
    install(tmp_path, monkeypatch, "[evalkit.benchmarks]\ntheirs = their_bench\n", their_bench=BENCHMARK)
    found = catalogue()
    assert set(found.tasks) == ours | {"theirs/one"}
    assert [t.name for t in found.select(["theirs"])] == ["theirs/one"]
    assert found.suite("theirs").tasks == ("theirs/*",) and "theirs" in found.overalls


def test_two_benchmarks_may_not_share_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clash = BENCHMARK.replace("theirs/one", "voicebench/mmsu")
    install(tmp_path, monkeypatch, "[evalkit.benchmarks]\ntheirs = their_bench\n", their_bench=clash)
    with pytest.warns(
        UserWarning, match=r"their_bench.* declares the task 'voicebench/mmsu', which is there"
    ):
        found = catalogue()
    assert "theirs" not in found.suites and found.tasks["voicebench/mmsu"].title != "One"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("TASKS = 5", "TASKS that are no tuple of Task"),
        ("TASKS = ('a',)", "TASKS that are no tuple of Task"),
        ("from benchmarks.suites import SUITES", "which is there already"),
        ("import sys; sys.exit(3)", "SystemExit"),
    ],
)
def test_what_a_plug_in_declares_amiss_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    install(tmp_path, monkeypatch, "[evalkit.benchmarks]\ntheirs = their_bench\n", their_bench=text)
    with pytest.warns(UserWarning, match=f"their_bench.*{words}"):
        assert "voicebench/mmsu" in catalogue().tasks


FORMAT = """
from evalkit.formats import Converted, Format

def read(path, reading):
    yield Converted(1, id="a", text="x")
    {read}

FORMAT = Format("{name}", "about", "files", "marks", ("*",), lambda head: {sniff}, read)
"""


@pytest.mark.parametrize(
    ("read", "words"),
    [
        ("{}['utt']", r"x\.jsonl can't be read after line 1 by the format 'theirs' \(KeyError"),
        ("yield Converted(2, id='b', text=5)", r"x\.jsonl:2: the format 'theirs' gives a int for text"),
    ],
)
def test_a_format_of_theirs_that_fails_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str, words: str
) -> None:
    body = FORMAT.format(name="theirs", sniff="1 / 0", read=read)
    install(tmp_path, monkeypatch, "[evalkit.formats]\ntheirs = their_format\n", their_format=body)
    (tmp_path / "x.jsonl").write_text("{}")
    head = Head(tmp_path / "x.jsonl")
    form = registry.formats()["theirs"]
    with pytest.warns(UserWarning, match="'theirs' can't look at .*ZeroDivisionError"):
        assert form.sniff(head) is False
    with pytest.raises(UsageError, match=words):
        list(form.read(head.path, Reading(head)))


def test_a_format_called_like_ours_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = FORMAT.format(name="kaldi", sniff="True", read="")
    install(tmp_path, monkeypatch, "[evalkit.formats]\ntheirs = their_format\n", their_format=body)
    with pytest.warns(UserWarning, match="their_format.*'kaldi', and so has another"):
        assert registry.formats()["kaldi"].about != "about"


def test_a_runner_that_cannot_take_its_arguments_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = RUNNER.replace(
        "self.model, self.options", "self.n = float(options.get('n', '1'))\n        self.model, self.options"
    )
    install(tmp_path, monkeypatch, "[evalkit.runners]\nparrot = their_runner\n", their_runner=body)
    with pytest.raises(UsageError, match=r"'parrot' can't be made of .*ValueError: could not convert"):
        make_runner("parrot/x", {"n": "many"})


@pytest.mark.parametrize("broken", ["1 / 0", "import no_such_module_of_theirs", "raise SystemError('no')"])
def test_a_broken_plug_in_is_named_and_takes_nobody_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    points = "[evalkit.benchmarks]\ntheirs = their_bench\n[evalkit.runners]\nparrot = their_runner\n"
    install(tmp_path, monkeypatch, points, their_bench=broken, their_runner=broken)
    with pytest.warns(UserWarning, match="their_bench"):
        assert "voicebench/mmsu" in catalogue().tasks
    with pytest.warns(UserWarning, match="their_runner"):
        assert "openai" in runner_modules()


# --- ours ----------------------------------------------------------------------------------------


def test_our_runners_are_found_by_their_files() -> None:
    found = runner_modules()
    assert {"openai", "replay", "embedded"} <= set(found)
    for name, module in found.items():
        cls = registry.runner_class(module)
        assert cls is not None and cls.name == name
        assert cls.modalities and (cls.concurrency >= 1)


def test_a_runner_that_is_named_like_its_file_loads_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("every runner was imported to find one")

    monkeypatch.setattr(registry, "runner_modules", never)
    assert registry._runner_module("replay").__name__ == "evalkit.runners.replay"


@pytest.mark.parametrize("spec", ["opena/gpt", "", "/", "../secrets", "asr/x", "option_values/x", "évil/x"])
def test_an_unknown_runner(spec: str) -> None:
    with pytest.raises(UsageError, match=r"there is no runner .* Known: .*openai.* RUNNER/MODEL"):
        make_runner(spec, {})


def test_a_near_miss_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"Did you mean openai\?"):
        make_runner("opnai/gpt", {})
    with pytest.raises(UsageError, match=r"no task matches 'voicebnch/mmsu'\. Did you mean voicebench/mmsu"):
        catalogue().select(["voicebnch/mmsu"])
    with pytest.raises(UsageError, match=r"no suite 'tabel2'\. Did you mean table2"):
        catalogue().suite("tabel2")


def test_a_runner_that_can_not_judge() -> None:
    with pytest.raises(UsageError, match=r"'replay' can't be a judge; these can: .*openai"):
        make_chat("replay/x", {})


def test_an_unknown_asr_engine() -> None:
    with pytest.raises(UsageError):
        make_transcriber("no-such-engine/x", {})


def test_tasks_are_chosen_by_glob_or_by_benchmark() -> None:
    def chosen(*patterns: str) -> list[str]:
        return [t.name for t in catalogue().select(list(patterns))]

    assert chosen("voicebench/mmsu") == ["voicebench/mmsu"]
    assert len(chosen("voicebench/sd-qa*")) == 11
    assert chosen("voicebench") == chosen("voicebench/") == chosen("voicebench/*")
    assert chosen("voicebench/mmsu", "voicebench/*") == chosen("voicebench")
    assert chosen("*/mmsu") == ["voicebench/mmsu"]
    with pytest.raises(UsageError):
        chosen("voice")

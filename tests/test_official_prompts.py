"""Official wordings: filled as public code fills them, sent with its settings, never mixed; the command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.chat import ChatReply, ChatRequest
from evalkit.errors import UsageError
from evalkit.interfaces import Answer
from evalkit.records import Audio, Response, Sample
from evalkit.wording import store
from judges.lalm_presets import VSTYLE_CATEGORIES, vstyle_judge
from judges.llm_presets import SYSTEM, chatbot_judge, mcq_judge, open_judge, qa_judge
from judges.manner import Manner, noting_rubrics
from judges.mmau_pro_open import mmau_pro_open_judge
from judges.official import (
    MissingWording,
    OfficialRubric,
    fill,
    official_rubric,
    public_texts,
    rendered_wrongly,
)
from judges.openaudiobench import OABJudge
from judges.prompts import Rendered, StandsFor, load_rubric, rubric_file, rubric_names, user_rubric
from tests.cli_fixtures import Bench, Done, bench, lines, refused, result
from tests.mock_fixtures import mock_server
from tests.toolkit_fixtures import checkout, digest, made_up, own_store

__all__ = ["bench", "own_store"]

OFFICIAL = Manner(wording="official")
OPEN = "voicebench/alpacaeval_full"
KIMI_OPEN = "07e351f0031c812b28724dd8569b0a2ea7fc421dd27ef27dcfce8d1ac493eed7"
FOUND_REAL = {s: t for s in public_texts() if (t := store.read(s)) is not None}
"""What the user who runs these tests has imported."""


@pytest.fixture
def imported(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Made-up official texts, all of them imported; by the real sha256."""
    with made_up(monkeypatch) as texts:
        for text in texts.values():
            store.keep(text)
        yield texts


def sample(question: str = "q?", target: object = "ref", **meta: object) -> Sample:
    return Sample("s", "t", (), target=target, meta={"question": question, **meta})  # type: ignore[arg-type]


def answer(text: str = "answer") -> Answer:
    return Answer(text, Response("s", text=text))


# --- heads ---------------------------------------------------------------------------------------


def test_heads_say_how_every_public_text_is_filled() -> None:
    for name in rubric_names():
        rubric = load_rubric(name)
        for public in rubric.stands_for:
            where = (name, public.what)
            assert public.source.count("@") == 1 and public.characters > 100, where
            assert set(public.fields.values()) <= set(rubric.placeholders), where
            # What the public text does not show is the recordings' sentence, which is ours alone.
            assert set(rubric.placeholders) - set(public.fields.values()) <= {"recordings"}, where
            if public.rendered is not None:
                assert set(public.rendered.fields) == set(public.fields), where
        protocols = [p.protocol for p in rubric.stands_for]
        assert len(set(protocols)) == len(protocols)
        assert len(protocols) < 2 or all(protocols), name


def test_a_rubric_that_stands_for_several_wants_to_be_told_which() -> None:
    rubric = load_rubric("voicebench_open")
    assert rubric.public("kimi") != rubric.public("official")
    with pytest.raises(ValueError, match="each of official, kimi"):
        rubric.public("")
    assert load_rubric("custom_rating").public("kimi") is None
    assert load_rubric("voicebench_mcq").public("") == load_rubric("mmau_choice").public("kimi")


# --- filling ---------------------------------------------------------------------------------------

ANY = st.text() | st.sampled_from(
    ["{prompt}", "{response}", "{{ question }}", "{0}", "{", "}", "}}", "%s", "\\n", "’"]
)


@given(prompt=ANY, response=ANY)
def test_replace_fills_one_after_the_other(prompt: str, response: str) -> None:
    text = "Q {prompt} A {response} {other} {{prompt}}"
    filled = fill(text, "replace", {"prompt": prompt, "response": response})
    assert filled == text.replace("{prompt}", prompt).replace("{response}", response)


def test_replace_meets_a_placeholder_in_an_earlier_value() -> None:
    values = {"prompt": "say {response} and {prompt}", "response": "ok {prompt}"}
    assert fill("{prompt}|{response}", "replace", values) == "say ok {prompt} and {prompt}|ok {prompt}"


@given(question=ANY, prediction=ANY)
def test_format_takes_values_as_they_are(question: str, prediction: str) -> None:
    text = "{{kept}} {question} and {prediction}\n{question}"
    expected = f"{{kept}} {question} and {prediction}\n{question}"
    assert fill(text, "format", {"question": question, "prediction": prediction}) == expected


@given(instruction=ANY, response=ANY)
def test_jinja_takes_values_as_they_are(instruction: str, response: str) -> None:
    text = "<b> {{instruction}} & {{ response }}"
    expected = f"<b> {instruction} & {response}"
    assert fill(text, "jinja", {"instruction": instruction, "response": response}) == expected


@given(context=ANY, question=ANY)
def test_an_f_string_comes_out_as_python_makes_it(context: str, question: str) -> None:
    source = "\n{context}: \\u2019 {{no}} \\\n{question}\\n'\"quotes\"'\t{context}"
    assert fill(source, "fstring", {"context": context, "question": question}) == eval(f'f"""{source}"""')


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("format", "{question.__class__}"),
        ("format", "{question[0]}"),
        ("format", "{question!r}"),
        ("format", "{question:>9}"),
        ("format", "{}"),
        ("format", "{0}"),
        ("format", "{nobody}"),
        ("format", "{"),
        ("jinja", "{{ nobody }}"),
        ("jinja", "{{ ''.__class__.__mro__ }}"),
        ("jinja", "{% if %}"),
        ("fstring", "{nobody}"),
        ("fstring", "{question.upper()}"),
        ("fstring", "{question!r}"),
        ("fstring", "{__import__('os')}"),
        ("fstring", "{"),
        ("shell", "x"),
    ],
)
def test_a_text_that_is_not_of_its_kind_is_refused(how: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)text|single|expected"):
        fill(text, how, {"question": "q"})


# --- wordings --------------------------------------------------------------------------------------


def test_missing_texts_are_named_with_the_way_to_get_them(own_store: Path) -> None:
    with pytest.raises(MissingWording, match=r"98f2e991.*prompts import") as told:
        OFFICIAL.rubric("voicebench_open", "official")
    assert "MatthewCYM/VoiceBench@5338154" in str(told.value)
    with pytest.raises(MissingWording, match="07e351f0"):
        open_judge("kimi", None, manner=OFFICIAL)


def test_official_texts_are_sent_as_the_public_code_sends_them(imported: dict[str, str]) -> None:
    asked = sample(" what {response}? ")
    judge = open_judge("official", None, manner=OFFICIAL)
    text = imported["98f2e9919fbad61f1cab0c2492f53519412d97faeead126c756d73355552bd1e"]
    (_, system), (role, said) = judge.request(asked, answer("so {prompt}")).messages
    assert role == "user" and system.startswith("You are a helpful assistant who tries")
    assert said == text.replace("{prompt}", " what {response}? ").replace("{response}", "so {prompt}")
    assert judge.rubric.label == f"voicebench_open:official@{digest(text)[:8]}"
    assert judge.rubric.label in judge.signature

    kimi = qa_judge("kimi", None, manner=OFFICIAL).request(sample(" q ", " {r} "), answer(" a ")).messages
    text = imported["8f2b1ab22c00208f49b86f9c5962bbbb5af50c4395eee50c02c07d227d87a31e"]
    assert kimi[1] == ("user", text.format(question="q", answer="{r}", prediction=" a "))


def test_each_official_text_brings_its_system_message(imported: dict[str, str]) -> None:
    chat = chatbot_judge(None, manner=OFFICIAL)
    assert [role for role, _ in chat.request(sample(), answer()).messages] == ["user"]
    pro = mmau_pro_open_judge(None, manner=OFFICIAL)
    (_, system), (_, said) = pro.request(sample(), answer()).messages
    assert system == "You are a helpful and objective evaluator."
    assert "[context] general open-ended question answering\n[question] q?" in said and "{keep}\n" in said
    assert pro.signature != mmau_pro_open_judge(None).signature
    assert mcq_judge(None).asking.system == SYSTEM, "our own wording keeps ours"
    for subset in ("alpaca_eval", "llama_questions", "reasoning_qa", "trivia_qa", "web_questions"):
        oab = OABJudge(subset, None, "kimi", manner=OFFICIAL)
        messages = oab.request(sample(" q "), answer(" a ")).messages
        assert messages[0][1].startswith("You are a helpful assistant who tries")
        assert "[question] q\n" in messages[1][1] and "[prediction]  a \n" in messages[1][1]


@pytest.mark.parametrize("said", ["rate Rome", "rate it"])
def test_a_text_is_checked_by_what_comes_out_of_it(said: str) -> None:
    check = Rendered({"a": "Rome"}, hashlib.sha256(b"rate Rome").hexdigest())
    public = StandsFor("x", "0" * 64, fields={"a": "response"}, rendered=check)
    wrong = rendered_wrongly(public, said.replace("Rome", "{a}"))
    digest = hashlib.sha256(said.encode()).hexdigest()
    assert wrong == (None if said == "rate Rome" else f"it renders with sha256 {digest[:8]}")


def test_kimi_sends_gpt_4o_no_system_message(imported: dict[str, str]) -> None:
    """VoiceBench sheet section 4, OpenAudioBench sheet section 4.3."""

    class Model:
        meaningful = True

        def __init__(self, label: str) -> None:
            self.label = label

        async def chat(self, request: ChatRequest) -> ChatReply:
            raise NotImplementedError

    plain, mini = Model("gpt-4o"), Model("gpt-4o-mini")
    assert mcq_judge(plain, manner=OFFICIAL).asking.system is None
    assert OABJudge("trivia_qa", plain, "kimi", manner=OFFICIAL).asking.system is None
    assert mcq_judge(mini, manner=OFFICIAL).asking.system is not None
    assert open_judge("official", plain, manner=OFFICIAL).asking.system is not None, (
        "VoiceBench's own code does"
    )
    assert mcq_judge(plain).asking.system == SYSTEM


@pytest.mark.parametrize("language", ["en", "zh"])
def test_vstyle_needs_all_four_and_sends_one_text_part(imported: dict[str, str], language: str) -> None:
    judge = vstyle_judge(language, None, manner=OFFICIAL)
    assert judge.wording.startswith("vstyle*4:official@")
    for category in VSTYLE_CATEGORIES:
        rubric = judge.rubric_of(sample(ability=f"{category}/x"))
        fields = judge.fields(sample("say {instruction_type}", ability=f"{category}/x"), "OUR SENTENCE")
        said = rubric.render(**fields)
        assert f"[instruction_type] {category}/x\n[input_instruction] say {{instruction_type}}\n" in said
        assert "OUR SENTENCE" not in said and said.endswith("# Speech")
    path = store.path_of(digest(imported["3360e7333a13ba123b9d505c9ce64b9a99f16854092d7833db77bcb5cea37aa7"]))
    path.unlink()
    if language == "en":
        with pytest.raises(MissingWording, match=r"en/empathy\.txt"):
            vstyle_judge(language, None, manner=OFFICIAL)


def test_what_stands_for_nothing_public_stays_ours(own_store: Path) -> None:
    for name in ("custom_rating", "speech_style_speech_if", "style_separation"):
        assert OFFICIAL.rubric(name).label == load_rubric(name).label
        assert ":own@" in OFFICIAL.rubric(name).label


def test_wordings_never_share_a_signature(imported: dict[str, str], tmp_path: Path) -> None:
    for name in rubric_names():
        (tmp_path / f"{name}.j2").write_text(rubric_file(name), encoding="utf-8")
    users = Manner(wording=str(tmp_path))
    signatures = {open_judge("kimi", None, manner=m).signature for m in (Manner(), OFFICIAL, users)}
    assert len(signatures) == 3, "the same words under another name are still told apart"
    official = official_rubric(load_rubric("voicebench_open"), "kimi")
    assert isinstance(official, OfficialRubric)
    with pytest.raises(ValueError, match="wants the fields"):
        official.render(question="q")
    with pytest.raises(ValueError, match="must be text"):
        official.render(question="q", response=1)  # type: ignore[arg-type]


def test_rubrics_are_noted_whatever_the_wording(own_store: Path) -> None:
    with noting_rubrics() as noted:
        open_judge("kimi", None, manner=OFFICIAL)
        vstyle_judge("en", None, manner=Manner(wording="/no/folder"))
    assert noted[0] == ("voicebench_open", "kimi") and len(noted) == 5


# --- a folder of the user's ------------------------------------------------------------------------


def test_a_folder_of_the_users(tmp_path: Path) -> None:
    ours = rubric_file("voicebench_open")
    path = tmp_path / "voicebench_open.j2"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + ours.replace("role: user", "role: user\nsystem: Be kind.").replace("\n", "\r\n").encode()
    )
    judge = open_judge("kimi", None, manner=Manner(wording=str(tmp_path)))
    assert judge.rubric.label == f"voicebench_open:user@{load_rubric('voicebench_open').text_hash}"
    assert judge.asking.system == "Be kind."
    path.write_text(ours + "Be strict.\n")
    changed = open_judge("kimi", None, manner=Manner(wording=str(tmp_path)))
    assert changed.signature != judge.signature and changed.asking.system == SYSTEM
    with pytest.raises(UsageError, match=r"no voicebench_qa.j2 in it; start from ours"):
        qa_judge("kimi", None, manner=Manner(wording=str(tmp_path)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("---\n", "", 1), "head"),
        (("name: voicebench_open", "name: other"), "head names 'other'"),
        (("role: user", "role: judge"), "role is user or system"),
        (("[question, response]", "[question]"), "placeholders must be question, response"),
        (("[question, response]", "7"), "lacks or garbles"),
        (("{{ response }}", "the answer"), "never shows {{ response }}"),
        (("{{ response }}", "{{ response }}{{ prediction }}"), "has 'prediction'"),
        (("{{ response }}", "{{ response"), "no Jinja2 template"),
        (("fill: replace", "fill: shell"), "fill must be one of"),
    ],
)
def test_a_broken_rubric_is_named(change: tuple[str, str], told: str, tmp_path: Path) -> None:
    text = rubric_file("voicebench_open")
    (tmp_path / "voicebench_open.j2").write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(UsageError, match=r"voicebench_open\.j2") as raised:
        user_rubric(tmp_path, "voicebench_open")
    assert told in str(raised.value)


BOMB = "a: &a [x, x, x, x]\n" + "".join(
    f"k{k}: &k{k} [{', '.join([f'*k{k - 1}' if k else '*a'] * 9)}]\n" for k in range(12)
)


@pytest.mark.parametrize("field", ["name", "role", "contract", "placeholders", "system"])
def test_a_head_that_would_fill_the_memory(field: str, tmp_path: Path) -> None:
    """Aliases of aliases: a dozen lines that are 10**12 words once made into text."""
    head, _, body = rubric_file("voicebench_open").removeprefix("---\n").partition("\n---\n")
    kept = [x for x in head.splitlines() if not x.startswith(f"{field}:")]
    (tmp_path / "voicebench_open.j2").write_text(
        "---\n" + BOMB + "\n".join([*kept, f"{field}: *k11"]) + f"\n---\n{body}"
    )
    with pytest.raises(UsageError, match=r"lacks or garbles a field: a list where a text belongs$"):
        user_rubric(tmp_path, "voicebench_open")


@pytest.mark.parametrize(
    "more",
    [
        "{% include 'x' %}",
        "{{ 1 / 0 }}",
        "{{ question.__class__ }}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
    ],
)
def test_a_text_that_can_not_be_filled_is_told_at_once(more: str, tmp_path: Path) -> None:
    (tmp_path / "voicebench_open.j2").write_text(rubric_file("voicebench_open") + more)
    with pytest.raises(UsageError, match=r"its text (can't be filled|is no Jinja2 template)"):
        user_rubric(tmp_path, "voicebench_open")


def test_a_rubric_for_a_judge_that_hears_has_no_system_message(tmp_path: Path) -> None:
    text = rubric_file("vstyle_empathy_en").replace("role: user", "role: user\nsystem: Be kind.")
    (tmp_path / "vstyle_empathy_en.j2").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="can't have a system message"):
        user_rubric(tmp_path, "vstyle_empathy_en")


def test_a_rubric_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "voicebench_open.j2").write_bytes(b"---\xff")
    with pytest.raises(UsageError, match="can't be read"):
        user_rubric(tmp_path, "voicebench_open")


# --- the command line ------------------------------------------------------------------------------


def judged(bench: Bench, url: str, *more: object) -> Done:
    path = bench.tmp / "p.jsonl"
    rows = [{"id": k, "text": f"answer {k}", "row": {"prompt": f"question {k}"}} for k in range(3)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    words = ["--task", OPEN, "--out", bench.tmp / "a", "--judge", "openai/j", "-J", f"base_url={url}"]
    return bench.here("score", path, *words, *more)


def test_import_show_list_and_verify(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with made_up(monkeypatch) as texts:
        root = checkout(bench.tmp / "tools", texts)
        nothing = bench.here(
            "prompts", "import", bench.tmp / "tools/vstyle/lalm_eval/eval_prompts/en", "--json"
        )
        assert nothing.code == 0 and len(json.loads(nothing.out)["found"]) == 4
        (bench.tmp / "empty").mkdir()
        assert bench.here("prompts", "import", bench.tmp / "empty").code == 1
        refused(bench.here("prompts", "import", bench.tmp / "missing"), "there is no checkout")
        refused(bench.here("prompts", "import"), "prompts import PATH")

        done = bench.here("prompts", "import", root / "VoiceBench", root / "kimi")
        assert done.code == 0 and "still missing" in done.out and "sonalkum/MMAUPro@960e93a" in done.out, (
            done.said
        )
        told = json.loads(bench.here("prompts", "import", root, "--json").out)
        states = {f["state"] for f in told["found"]}
        assert states == {"imported", "already there"} and len(told["found"]) == len(texts)
        assert {m["what"].split()[0] for m in told["missing"]} == {"MMSU", "Fun-Audio-Chat"}

        rows = {r["name"]: r for r in json.loads(bench.here("prompts", "list", "--json").out)}
        assert set(rows) == set(rubric_names())
        assert all(p["imported"] for r in rows.values() for p in r["stands_for"])
        assert {"task": OPEN, "protocol": "official"} in rows["voicebench_open"]["used_by"]
        assert "none: stays ours" in bench.here("prompts", "list").out

        official = texts[KIMI_OPEN]
        kimi = ["prompts", "show", "voicebench_open", "--prompts", "official", "--protocol", "kimi"]
        assert bench.here(*kimi).out == official
        refused(bench.here(*kimi[:-2]), "--protocol official or --protocol kimi")
        refused(bench.here("prompts", "show", "custom_rating", "--prompts", "official"), "stays ours")
        assert json.loads(bench.here(*kimi, "--json").out)["text"] == official

        good = bench.here("prompts", "verify", "--json")
        assert good.code == 0, good.said
        assert {c["state"] for c in json.loads(good.out)["coverage"]} == {"complete", "ours only"}
        kept = bench.tmp / "config/prompts" / f"{digest(official)}.txt"
        kept.write_text("altered")
        bad = bench.here("prompts", "verify")
        assert bad.code == 1 and str(kept) in bad.err and "altered" in bad.out
        refused(bench.here(*kimi), "was altered")
        assert bench.here("prompts", "import", root).code == 0
        assert bench.here("prompts", "verify").code == 0


def test_show_gives_a_file_that_loads(bench: Bench) -> None:
    mine = bench.tmp / "mine"
    mine.mkdir()
    for name in rubric_names():
        (mine / f"{name}.j2").write_text(bench.here("prompts", "show", name).out, encoding="utf-8")
        assert user_rubric(mine, name).text_hash == load_rubric(name).text_hash
    assert bench.here("prompts", "show", "voicebench_qa", "--prompts", mine).out == rubric_file(
        "voicebench_qa"
    )
    body = bench.here("prompts", "show", "voicebench_qa", "--body").out
    assert body == load_rubric("voicebench_qa").body + "\n"
    refused(bench.here("prompts", "show"), "name one rubric")
    refused(bench.here("prompts", "show", "nosuch"), "no judge rubric")
    refused(bench.here("prompts", "list", "x"), "takes no names")


def test_scores_of_two_wordings_are_kept_apart(bench: Bench) -> None:
    """Both are on record, results hold one, and go back without asking again."""
    mine = bench.tmp / "mine"
    mine.mkdir()
    own = bench.here("prompts", "show", "voicebench_open").out
    (mine / "voicebench_open.j2").write_text(own.replace("Write the number", "In short: write the number"))
    with mock_server(texts=["4"]) as mock:
        assert judged(bench, mock.url).code == 0
        ours = result(bench.tmp / "a", OPEN)
    with mock_server(texts=["2"]) as mock:
        again = judged(bench, mock.url, "--prompts", mine)
        assert again.code == 0 and "instead of voicebench_open:own@" in again.err, again.said
        assert mock.requests() == 3
        theirs = result(bench.tmp / "a", OPEN)
        assert "In short: write" in mock.stats()["last"]["messages"][-1]["content"]
        assert json.loads((bench.tmp / "a/run.json").read_text())["options"]["prompts"] == str(mine)
        report = (bench.tmp / "a/report.html").read_text()
    assert (ours["value"], ours["n_scored"]) == (4.0, 3) and (theirs["value"], theirs["n_scored"]) == (2.0, 3)
    assert "voicebench_open:own@" in ours["judges"][0] and "voicebench_open:user@" in theirs["judges"][0]
    assert "in our own words" not in report and "in the user" in report
    scores = lines(bench.tmp / "a" / OPEN / "scores.jsonl")
    kept = {(s["judge"].split()[2].partition("@")[0], s["value"]) for s in scores}
    assert kept == {("voicebench_open:own", 4.0), ("voicebench_open:user", 2.0)}
    with mock_server(texts=["1"]) as mock:
        assert judged(bench, mock.url).code == 0
        assert mock.requests() == 0 and result(bench.tmp / "a", OPEN)["value"] == 4.0


def test_official_words_on_the_command_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with made_up(monkeypatch) as texts, mock_server(texts=["3"]) as mock:
        told = refused(judged(bench, mock.url, "--prompts", "official"), "OPEN_QA_PROMPT", "prompts import")
        assert "meta_prompt_open" not in told, "of the protocol at hand"
        assert mock.requests() == 0 and not (bench.tmp / "a").exists()
        root = checkout(bench.tmp / "tools", texts)
        assert bench.here("prompts", "import", root).code == 0
        assert judged(bench, mock.url, "--prompts", "official").code == 0
        system, user = mock.stats()["last"]["messages"]
        assert system["content"].startswith("You are a helpful assistant who tries")
        assert user["content"].startswith("\nGrade this, made up for 07e351f0.\n[question] question")
        entry = result(bench.tmp / "a", OPEN)
        assert entry["value"] == 3.0 and "voicebench_open:official@" in entry["judges"][0]
        assert "in our own words" not in (bench.tmp / "a/report.html").read_text()
        kept = bench.tmp / "config/prompts" / f"{digest(texts[KIMI_OPEN])}.txt"
        kept.write_text("altered")
        refused(judged(bench, mock.url, "--prompts", "official"), "was altered", kept.name)
    refused(
        judged(bench, "http://127.0.0.1:9/v1", "--prompts", bench.tmp / "nofolder"),
        "own, official, or a folder",
    )


def test_all_files_that_a_folder_lacks_are_named_at_once(bench: Bench) -> None:
    mine = bench.tmp / "mine"
    mine.mkdir()
    (mine / "vstyle_empathy_en.j2").write_text(rubric_file("vstyle_empathy_en"), encoding="utf-8")
    smoke = Path(__file__).parent.parent / "benchmarks/smoke"
    (bench.tmp / "p.jsonl").write_text('{"id": 1, "text": "a"}\n')
    run = [
        "run",
        "--model",
        f"replay/{bench.tmp / 'p.jsonl'}",
        "--task",
        "vstyle/en",
        "--data-dir",
        smoke,
        "--dry-run",
    ]
    told = refused(bench.here(*run, "--prompts", mine), "start from ours: run_eval.py prompts show")
    assert all(f"vstyle_{c}_en.j2" in told for c in VSTYLE_CATEGORIES if c != "empathy")
    (mine / "vstyle_role_play_en.j2").write_text("no head")
    for category in ("instruction", "acoustic_attributes"):
        name = f"vstyle_{category}_en"
        (mine / f"{name}.j2").write_text(rubric_file(name), encoding="utf-8")
    refused(bench.here(*run, "--prompts", mine), "vstyle_role_play_en.j2", "YAML head")


def test_all_missing_texts_of_a_run_are_named_at_once(bench: Bench) -> None:
    run = ["run", "--model", "replay/x", "--suite", "smoke", "--prompts", "official", "--dry-run"]
    (bench.tmp / "p.jsonl").write_text('{"id": 1, "text": "a"}\n')
    run[2] = f"replay/{bench.tmp / 'p.jsonl'}"
    told = refused(bench.here(*run), "prompts import")
    assert all(
        w in told for w in ("OPEN_QA_PROMPT", "SQ_QA_PROMPT", "zh/empathy.txt", "chatbot-eval", "MMAU-Pro")
    )


def test_a_manifest_is_parted_in_the_users_words(bench: Bench) -> None:
    mine = bench.tmp / "mine"
    mine.mkdir()
    own = rubric_file("style_separation").replace("Choose one", "Choose, please, one")
    (mine / "style_separation.j2").write_text(own, encoding="utf-8")
    manifest = Path(__file__).parent.parent / "benchmarks/smoke/local/speech-style"
    with mock_server(texts=["joy"]) as mock:
        judge = ["--judge", "openai/m", "-J", f"base_url={mock.url}"]
        assert bench.here("manifest", "separate", manifest, *judge, "--prompts", mine).code in (0, 1)
        assert "Choose, please, one" in mock.stats()["last"]["messages"][-1]["content"]


def test_the_doctor_counts_what_is_imported(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with made_up(monkeypatch) as texts:
        assert bench.here("prompts", "import", checkout(bench.tmp / "tools", texts) / "VoiceBench").code == 0
        told = json.loads(bench.here("doctor", "--json").out)["official prompts"]
    by = {row["toolkit"].partition("@")[0]: row for row in told}
    assert by["MatthewCYM/VoiceBench"]["imported"] == "2 of 2" and not by["MatthewCYM/VoiceBench"]["mend"]
    assert by["alibaba/vstyle"]["imported"] == "0 of 7" and "prompts import" in by["alibaba/vstyle"]["mend"]


def test_mmsu_asks_in_official_words(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """MMSU sheet section 3: the instruction, the question, the options by line; null prints as None."""
    from benchmarks import mmsu

    text = "Made-up instruction for MMSU. It takes two sentences."
    monkeypatch.setattr(mmsu, "MMSU_QUESTION", replace(mmsu.MMSU_QUESTION, sha256=digest(text)))
    show = ["show", "mmsu/all", "--suite", "smoke", "--prompt", "official"]
    refused(bench.here(*show), "not imported", "dingdongwang/MMSU_Bench@f0ef334", "letter-only")
    monkeypatch.setenv("EVALKIT_CONFIG", str(bench.tmp / "config"))
    store.keep(text)
    shown = bench.here(*show)
    assert shown.code == 0 and text in shown.out, shown.said


# --- the real texts, where the user has them -----------------------------------------------------------


@pytest.mark.skipif(not FOUND_REAL, reason="no official text is imported here")
def test_the_real_texts_render_as_published() -> None:
    for sha256, text in FOUND_REAL.items():
        assert rendered_wrongly(public_texts()[sha256], text) is None, public_texts()[sha256].what


@pytest.mark.skipif(
    "e10590490a68b8d3e95da052e463a81f864e6f404a41a0e835da683889b11491" not in FOUND_REAL,
    reason="UltraEval-Audio's chatbot-eval is not imported here",
)
def test_the_real_chatbot_prompt_is_filled_as_on_record() -> None:
    judge = chatbot_judge(None, manner=OFFICIAL)
    rows = lines(Path(__file__).parent / "vectors/ultraeval.ue_chatbot_eval.jsonl")
    rows = [r for r in rows if "official" in r]  # of the others the public scorer tells nothing
    assert rows
    for row in rows:
        asked = sample(row["input"]["instruction"])
        [(_, said)] = judge.request(asked, answer(row["input"]["response"])).messages
        assert isinstance(said, str) and digest(said) == row["official"]["prompt_sha256"]


def test_audio_follows_one_text(imported: dict[str, str]) -> None:
    """VStyle sheet section 3: the text, then the recordings."""
    import asyncio

    from tests.mock_openai import tone_wav

    judge = vstyle_judge("en", None, manner=OFFICIAL)
    reply = Response("s", text="", audio=Audio(data=tone_wav(0.1), format="wav"))
    given = sample("say it", ability="empathy/anger")
    request = asyncio.run(judge.prepared(given, Answer("", reply)))
    [(role, parts)] = request.messages
    assert role == "user" and [isinstance(p, str) for p in parts] == [True, False]

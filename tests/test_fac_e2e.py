"""The Fun-Audio-Chat runner as a user calls it: the tiny checkpoint on the smoke set, from --help to kill -9."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.runners.fun_audio_chat.prompting import persona as personas
from evalkit.runners.fun_audio_chat.prompting.chatml import S2M
from evalkit.wording import extras
from tests.cli_fixtures import Bench, Done, bench, finish, kill, lines, refused, wait_for
from tests.fun_audio_chat_fixtures import DENSE, needs_torch

__all__ = ["bench"]
pytestmark = needs_torch

S2T_TASK, S2S_TASK, TOOL_TASK = "voicebench/advbench", "vstyle/en", "speech-fc/bfcl-single"


def command(out: Path, *more: object, model: object = DENSE, tokens: int = 8) -> list[object]:
    """A quiet run on the smoke set."""
    quiet = ["--progress", "none", "--no-report", "--suite", "smoke", "--out", out]
    return ["run", "--model", f"fun-audio-chat/{model}", "-M", f"max_new_tokens={tokens}", *quiet, *more]


def answered(out: Path) -> dict[str, Mapping[str, Any]]:
    """Every response of a run by task and sample."""
    return {
        f"{p.parent.parent.name}/{p.parent.name}/{r['sample_id']}": r
        for p in sorted(out.glob("*/*/responses.jsonl"))
        for r in lines(p)
    }


def said(out: Path) -> dict[str, Any]:
    """Texts and speech ids, none of them an error."""
    found = answered(out)
    assert found and not [r["error"] for r in found.values() if r.get("error")]
    return {k: (r["text"], r["meta"].get("speech_ids"), r["meta"]["finish_reason"]) for k, r in found.items()}


def ran(done: Done) -> Done:
    """Ended well; 1 is the code of a run whose answers nobody here can score (no judge is bound)."""
    assert done.code in (0, 1) and "failed" not in done.err and "Traceback" not in done.err, done.said
    return done


ALL_THREE = ("--task", S2T_TASK, "--task", S2S_TASK, "--task", TOOL_TASK, "-M", "speech=ids")


def test_every_way_of_asking_alone_and_in_company(bench: Bench) -> None:
    """Text, speech and function calls through the command line; batch 1 and batch 4 agree in every id."""
    one, four = bench.tmp / "one", bench.tmp / "four"
    ran(bench.here(*command(one, *ALL_THREE, "-M", "batch=1", "--no-cache")))
    ran(bench.here(*command(four, *ALL_THREE, "-M", "batch=4")))
    assert said(one) == said(four)
    found = answered(four)
    kinds = {r["meta"]["prompt"]: r for r in found.values()}
    assert set(kinds) == {"s2t", "s2m", "tools"}
    assert kinds["s2m"]["meta"]["speech"] == "ids" and len(kinds["s2m"]["meta"]["speech_ids"]) % 5 == 0
    assert all(
        r["sent"][0]["sample_rate"] == 16000 and r["usage"]["prompt_tokens"] > 0 for r in found.values()
    )
    scores = lines(four / S2S_TASK / "scores.jsonl")
    assert scores and all("speech-ids" in s["reason"] for s in scores)  # kept for later, not silent
    # Kept between runs: the third asks nobody, and holds the same answers.
    third = bench.tmp / "third"
    ran(bench.here(*command(third, *ALL_THREE, "-M", "batch=2")))
    assert said(third) == said(four) and all(r["meta"].get("cached") for r in answered(third).values())
    held = json.loads((four / "run.json").read_text())["model"]
    assert held["label"] == "dense" and str(DENSE) not in json.dumps(held["identity"])
    assert held["identity"] == json.loads((one / "run.json").read_text())["model"]["identity"]


def test_a_call_that_is_written_out_is_scored_as_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """`<tool_call>` is no special token: it is in the text, where the judge reads it. Specification, section 11."""
    from evalkit.runners.fun_audio_chat.prompting.tokens import Tokens

    rows = {}
    ran(bench.here(*command(bench.tmp / "a", "--task", TOOL_TASK)))
    for line in lines(bench.tmp / "a" / TOOL_TASK / "responses.jsonl"):
        [call] = line["asked"]["target"][:1]
        [(name, arguments)] = call.items()
        chosen = {k: v[0] for k, v in arguments.items() if v[0] != ""}
        rows[line["sample_id"]] = json.dumps({"name": name, "arguments": chosen}, ensure_ascii=False)
    spelled: list[str] = []
    decode = Tokens.decode

    def right(self: Tokens, ids: Any) -> str:
        """What a trained model would have generated, through the tokenizer and back."""
        spelled.append(
            decode(
                self,
                self.encode(
                    f"<tool_call>\n{rows['0'] if '0' in rows else next(iter(rows.values()))}\n</tool_call><|im_end|>"
                ),
            )
        )
        return spelled[-1]

    monkeypatch.setattr(Tokens, "decode", right)
    limited = command(bench.tmp / "b", "--task", TOOL_TASK, "--limit", 1, "--no-cache")
    ran(bench.here(*limited))
    assert spelled[0].startswith("<tool_call>\n{") and spelled[0].endswith("</tool_call>")
    [score] = [s for s in lines(bench.tmp / "b" / TOOL_TASK / "scores.jsonl") if s["metric"] == "acc"][:1]
    assert score["value"] == 1, score


def test_mistakes_are_one_sentence(bench: Bench) -> None:
    out, task = bench.tmp / "out", ("--task", S2T_TASK)
    refused(bench.here(*command(out, *task, model=bench.tmp / "nowhere")), "nowhere", "is not there")
    refused(bench.here(*command(out, *task, model=bench.tmp)), "no config.json")
    refused(bench.here(*command(out, *task, "-M", "devise=cpu")), "unknown option devise", "device")
    refused(bench.here(*command(out, *task, "-M", "device=cuda:99")), "device=cuda:99")
    refused(bench.here(*command(out, "--task", S2S_TASK)), "cosyvoice=DIR", "speech=ids")
    broken = bench.tmp / "broken"
    shutil.copytree(DENSE, broken)
    config = json.loads((broken / "config.json").read_text())
    config["text_config"]["audio_bos_index"] = 200
    (broken / "config.json").write_text(json.dumps(config))
    refused(bench.here(*command(out, *task, model=broken)), "audio_bos_index 200", "<|audio_bos|> at 262")
    assert not list(out.glob("*/*/responses.jsonl"))


def test_a_dry_run_and_a_preview_load_no_model(bench: Bench) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from evalkit.cli import main; sys.exit(main())"
    )
    done = ran(bench.process(*command(bench.tmp / "x", "--task", S2T_TASK, "--dry-run"), code=code))
    assert "nothing was sent" in done.err
    show = [
        "show",
        S2S_TASK,
        "--suite",
        "smoke",
        "--limit",
        2,
        "--json",
        "--model",
        f"fun-audio-chat/{DENSE}",
    ]
    told = [json.loads(line) for line in ran(bench.process(*show, code=code)).out.splitlines()]
    assert [t["sent"]["text"].count("<|AUDIO|>") for t in told] == [1, 1]
    assert all(t["sent"]["placeholders"] > 0 and S2M in t["sent"]["text"] for t in told)


def test_killed_and_resumed_is_as_never_killed(bench: Bench) -> None:
    whole, cut = bench.tmp / "whole", bench.tmp / "cut"
    more = ("--task", S2S_TASK, "-M", "speech=ids", "-M", "batch=1", "--concurrency", 1, "--no-cache")
    ran(bench.here(*command(whole, *more, tokens=40)))
    process = bench.start(*command(cut, *more, tokens=40))
    wait_for(lambda: answered(cut), process)
    died = kill(process)
    assert died.code == -signal.SIGKILL
    assert 1 <= len(answered(cut)) < len(answered(whole))
    ran(bench.here(*command(cut, *more, tokens=40)))
    assert said(cut) == said(whole)


def test_an_interrupt_ends_it_soon(bench: Bench) -> None:
    out = bench.tmp / "out"
    more = ("--task", "vstyle/*", "-M", "speech=ids", "-M", "batch=2", "--no-cache")
    process = bench.start(*command(out, *more, tokens=3000))
    assert process.stderr is not None
    told = []
    for line in process.stderr:  # told at the first question
        told.append(line)
        if "without a persona" in line:
            break
    else:
        pytest.fail("".join(told))
    process.send_signal(signal.SIGINT)
    done = finish(process, timeout=10)
    assert done.code == 130 and "Traceback" not in done.err, done.said


def test_the_published_persona_is_imported_and_used(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up constant.py in the place of the published one, its text put together from another one's name."""
    text = f"{S2M} You keep a lighthouse."
    made_up = replace(extras.SPOKEN_S2M, sha256=hashlib.sha256(text.encode()).hexdigest())
    monkeypatch.setattr(personas, "SPOKEN_S2M", made_up)
    monkeypatch.setattr("evalkit.cli.prompts.EXTRAS", (made_up,))
    constants = bench.tmp / "checkout" / "utils" / "constant.py"
    constants.parent.mkdir(parents=True)
    constants.write_text(
        f'DEFAULT_S2M_PROMPT = "{S2M}"\nSPOKEN_S2M_PROMPT = DEFAULT_S2M_PROMPT + " You keep a lighthouse."\n'
    )
    more = ("--task", S2S_TASK, "-M", "speech=ids", "--limit", 1)
    plain, spoken = bench.tmp / "plain", bench.tmp / "spoken"
    assert ran(bench.here(*command(plain, *more))).err.count("without a persona") == 1
    assert "SPOKEN_S2M_PROMPT" in ran(bench.here("prompts", "import", bench.tmp / "checkout")).out
    assert "without a persona" not in ran(bench.here(*command(spoken, *more))).err
    [before], [after] = answered(plain).values(), answered(spoken).values()
    assert (before["meta"]["prompt"], before["meta"]["persona"]) == ("s2m", "none")
    assert after["meta"]["prompt"] == "persona" and "persona" not in after["meta"]
    assert after["usage"]["prompt_tokens"] > before["usage"]["prompt_tokens"] and said(plain) != said(spoken)
    runners = {json.loads((p / "run.json").read_text())["model"]["runner"] for p in (plain, spoken)}
    assert len(runners) == 2
    refused(bench.here(*command(plain, *more)), "holds answers of", "They differ in")
    ran(bench.here(*command(bench.tmp / "none", *more, "-M", "persona=none")))
    assert said(bench.tmp / "none") == said(plain)

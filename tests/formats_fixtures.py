"""A small file of each format that `score` reads, as its public scorer would have it, with what comes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REFUSAL = "I can't help with that."


@dataclass(frozen=True)
class Case:
    """Records of one format.

    Attributes:
        name: the format.
        file: what the file is called.
        records: its records, none of them failed.
        expected: {task: {metric: value}} that come of it.
        more: arguments beside the file.
        array: written as a JSON array instead of lines.
        key: the field that holds the id, or None where records have none.
        ids: {task: sorted sample ids}.
    """

    name: str
    file: str
    records: Sequence[Mapping[str, Any]]
    expected: Mapping[str, Mapping[str, float]]
    more: tuple[str, ...] = ()
    array: bool = False
    key: str | None = "id"
    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """The records, a line each."""
        return [json.dumps(dict(r), ensure_ascii=False) for r in self.records]

    def write(self, folder: Path, lines: Sequence[str] | None = None, *, end: str = "\n") -> Path:
        """Write the file with these lines instead of its own; the path."""
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.lines if lines is None else lines
        text = f"[{end}{f',{end}'.join(lines)}{end}]{end}" if self.array else "".join(x + end for x in lines)
        path.write_bytes(text.encode())
        return path


def _tool(name: str) -> str:
    parameters = {"type": "dict", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    tool = {"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}}
    return json.dumps([tool])


def _call(name: str, x: int) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': {'x': x}})}\n</tool_call><|im_end|>"


def _fc(key: int, category: str, x: int) -> dict[str, Any]:
    return {
        "utterance": f"call f with {key}",
        "file_name": f"wav/{category}/{key}.wav",
        "function": _tool("f"),
        "time": "",
        "ground_truth": json.dumps([{"f": {"x": [1]}}] if "BFCL" in category else {"f": {"x": 1}}),
        "category": category,
        "dataset_key": f"simple_python_{key}",
        "index": key,
        "predict": _call("f", x),
    }


def _mmau(key: str, task: str, answer: str) -> dict[str, Any]:
    return {
        "id": key,
        "audio_id": f"./test-mini-audios/{key}.wav",
        "question": f"What is {key}?",
        "choices": ["a dog", "a cat", "rain"],
        "answer": "a cat",
        "dataset": "AudioSet",
        "task": task,
        "split": "test-mini",
        "category": "Reasoning",
        "sub-category": "Acoustic Scene Reasoning",
        "difficulty": "easy",
        "model_output": answer,
    }


def _mmsu(key: int, response: str) -> dict[str, Any]:
    return {
        "id": f"accent_identification_{key:04}",
        "task_name": "accent_identification",
        "category": "Perception",
        "sub-category": "Linguistics",
        "sub-sub-category": "Phonology",
        "linguistics_sub_discipline": "None",
        "question": f"Which accent is number {key}?",
        "choice_a": "one",
        "choice_b": "two",
        "choice_c": None,
        "choice_d": None,
        "answer_gt": "two",
        "response": response,
    }


def _pro(key: str, identifier: str, kwargs: dict[str, Any], answer: str) -> dict[str, Any]:
    return {
        "id": key,
        "audio_path": [f"data/{key}.wav"],
        "question": "Say it as told.",
        "answer": None,
        "choices": None,
        "length_type": "short",
        "perceptual_skills": [],
        "reasoning_skills": [],
        "category": "instruction following",
        "transcription": "",
        "task_classification": "",
        "task_identifier": identifier,
        "kwargs": kwargs,
        "sub-cat": "",
        "model_output": answer,
    }


def _vstyle(key: int, ability: str, score: str, raw: str) -> dict[str, Any]:
    return {
        "id": 10 * key + 1,
        "instruct_id": key + 1,
        "ability": ability,
        "instruct_text": f"Say number {key} like a child.",
        "model_name": "m",
        "response_audio_path": f"wav/{key}.wav",
        "gemini_score": score,
        "gemini_raw": raw,
    }


def ultraeval(key: int, text: str, ref: str, match: int) -> list[dict[str, Any]]:
    """The four records of one sample."""
    answer = json.dumps({"audio": f"/elsewhere/{key}.wav", "text": text})
    return [
        {"type": "prompt", "id": key, "data": {"content": [{"role": "user", "contents": []}]}},
        {"type": "inference", "id": key, "data": {"content": answer}},
        {"type": "post_process", "id": key, "data": {"content": " " + text}},
        {"type": "eval", "id": key, "data": {"match": match, "pred": text, "ref": ref}},
    ]


def _kimi(index: int, subset: str, judge: str, **more: Any) -> dict[str, Any]:
    return {
        "index": index,
        "audio_path": f"/data/audios/{subset}_{index}.mp3",
        "subset": subset,
        "question": "",
        "audio_content": f"What is {index}?",
        "answer": "Paris",
        "task_type": "audio2text",
        "prediction": "It is Paris.",
        "real_prompt": "",
        "judge_result": judge,
        **more,
    }


OAB = ("alpaca-eval", "llama-questions", "reasoning-qa", "trivia-qa", "web-questions")

CASES = (
    Case(
        "voicebench",
        "m-advbench-test-audio.jsonl",
        [{"prompt": f"do {k}", "response": REFUSAL if k % 2 else "Sure!"} for k in range(4)],
        {"voicebench/advbench": {"refusal": 50.0}},
        ("--task", "voicebench/advbench"),
        key=None,
    ),
    Case(
        "voicebench",
        "result-m-commoneval-test-audio.jsonl",
        [{"prompt": f"{k}?", "response": "yes", "score": ["5", "4", "3"]} for k in range(3)],
        {"voicebench/commoneval": {"geval": 4.0}},
        ("--task", "voicebench/commoneval", "--protocol", "official"),
        key=None,
    ),
    Case(
        "speechfceval",
        "predict-m-SpeechFC-BFCL-Single.json",
        [_fc(k, "SpeechFC_BFCL_Single", 1 if k else 2) for k in range(4)],
        {"speech-fc/bfcl-single": {"acc": 75.0}},
        key="dataset_key",
        ids={"speech-fc/bfcl-single": [f"simple_python_{k}" for k in range(4)]},
    ),
    Case(
        "mmau",
        "answers.json",
        [_mmau("a-1", "sound", "a cat"), _mmau("b-2", "music", "a dog"), _mmau("c-3", "speech", "a cat")],
        {"mmau/test-mini": {"acc": 200 / 3}},
        ("--protocol", "official"),
        array=True,
        ids={"mmau/test-mini": ["a-1", "b-2", "c-3"]},
    ),
    Case(
        "mmsu",
        "out.jsonl",
        [_mmsu(0, "B"), _mmsu(1, "A. one"), _mmsu(2, "B. two"), _mmsu(3, "B")],
        {"mmsu/all": {"acc": 75.0}},
        ("--protocol", "official"),
        ids={"mmsu/all": [f"accent_identification_{k:04}" for k in range(4)]},
    ),
    Case(
        "mmau-pro",
        "test.json",
        [_pro("p1", "Include Keywords", {"keywords": "rain"}, "rain"), _pro("p2", "No Commas", {}, "a, b")],
        {"mmau-pro/full": {}},
        ("--task", "mmau-pro/full"),
        array=True,
        ids={"mmau-pro/full": ["p1", "p2"]},
    ),
    Case(
        "vstyle",
        "metadata_with_score.jsonl",
        [
            _vstyle(0, "acoustic_attributes/age", "5", "Fine. Final score: [[5]]"),
            _vstyle(1, "acoustic_attributes/age", "3", "So so. [[3]]"),
        ],
        {"vstyle/en": {"score": 4.0}},
        ids={"vstyle/en": ["1", "11"]},
    ),
    Case(
        "ultraeval-audio",
        "res/m/llama-questions/2026-01-02_03-04-05.jsonl",
        [r for k in range(4) for r in ultraeval(k, "it is Paris", "Paris" if k else "Rome", int(k > 0))],
        {"ultraeval-audio/llama-questions": {"acc": 75.0}},
        ("--task", "ultraeval-audio/llama-questions"),
        ids={"ultraeval-audio/llama-questions": ["0", "1", "2", "3"]},
    ),
    Case(
        "kimi-audio-evalkit",
        "OpenAudioBench.jsonl",
        [
            _kimi(0, "llama_questions", "The score is [Correct]"),
            _kimi(1, "web_questions", '{"analysis": "x", "judgment": "correct"}'),
            _kimi(2, "reasoning_qa", "得分是[4]"),
            _kimi(3, "alpaca_eval", "Good. Rating: [[7]]"),
            _kimi(4, "trivia_qa", '{"analysis": "x", "judgment": "incorrect"}'),
        ],
        {
            "openaudiobench/alpaca-eval": {"geval": 70.0},
            "openaudiobench/llama-questions": {"acc": 100.0},
            "openaudiobench/reasoning-qa": {"acc": 100.0, "score20": 80.0},
            "openaudiobench/trivia-qa": {"acc": 0.0},
            "openaudiobench/web-questions": {"acc": 100.0},
        },
        key="audio_path",
        ids={"openaudiobench/alpaca-eval": ["alpaca_eval_3.mp3"]},
    ),
)


def case_id(case: Case) -> str:
    return f"{case.name}:{case.file.rpartition('/')[2]}"

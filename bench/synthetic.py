"""Made-up predictions in every benchmark's shape: rows in its columns, answers long and short, judge replies."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from evalkit.task import Task

SIZES = {"asr/common-voice-en": 16_348, "asr/common-voice-zh": 10_000, "vstyle/en": 770, "vstyle/zh": 770}
"""Samples of tasks whose published number is not established: about as many as there are."""
DEFAULT_SIZE = 200

COMMON = """
the of and to in is that it was for on are as with they at be this from have or one had by but what all
were when we there can an your which their said if do will each about how up out them then she many some
twenty-three 1,204 colour Paris It's won't piano kitchen weather because three quarters river answer
"""
EN = COMMON.split()
ZH = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生三十二点五百北京天气"

Record = dict[str, Any]


def words(rng: random.Random, n: int) -> str:
    """About n English words with some punctuation."""
    out = [rng.choice(EN) for _ in range(n)]
    return " ".join(w + rng.choice(("", "", "", "", ",", ".")) for w in out).capitalize() + "."


def han(rng: random.Random, n: int) -> str:
    """n Han characters, digits and marks among them."""
    return "".join(rng.choice(ZH) if rng.random() > 0.05 else rng.choice("，。3") for _ in range(n))


def misheard(rng: random.Random, text: str, sep: str = " ") -> str:
    """The text with one token in ten changed, dropped or doubled."""
    out: list[str] = []
    for token in text.split(sep) if sep else text:
        chance = rng.random()
        out += (
            [rng.choice(EN)]
            if chance < 0.04
            else [token, token]
            if chance < 0.06
            else [token] * (chance > 0.1)
        )
    return sep.join(out)


LETTER_STYLES = (
    "{0}",
    "{0}. {1}",
    "({0}) {1}",
    "The answer is {0}.",
    "I think it is {1}",
    "Hard to say.",
    "",
)


def _voicebench(task: Task, k: int, rng: random.Random) -> Record:
    question = words(rng, 30)
    subset = task.subset
    if subset in ("mmsu", "openbookqa"):
        letter = rng.choice("ABCD")
        row = {"prompt": question, "reference": rng.choice("ABCD"), "domain": "physics"}
        text = rng.choice(LETTER_STYLES).format(letter, question[:30]) + " " + words(rng, rng.randrange(40))
        return {"row": row, "text": text, "judge": rng.choice(("It fits.\nyes", "It does not.\nno"))}
    if subset.startswith("sd-qa"):
        reference = rng.choice(EN)
        row = {"prompt": question, "reference": reference}
        return {"row": row, "text": words(rng, 15), "judge": {"gpt": rng.choice(("yes", "no"))}}
    if subset == "bbh":
        name = rng.choice(("sports_understanding", "hyperbaton", "navigate", "web_of_lies"))
        row = {"id": f"{name}_{k}", "prompt": question, "reference": rng.choice(("yes", "no", "(a)", "(b)"))}
        return {"row": row, "text": words(rng, 60)}
    if subset == "ifeval":
        checks = (
            "punctuation:no_comma",
            "length_constraints:number_words",
            "length_constraints:number_sentences",
        )
        kwargs = [{}, {"relation": "at least", "num_words": 40}, {"relation": "at least", "num_sentences": 4}]
        row = {"key": k, "prompt": question, "instruction_id_list": list(checks), "kwargs": kwargs}
        return {"row": row, "text": words(rng, 150)}
    return {"row": {"prompt": question}, "text": words(rng, 80), "judge": rng.choice("12345")}


def _ultraeval(task: Task, k: int, rng: random.Random) -> Record:
    reference = " ".join(rng.choice(EN) for _ in range(2))
    names = dict.fromkeys(("output", "Answer", "answer", "answers"), reference)
    said = words(rng, 40) + (f" {reference}" if rng.random() < 0.4 else "")
    judge = f"Fine. Rating: [[{rng.randrange(1, 11)}]]"
    spoken = {} if task.name.endswith("-s2t") else {"transcript": " " + misheard(rng, said)}
    return {"row": {"question": words(rng, 12), **names}, "text": said, **spoken, "judge": judge}


def _openaudiobench(task: Task, k: int, rng: random.Random) -> Record:
    question, answer = words(rng, 15), rng.choice(EN)
    columns = ("instruction", "output", "Questions", "Answer", "Prompt", "参考答案", "question", "answers")
    row = {**dict.fromkeys(columns, answer), "answer_normalized_aliases": answer, "question": question}
    row |= {"instruction": question, "Questions": question, "Prompt": question}
    replies = {
        "alpaca-eval": f"Clear. Rating: [[{rng.randrange(1, 11)}]]",
        "llama-questions": f"{words(rng, 20)} The score is [{rng.choice(('Correct', 'Incorrect'))}]",
        "reasoning-qa": f"{han(rng, 40)}得分是[{rng.randrange(1, 6)}]",
    }
    verdict = rng.choice(("correct", "incorrect"))
    other = json.dumps({"analysis": words(rng, 20), "judgment": verdict})
    return {"row": row, "text": words(rng, 60), "judge": replies.get(task.subset, other)}


def _asr(task: Task, k: int, rng: random.Random) -> Record:
    if task.languages == ("zh",):
        said = han(rng, rng.randrange(5, 40))
        return {"row": {"text": said, "sentence": said}, "text": misheard(rng, said, "")}
    said = words(rng, rng.randrange(4, 36))
    return {"row": {"text": said, "sentence": said}, "text": misheard(rng, said).lower()}


def _choice(task: Task, k: int, rng: random.Random) -> Record:
    options = [words(rng, 2)[:-1] for _ in range(4)]
    right = rng.randrange(4)
    at = rng.randrange(4)
    text = rng.choice(LETTER_STYLES).format("ABCD"[at], options[at])
    row = {
        "question": words(rng, 15),
        "choices": options,
        "answer": options[right],
        "answer_gt": options[right],
        **{f"choice_{x}": o for x, o in zip("abcd", options, strict=True)},
        "task": rng.choice(("sound", "music", "speech")),
        "difficulty": rng.choice(("easy", "medium", "hard")),
        "task_name": rng.choice(("accent_identification", "polysemy_reasoning", "sarcasm_detection")),
        "category": rng.choice(("Perception", "Reasoning")),
        "sub-category": rng.choice(("Linguistics", "Paralinguistics")),
        "sub-sub-category": "Phonology",
        "linguistics_sub_discipline": "None",
    }
    return {"row": row, "text": text, "judge": rng.choice(("Same meaning.\nyes", "Another.\nno"))}


PRO = (
    "sound",
    "music",
    "speech",
    "sound_music",
    "spatial_audio",
    "voice_chat",
    "open",
    "instruction following",
)


def _mmau_pro(task: Task, k: int, rng: random.Random) -> Record:
    record = _choice(task, k, rng)
    category = rng.choices(PRO, weights=(10, 14, 9, 1, 3, 3, 6, 1))[0]
    record["row"] |= {"category": category, "audio_path": [f"data/{k}.wav"], "length_type": "short"}
    if category == "open":
        record["row"] |= {"choices": [record["row"]["answer"]]}
        marks = ("CORRECTNESS", "RELEVANCE", "COMPLETENESS", "CLARITY", "OVERALL")
        record["judge"] = "\n".join(f"{m}: {rng.randrange(1, 6)} - {words(rng, 8)}" for m in marks)
        record["text"] = words(rng, 40)
    if category == "instruction following":
        record["row"] |= {"choices": None, "answer": None, "task_identifier": "Number Sentences (at least)"}
        record["row"] |= {"kwargs": {"N": 3}}
        record["text"] = words(rng, 60)
    return record


def _speech_fc(task: Task, k: int, rng: random.Random) -> Record:
    names = [f"do_{rng.choice(EN[:20])}_{i}" for i in range(rng.randrange(1, 4))]
    kinds = ("string", "integer", "boolean", "float")
    tools, calls, truth = [], [], []
    for name in names:
        properties = {f"p{i}": {"type": kinds[i % 4], "description": words(rng, 8)} for i in range(4)}
        parameters = {"type": "dict", "properties": properties, "required": ["p0", "p1"]}
        tool = {"name": name, "description": words(rng, 12), "parameters": parameters}
        tools.append({"type": "function", "function": tool})
    wanted = names if task.name.endswith("parallel") else names[:1]
    for name in wanted:
        values = {"p0": rng.choice(EN), "p1": rng.randrange(9), "p2": True}
        truth.append((name, values))
        said = values if rng.random() < 0.7 else {**values, "p1": 99}
        calls.append(f"<tool_call>\n{json.dumps({'name': name, 'arguments': said})}\n</tool_call>")
    if "acebench" in task.name:
        answer: Any = dict(truth)
    else:
        answer = [{name: {p: [v] for p, v in values.items()}} for name, values in truth]
    row = {
        "utterance": words(rng, 15),
        "function": json.dumps(tools),
        "ground_truth": json.dumps(answer),
        "dataset_key": f"simple_python_{k}",
    }
    return {"row": row, "text": "".join(calls) + "<|im_end|>"}


ABILITIES = ("acoustic_attributes/age", "instruction/style", "role_play/character", "empathy/anger")


def _vstyle(task: Task, k: int, rng: random.Random) -> Record:
    row = {
        "id": k + 1,
        "instruct_id": k + 1,
        "ability": rng.choice(ABILITIES),
        "instruct_text": words(rng, 20),
    }
    return {"row": row, "text": "", "judge": f"{words(rng, 120)} Final score: [[{rng.randrange(1, 6)}]]"}


def _style(task: Task, k: int, rng: random.Random) -> Record:
    track = task.subset.replace("-", "_")
    row = {
        "id": f"{track}-{k}",
        "track": track,
        "language": "en",
        "audio": f"wav/{k}.wav",
        "transcript": words(rng, 20),
        "category": "emotion",
        "requirements": [{"type": "emotion", "value": "calm"}],
        "content": {"mode": "free"},
        "user_state": {"emotion": "sad", "situation": words(rng, 8)},
        "cue": {"type": "emotion", "description": "a low voice"},
    }
    return {"row": row, "text": "", "judge": f"{words(rng, 120)} Final score: [[{rng.randrange(1, 6)}]]"}


MAKERS: dict[str, Callable[[Task, int, random.Random], Record]] = {
    "voicebench": _voicebench,
    "ultraeval-audio": _ultraeval,
    "openaudiobench": _openaudiobench,
    "asr": _asr,
    "mmau": _choice,
    "mmsu": _choice,
    "mmau-pro": _mmau_pro,
    "speech-fc": _speech_fc,
    "vstyle": _vstyle,
    "speech-style": _style,
}
"""Who makes up a record of each benchmark; one that is not here gets plain questions and answers."""


def size(task: Task) -> int:
    """How many samples a task has."""
    return task.expected or SIZES.get(task.name, DEFAULT_SIZE)


def predictions(task: Task, n: int) -> Iterator[bytes]:
    """n lines of our predictions format for a task, the same ones each time."""
    rng = random.Random(task.name)
    make = MAKERS.get(task.benchmark, _voicebench)
    for k in range(n):
        yield json.dumps({"id": f"s{k:05}", **make(task, k, rng)}, ensure_ascii=False).encode() + b"\n"

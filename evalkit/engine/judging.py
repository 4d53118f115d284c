"""From an answer to scores: which words a judge reads, which verdicts are missing, what a crash becomes."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from evalkit.engine.standin import marked
from evalkit.engine.state import TaskState
from evalkit.errors import BUDGET, RunnerError
from evalkit.interfaces import Answer, Judge
from evalkit.records import Response, Sample, Score, Transcript, Verdict, digest_of
from evalkit.segmentfile import cluster_label

NO_SPEECH = (
    "no-speech: the response has no audio to transcribe; does the model speak (-M voice=...)? "
    "Written answers are scored by the tasks whose names end in -s2t"
)
SPEECH_IDS = (
    "speech-ids: the response holds its speech as ids, not yet as sound; make the audio with "
    "`run_eval.py vocode RUN ...`, and score what that writes"
)
NO_TEXT = "no-text: the prediction has audio but no text, and this task scores the text"
ASR_UNBOUND = "asr-unbound: no ASR engine is bound; pass --asr, e.g. --asr faster-whisper/large-v3"


def reference(answer: str, told: str) -> str:
    """What scores refer to: this answer (its digest) to this question with this target (`judged`).

    A corrected reference answer in the data then finds no verdict on record, and is judged anew.
    """
    return digest_of([answer, told])[:16]


def judged(sample: Sample) -> str:
    """16 hex digits over all that judges are told of a sample: question, target, meta."""
    return digest_of([sample.question, sample.target, dict(sample.meta)])[:16]


def answer_for(judge: Judge, response: Response, transcript: Transcript | None) -> Answer:
    """What this judge is shown of a response."""
    text = response.text if judge.reads != "speech" else transcript.text if transcript else ""
    return Answer(text, response, transcript, recorded_for(judge, response))


def recorded_for(judge: Judge, response: Response) -> tuple[str, ...] | None:
    """Judge replies recorded with a prediction: one, several votes, or by metric.

    Only a judge that was built to read them gets them; beside a live judge they are left alone, so that no
    verdict carries the name of a model that did not give it.
    """
    found = response.meta.get("recorded")
    if isinstance(found, dict):
        found = next((found[m] for m in judge.metrics if m in found), None)
    elif judge.recorded_by_name:
        found = None
    if found is None or not judge.recorded:
        return None
    return (found,) if isinstance(found, str) else tuple(found)


def as_ids(response: Response) -> bool:
    """Did the model speak, but its speech is kept as ids from which audio can be made later?"""
    kept = response.meta.get("speech") == "ids" and response.meta.get("speech_ids")
    return bool(kept) and response.audio is None


def obstacle(judge: Judge, response: Response, transcript: Transcript | None) -> str | None:
    """Why this judge can't be asked at all, as an unscored reason; None when it can."""
    if judge.reads == "text" and response.meta.get("text") == "none given":
        return None if judge.judges_absence else NO_TEXT
    if judge.reads != "text" and transcript is None and as_ids(response):
        return SPEECH_IDS  # even to a judge of silence or absence: this is neither
    if judge.reads == "speech" and transcript is None:
        if response.audio is not None:
            return ASR_UNBOUND
        if not (judge.judges_absence or (judge.judges_silence and response.meta.get("speech") == "empty")):
            return NO_SPEECH
    if judge.reads == "speech" and transcript is not None and transcript.error is not None:
        return f"asr-{transcript.error.kind.removeprefix('asr-')}: {transcript.error.message}"
    if judge.reads == "audio" and response.audio is None and not judge.judges_absence:
        return "no-speech: the response has no audio"
    return None


def crash(judge: Judge, exc: Exception) -> list[Verdict]:
    """A bug in a judge leaves the sample unscored, in plain sight; it never ends the run."""
    return judge.unscored(f"judge-crash: {judge.signature} raised {type(exc).__name__}: {str(exc)[:300]}")


def failed(judge: Judge, error: RunnerError) -> list[Verdict]:
    """What the sample gets when a judge's model could not be asked. Raises RunnerError for a fatal error."""
    if error.fatal:
        raise RunnerError(error.kind, f"the {judge.role}: {for_judge(judge, error)}", fatal=True) from error
    if error.kind == BUDGET:  # it says nothing of the answer, whatever the judge makes of failures
        return judge.unscored(f"judge-{BUDGET}: {error.message}")
    return judge.gave_up(error)


def for_judge(judge: Judge, error: RunnerError) -> str:
    """The message, naming the options of the judge instead of those of the model under test."""
    flag = "-J" if judge.role == "judge" else "-L"
    return error.message.replace("-M base_url", f"{flag} base_url")


def after(tries: int, verdicts: list[Verdict]) -> list[Verdict]:
    """The verdicts, which say so where it took more than one attempt to have them."""
    if tries == 1:
        return verdicts
    return [replace(v, detail={**v.detail, "attempts": tries}) for v in verdicts]


def judge_now(
    judge: Judge, sample: Sample, response: Response, transcript: Transcript | None
) -> list[Verdict]:
    """The verdicts of a rule judge."""
    if (why := obstacle(judge, response, transcript)) is not None:
        return judge.unscored(why)
    try:
        return judge.score(sample, answer_for(judge, response, transcript))
    except Exception as exc:
        return crash(judge, exc)


def drive(coroutine: Coroutine[Any, Any, list[Verdict]]) -> list[Verdict] | None:
    """Run a coroutine that has nothing to wait for; None when it turned out to wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        verdicts: list[Verdict] = stop.value
        return verdicts
    coroutine.close()
    return None


def to_scores(
    state: TaskState, judge: Judge, verdicts: list[Verdict], response: Response, ref: str
) -> list[Score]:
    """The verdicts on a response as scores on record, signed by the judge; `ref` is what they refer to."""
    signed = state.plan.sign(judge)
    told = marked(verdicts, response)
    return [Score.of(v, sample_id=response.sample_id, judge=signed, response=ref) for v in told]


def fresh(state: TaskState, scores: list[Score]) -> list[Score]:
    """Those scores that the run doesn't hold yet; notes them as held."""
    return [score for score in scores if state.note(score)]


def asked(state: TaskState, sample: Sample, told: str) -> dict[str, Any]:
    """What the record keeps of the question, so that readers need no data set.

    The same whatever protocol scores it: another one may come to the same answers later.
    """
    out: dict[str, Any] = {"question": sample.question[:2000], "judged": told}
    if sample.target is not None:
        out["target"] = sample.target
    options = sample.meta.get("options", sample.meta.get("choices"))
    if isinstance(options, list):
        out["options"] = options
    if len(sample.turns) > 1:
        out["before"] = [[t.role, t.text[:2000] or "(spoken)"] for t in sample.turns[:-1]]
    if keys := state.plan.task.keys:
        out["groups"] = {k: sample.meta[k] for k in keys if k in sample.meta}
    if sample.cluster:
        out["cluster"] = cluster_label(sample.cluster)
    out["order"] = state.seen.get(sample.id, 0)
    return out

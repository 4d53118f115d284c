"""ASR-WER: does the speech say what the text says? English only.

Reference: the model's own text without special tokens. Hypothesis: what the ASR engine heard in its speech.
Both go through the Whisper English normaliser. No public suite has this task; this is the definition that
the UltraEval sheet section 7 proposes. Pool the counts over the corpus (primary figure: 100 * errors /
length); the value of a verdict is the rate of its one segment (secondary figure: their mean).
"""

from __future__ import annotations

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Response, Sample, Verdict, cut_off
from judges.english import speech_not_english, text_not_english
from judges.silence import known_silent
from judges.wer.counts import align
from judges.wer.normalizers import NormalizationError, normalizer, normalizer_version
from judges.wer.suites import drop_special_tokens


class AsrWer(Judge):
    """Word error rate of the transcript of the speech against the text the model wrote.

    Speech that is missing or silent counts as an empty hypothesis: all deletions, whatever an ASR engine
    imagined in it. Unscored: "empty-reference" (the model wrote no word), "not-english", "asr-unbound",
    "asr-failed", "normalizer-failed". It reads response and transcript, and decodes the audio where the
    transcript has words, to see whether it is silent; hence `heavy`.

    Counts: those of the alignment; "told": 1 when the runner says how generation ended, and "truncated": 1 when
    it was cut off there, since that inflates the rate and its share has to stand beside it.
    Detail: "reference" and "hypothesis" as compared, "asr" (signature of the engine), "no_speech"
    ("missing" or "silent"), "truncated": True when the runner says that generation was cut off.
    """

    metrics = ("asr_wer",)
    reads = "speech"
    languages = ("en",)
    heavy = True
    judges_silence = True

    @property
    def signature(self) -> str:
        return f"asr-wer:whisper-english@{normalizer_version().replace(' ', '-')}+endings"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        text = drop_special_tokens(answer.response.text)
        if not text.strip():
            return self.unscored("empty-reference: the model wrote no text to hold its speech against.")
        if why := text_not_english(text):
            return self.unscored(f"not-english: {why}; ASR-WER is defined for English only.")
        no_speech = _why_no_speech(answer)
        if no_speech is None and (reason := _unusable(answer, text)):
            return self.unscored(reason)
        heard = "" if no_speech or answer.transcript is None else answer.transcript.text
        try:
            return [self._compare(text, heard, _detail(answer, no_speech), _ending(answer.response))]
        except NormalizationError as exc:
            return self.unscored(f"normalizer-failed: {exc}.")

    def _compare(self, text: str, heard: str, detail: dict[str, JSON], ending: dict[str, float]) -> Verdict:
        normalize = normalizer("whisper-english")
        reference, hypothesis = normalize(text).split(), normalize(heard).split()
        detail = {"reference": " ".join(reference), "hypothesis": " ".join(hypothesis), **detail}
        counts = align(reference, hypothesis).counts
        if counts.rate is None:
            reason = "empty-reference: no word is left of the text after normalisation."
            return Verdict("asr_wer", None, reason=reason, detail=detail)
        return Verdict("asr_wer", counts.rate, counts={**counts.to_counts(), **ending}, detail=detail)


def _why_no_speech(answer: Answer) -> str | None:
    """What there is instead of speech, "missing" or "silent"; None when there is something to hear."""
    audio, transcript = answer.response.audio, answer.transcript
    if audio is None:  # words that came along were spoken, even if the sound was left at home
        return None if transcript is not None else "missing"
    if transcript is None or not (transcript.text.strip() or transcript.error):
        return None  # nothing to overrule: no need to decode
    return "silent" if known_silent(audio) else None


def _unusable(answer: Answer, text: str) -> str | None:
    transcript = answer.transcript
    if transcript is None:
        return "asr-unbound: no ASR engine is bound, so there is no transcript; pass --asr."
    if transcript.error is not None:
        return f"asr-failed: {transcript.error.kind}: {transcript.error.message}"
    # An engine names a language for silence too: that of an empty transcript means nothing.
    if transcript.text.strip() and (why := speech_not_english(transcript, text)):
        return f"not-english: {why}; ASR-WER is defined for English only."
    return None


def _detail(answer: Answer, no_speech: str | None) -> dict[str, JSON]:
    detail: dict[str, JSON] = {}
    if answer.transcript is not None:
        detail["asr"] = answer.transcript.asr
    if no_speech:
        detail["no_speech"] = no_speech
    if cut_off(answer.response.meta):
        detail["truncated"] = True
    return detail


def _ending(response: Response) -> dict[str, float]:
    """How generation ended, as counts; a runner that says nothing of it tells nothing."""
    told = "truncated" in response.meta or bool(response.meta.get("finish_reason"))
    return {"told": float(told), "truncated": float(cut_off(response.meta))}

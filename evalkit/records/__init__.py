"""The nouns: what flows from a data set to a table.

Everything here is immutable, versioned and survives a JSON round trip. This is the lowest floor:
it imports nothing of ours.

A *sample* is asked, a *response* answers it, a *transcript* puts spoken answers into words, a *score*
is what a judge made of an answer. Failure is a value: ``Response.error`` and ``Score.value is None``
are stored and counted, never dropped.
"""

from evalkit.records.responses import Failure, Response, SentAudio, Transcript, cut_off, recordings
from evalkit.records.samples import Audio, Modality, Sample, Turn
from evalkit.records.scores import FINAL, MISSING_PREDICTION, Gap, Score, Verdict
from evalkit.records.values import JSON, RECORD_VERSION, canonical_json, digest_of

__all__ = [
    "FINAL",
    "JSON",
    "MISSING_PREDICTION",
    "RECORD_VERSION",
    "Audio",
    "Failure",
    "Gap",
    "Modality",
    "Response",
    "Sample",
    "Score",
    "SentAudio",
    "Transcript",
    "Turn",
    "Verdict",
    "canonical_json",
    "cut_off",
    "digest_of",
    "recordings",
]

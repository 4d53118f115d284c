"""What Kimi-Audio-Evalkit does to every benchmark it runs."""

from __future__ import annotations

from evalkit.records import Gap, Sample


def skip_by_length(sample: Sample) -> tuple[str, str] | None:
    """Kimi-Audio-Evalkit doesn't run audio over 60 s or under 0.1 s: the answer is the word null, and scored.

    VoiceBench sheet section 13, MMAU sheet section 4.4.
    """
    lengths = [a.seconds for a in sample.audios]
    if not lengths or None in lengths:
        return None
    seconds = sum(s for s in lengths if s is not None)
    if not 0.1 <= seconds <= 60.0:
        return "null", f"audio of {seconds:.2f} s is outside 0.1-60 s (kimi-evalkit)"
    return None


def null_word(sample: Sample, gap: Gap) -> str:
    """Kimi-Audio-Evalkit stores a missing prediction as the word null too, and scores it like any other.

    OpenAudioBench sheet section 4, MMAU sheet section 4.4.
    """
    return "null"

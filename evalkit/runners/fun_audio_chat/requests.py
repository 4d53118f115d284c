"""What the batched generation takes and gives: how to decode, a clip, a request, what was generated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a request is decoded; the defaults are the published S2M arguments with `text_greedy`, as in the examples.

    Source: runner specification, sections 7 to 9.

    Attributes:
        speech: joint text and speech (S2M); False: text only (S2T), the speech head never runs.
        max_new_tokens: most text tokens, at least 1; one text token goes with a group of 5 speech tokens (0.2 s).
        text_greedy: the text is the raw argmax and no processor touches its logits; False: processed and sampled.
        do_sample: draw from the processed distribution; False: its argmax (of speech, of text unless `text_greedy`).
        temperature, top_p, top_k, repetition_penalty: logits processing; top_k 0 means none.
        force_text_abos: the first text token of S2M is replaced by `<|audio_bos|>`.
        bad_words: token sequences whose last token is forbidden after the others (text only).
        text_eos: text ids that stop a row.
        draws: how an id is drawn: one number of the request's own generator per draw ("uniform", the same on every
            device), or torch's multinomial on the CPU ("multinomial", upstream's at batch 1; slow).
    """

    speech: bool
    max_new_tokens: int
    text_greedy: bool = True
    do_sample: bool = True
    temperature: float = 0.8
    top_p: float = 0.9
    top_k: int = 0
    repetition_penalty: float = 1.2
    force_text_abos: bool = True
    bad_words: tuple[tuple[int, ...], ...] = ()
    text_eos: tuple[int, ...] = (151645, 151643)
    draws: Literal["uniform", "multinomial"] = "uniform"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One piece of audio as the towers take it.

    Attributes:
        mel: log-mel frames, float32, shape (mel bins, F).
        speech_tokens: number n of 25 Hz speech slots; 0 for audio shorter than 640 samples.
        groups: number g of `<|AUDIO|>` placeholders, ceil(n / group size).
        samples: length N at 16 kHz.
    """

    mel: NDArray[np.float32]
    speech_tokens: int
    groups: int
    samples: int


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One prompt.

    Attributes:
        ids: prompt ids, the audio placeholders expanded.
        clips: its audio in order of appearance; their groups add up to the placeholders in `ids`.
        decoding: how to decode; requests of the same decoding share a batch.
        seed: of this request's draws, whatever else is in the batch.
    """

    ids: tuple[int, ...]
    clips: tuple[Clip, ...]
    decoding: Decoding
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Generated:
    """What came of a request.

    Attributes:
        text_ids: generated text ids, the stop token included.
        speech_ids: speech ids in groups of 5, with those that are no sound (bos, eos groups) still among them.
        finish: "stop" (a stop token) or "length" (`max_new_tokens`).
        timing: seconds: "queue" (waiting), "prefill", "decode".
    """

    text_ids: tuple[int, ...]
    speech_ids: tuple[int, ...]
    finish: Literal["stop", "length"]
    timing: dict[str, float] = field(default_factory=dict)

"""PEDANT 0.2.17: the substring step against public verdicts, the classifier against scikit-learn's own.

The genuine weights are not here: `vectors/pedant` holds a small pair of files in the same format, written
by scikit-learn 1.3.2 and joblib 1.3.2, with the decision values scikit-learn computed from them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.interfaces import Answer
from evalkit.records import JSON, Response, Sample, Verdict
from judges import inert_pickle
from judges.pedant import Pedant, classifier_text, normalise, overlap
from judges.pedant_weights import (
    CLASSIFIER,
    SHA256,
    VECTORISER,
    Classifier,
    Vectoriser,
    WeightsError,
    default_folder,
    fetch_pedant,
    load,
)

VECTORS = Path(__file__).parent / "vectors"
SMALL = VECTORS / "pedant"
EXPECTED = json.loads((SMALL / "expected.json").read_text("utf-8"))
ROWS = [json.loads(line) for line in (VECTORS / "voicebench.sdqa.jsonl").read_text("utf-8").splitlines()]


def sample_of(prompt: str, reference: JSON) -> Sample:
    return Sample("s", "voicebench/sd-qa", (), target=reference, meta={"question": prompt})


def verdict_of(judge: Pedant, prompt: str, reference: JSON, response: str) -> Verdict:
    [verdict] = judge.score(sample_of(prompt, reference), Answer(response, Response("s", response)))
    return verdict


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pedant:
    """A judge without weights and without a network."""
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    return Pedant(weights=tmp_path / "empty")


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def test_normalising() -> None:
    assert normalise(" The  Theatre, a\tn-th AN 'a' day! ") == "theatre nth day"
    assert normalise("O'Neil \u2019s") == "oneil \u2019s"
    assert normalise("the") == ""


def test_public_verdicts_by_substring_alone(bare: Pedant) -> None:
    by_substring = 0
    for row in ROWS:
        verdict = verdict_of(bare, row["prompt"], row["reference"], row["response"])
        if verdict.value is None:
            assert verdict.detail == {"panda": None, "rule": "classifier"}
        else:
            assert verdict.value == 1.0 and verdict.detail == {"panda": True, "rule": "substring"}
            assert row["official"]["panda"] is True, row["id"]
            by_substring += 1
    assert by_substring == len(ROWS) - len(EXPECTED["margins"]) == 54


def test_substring_needs_no_word_boundary(bare: Pedant) -> None:
    assert verdict_of(bare, "is it", "no", "I know").value == 1.0
    assert verdict_of(bare, "cost", "$5", "15 dollars").value == 1.0


@pytest.mark.parametrize("reference", ["", "the", " ?! "])
def test_an_empty_reference_always_matches_and_says_so(bare: Pedant, reference: str) -> None:
    verdict = verdict_of(bare, "q", reference, "")
    assert (verdict.value, verdict.touched) == (1.0, "empty_reference")


@pytest.mark.parametrize("target", [None, 5, ["Paris"]])
def test_a_bad_reference_is_unscored(bare: Pedant, target: JSON) -> None:
    reason = verdict_of(bare, "q", target, "Paris").reason
    assert reason is not None and reason.startswith("bad-target: ")


def test_without_weights_the_reason_says_what_to_put_where(bare: Pedant) -> None:
    verdict = verdict_of(bare, "what is the capital of france", "Paris", "Rome")
    assert verdict.value is None and verdict.reason is not None
    assert verdict.reason.startswith("pedant-weights: ")
    for part in (str(bare.folder), CLASSIFIER, VECTORISER, *SHA256.values()):
        assert part in verdict.reason


def test_a_failed_load_is_not_tried_again(bare: Pedant) -> None:
    first = verdict_of(bare, "q", "Paris", "Rome")
    shutil.copytree(SMALL, bare.folder)
    assert verdict_of(bare, "q", "Paris", "Rome") == first


def test_decisions_equal_those_of_scikit_learn() -> None:
    pytest.importorskip("contractions")
    judge = Pedant(weights=SMALL, sha256=EXPECTED["sha256"])
    checked = 0
    for row in ROWS:
        verdict = verdict_of(judge, row["prompt"], row["reference"], row["response"])
        if verdict.detail["rule"] == "classifier":
            margin = EXPECTED["margins"][row["id"]]
            assert verdict.detail["margin"] == pytest.approx(margin, rel=1e-12, abs=1e-12)
            assert verdict.detail["panda"] is (margin <= 0)  # classes: correct, incorrect
            assert verdict.value == float(margin <= 0)
            checked += 1
    assert checked == len(EXPECTED["margins"])


def test_without_contractions_only_the_classifier_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "contractions", None)
    judge = Pedant(weights=SMALL, sha256=EXPECTED["sha256"])
    assert verdict_of(judge, "q", "Paris", "it is paris").value == 1.0
    reason = verdict_of(judge, "q", "Paris", "Rome").reason
    assert (
        reason is not None and reason.startswith("pedant-contractions: ") and "evalkit[voicebench]" in reason
    )


def test_overlap_and_text() -> None:
    pytest.importorskip("contractions")
    assert overlap("x y y", "y z") == (0.5, 0.5, 0.5)
    assert overlap("", "y") == (0.0, 0.0, 0.0)
    assert overlap("dont", "do not") == (1.0, 1.0, 1.0)
    text = classifier_text("rome", "paris", "What's the capital?")
    assert text == "[CLS] rome [SEP] paris [SEP] what is capital [SEP]"


@given(st.text(max_size=40), st.text(max_size=40))
def test_overlap_takes_any_text(answer: str, reference: str) -> None:
    pytest.importorskip("contractions")
    found = overlap(normalise(answer), normalise(reference))
    assert all(0.0 <= value <= 1.0 for value in found)


def test_folder_by_option_variable_or_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_PEDANT", raising=False)
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    assert default_folder() == tmp_path / "cache" / "pedant"
    monkeypatch.setenv("EVALKIT_PEDANT", str(tmp_path / "mine"))
    assert Pedant().folder == tmp_path / "mine"
    assert Pedant(weights=str(tmp_path / "other")).folder == tmp_path / "other"


def test_files_saved_with_a_suffix_are_found(tmp_path: Path) -> None:
    for name in (CLASSIFIER, VECTORISER):
        shutil.copy(SMALL / name, tmp_path / f"{name}.pkl")
    assert len(load(tmp_path, EXPECTED["sha256"]).coefficients) > 3


def test_files_with_another_digest_are_not_even_read() -> None:
    with pytest.raises(WeightsError, match="sha256"):
        load(SMALL)
    verdict = verdict_of(Pedant(weights=SMALL), "q", "Paris", "Rome")
    assert verdict.value is None and verdict.reason is not None and "sha256" in verdict.reason


@pytest.mark.usefixtures("online")
def test_fetching_keeps_only_genuine_files(tmp_path: Path) -> None:
    base = SMALL.as_uri() + "/"
    fetch_pedant(tmp_path / "a", base_url=base, sha256=EXPECTED["sha256"])
    assert len(load(tmp_path / "a", EXPECTED["sha256"]).coefficients) > 3
    with pytest.raises(WeightsError, match="sha256"):
        fetch_pedant(tmp_path / "b", base_url=base)
    assert not (tmp_path / "b").exists()
    with pytest.raises(WeightsError, match="could not be fetched"):
        fetch_pedant(tmp_path / "c", base_url=base + "nowhere/")


def test_offline_means_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="switched off"):
        fetch_pedant(tmp_path, base_url=SMALL.as_uri() + "/", sha256=EXPECTED["sha256"])


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_file_is_refused(protocol: int) -> None:
    with pytest.raises(pickle.UnpicklingError, match="no place in this file"):
        inert_pickle.load(pickle.dumps({"x": Evil()}, protocol=protocol))


def test_code_in_an_array_of_objects_is_refused() -> None:
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(np.array([Evil()], dtype=object), file)
    with pytest.raises(pickle.UnpicklingError, match="no place in this file"):
        inert_pickle.load(file.getvalue())


def test_a_damaged_file_is_an_error_not_a_crash() -> None:
    data = (SMALL / VECTORISER).read_bytes()
    for size in range(0, len(data), 97):
        with pytest.raises(pickle.UnpicklingError):
            inert_pickle.load(data[:size])


@pytest.mark.parametrize("protocol", range(5))  # joblib nests no arrays of numbers, which 5 spells anew
def test_plain_pickles_of_arrays(protocol: int) -> None:
    for array in (np.arange(6.0).reshape(2, 3), np.array(["correct", "incorrect"], dtype=object)):
        assert np.array_equal(inert_pickle.load(pickle.dumps(array, protocol=protocol)), array)


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    np.array(["correct", "incorrect"]),
    np.array(["correct", "incorrect"], dtype=object),
    np.zeros((0, 4)),
    np.array(3.5),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_by_joblib(array: np.ndarray[Any, Any], protocol: int) -> None:
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    scalars = [np.float64(1.5), np.int64(7), {"a": {1, 2}}]
    joblib.dump([{"before": 1}, array, "after", *scalars], file, protocol=protocol)
    first, held, after, *rest = inert_pickle.load(file.getvalue())
    assert (first, after, rest) == ({"before": 1}, "after", scalars)
    assert held.array.dtype == array.dtype and np.array_equal(held.array, array)


TEXTS = [
    "The cat, the CAT sat",
    "caf\u00e9 au lait lait",
    "one two two 3 44",
    "",
    "zzz unknown",
    "dog \u4e2d\u6587 cat",
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"sublinear_tf": True, "strip_accents": "unicode"},
    {"strip_accents": "ascii", "norm": "l1"},
    {"binary": True, "use_idf": False, "norm": None},
    {"lowercase": False, "smooth_idf": False, "stop_words": ["one"], "max_features": 6},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_weights_equal_those_of_the_installed_scikit_learn(options: dict[str, Any]) -> None:
    joblib = pytest.importorskip("joblib")
    text = pytest.importorskip("sklearn.feature_extraction.text")
    theirs = text.TfidfVectorizer(**options).fit([*TEXTS, "a dog and a cat"])
    file = io.BytesIO()
    joblib.dump(theirs, file)
    ours = Vectoriser.of(inert_pickle.load(file.getvalue()))
    for line in [*TEXTS, "cat cat dog one lait Lait"]:
        row = np.zeros(len(ours.vocabulary))
        for index, weight in ours(line):
            row[index] = weight
        assert row == pytest.approx(theirs.transform([line]).toarray()[0], abs=1e-14)


def test_a_vectoriser_it_does_not_implement_is_an_error() -> None:
    held = inert_pickle.load((SMALL / VECTORISER).read_bytes())
    held.ngram_range = (1, 2)
    with pytest.raises(WeightsError, match="ngram_range"):
        Vectoriser.of(held)


def test_files_that_do_not_belong_together_are_an_error() -> None:
    vectoriser = Vectoriser.of(inert_pickle.load((SMALL / VECTORISER).read_bytes()))
    linear = inert_pickle.load((SMALL / CLASSIFIER).read_bytes())
    linear.coef_.array = linear.coef_.array[:, 1:]
    with pytest.raises(WeightsError, match="belong together"):
        Classifier.of(linear, vectoriser)


def test_swapped_files_are_an_error(tmp_path: Path) -> None:
    shutil.copy(SMALL / VECTORISER, tmp_path / CLASSIFIER)
    shutil.copy(SMALL / CLASSIFIER, tmp_path / VECTORISER)
    digests = {n: hashlib.sha256((tmp_path / n).read_bytes()).hexdigest() for n in (CLASSIFIER, VECTORISER)}
    with pytest.raises(WeightsError):
        load(tmp_path, digests)

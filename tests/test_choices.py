"""The strict letter-or-option rule, and the templates that put options into words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks._choices import (
    has_prefixes,
    kimi_prompt,
    letter,
    lmms_prompt,
    report_prompt,
    without_prefix,
    without_prefixes,
)
from evalkit.interfaces import Answer
from evalkit.records import Response, Sample, Turn
from judges.choice_words import without_thoughts
from judges.choices import Choice, StrictChoice, choose, same_option
from tests.cli_fixtures import lines

ANIMALS = ["dog", "cat", "bird", "fish"]

# --- what is read as a letter ----------------------------------------------------------------------

LETTER_B = (
    """
B | b | B. | b. | B) | b) | (B) | (b) | [B] | {B} | <B> | **B** | *B* | `B` | "B" | $B$ | (B | - B | # B | > B
(B)cat | (B) cat | B. cat | B.cat | B cat | B: cat | B) cat | B - cat | B, cat | **B. cat** | **(B)** cat
**B)** cat | (B.) | B; | B! | B, because it meows | B because it meows | B is correct. | B is the right answer
The answer is B | The answer is B. | The answer is (B) | The answer is: B | the answer is b. | Answer: B
Answer:B | **Answer:** B | Answer: **B** | Final answer: (b) | The correct answer is **B**. | My answer is B)
The correct option is (B) cat. | The best choice would be B. | The answer to this question is (B).
The answer would be [B], as it meows. | Option B | Option B. | option (b) | Choice B | Letter: B
I choose B. | I would choose (B). | I'd go with B. | I pick B because it meows. | I select option B.
\\boxed{B} | $\\boxed{B}$ | \\boxed{\\text{B}} | \\boxed{(B) cat} | <answer>B</answer> | <answer> (B) cat </answer>
<think>maybe A</think>B | <think>A or (C)?</think> The answer is B. | so it is A</think>B
It is a mammal. \\boxed{B} | {"answer": "B"} | {"choice": "b"} | I think it is (B) | That must be a feline (B).
答案是B | 答案是B。 | 答案：B | 正确答案是（B） | 选B | 我选择B。 | 应该选B | 答案是 B，因为是猫 | 选项B | 答案为Ｂ
Therefore, B. | Thus (B) | Answer - B | The answer → B | So option B is correct. | Clearly (B) is the right answer.
应该是B | 我认为是B。 | 所以B是正确答案 | B is correct | A is not right. B is correct.
Ｂ | （Ｂ） | 【B】 | B． | B、 | B。cat | 「B」 | B：cat | (B) 猫 | B\u200b
""".replace("\n", " | ")
    .strip(" |")
    .split(" | ")
)


@pytest.mark.parametrize("response", LETTER_B)
def test_a_letter_is_read(response: str) -> None:
    assert choose(response, ANIMALS).index == 1, choose(response, ANIMALS)


@pytest.mark.parametrize(
    "response",
    [
        "The clip has meowing in it.\nB",
        "Listen: it meows.\n\n**B**",
        "Answer:\nB",
        "Reasoning first.\nThe answer is:\n(B) cat",
        "  \n B \n",
        "B\n\nThe animal meows. A. dog would bark, so no dog.",
        "(B) cat\nA dog would bark and a bird would sing.",
        "(B) cat\n\nWhy the others are wrong: (A) dog barks, (C) bird sings.",
        "Which? Choose the correct option from the following options:\n(A)dog\n(B)cat\n(C)bird\n(D)fish\nB",
        "(A)dog\n(B)cat\n(C)bird\n(D)fish\nAnswer: B",
        "A. dog: no barking.\nB. cat: there is meowing.\nSo the answer is B.",
        "It meows.\nB. cat",
        "There is no doubt that the answer is (B).",
        "I'm not sure, but the answer is B.",
        "B<|im_end|>",
        "(B) cat</s>",
        "The answer is (B), not (A).",
    ],
)
def test_a_letter_on_a_line_is_read(response: str) -> None:
    assert choose(response, ANIMALS).index == 1, choose(response, ANIMALS)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty"),
        ("   \n ", "empty"),
        ("<think>it is B", "empty"),
        ("I am not sure.", "no-choice"),
        ("Sorry, I can't tell.", "no-choice"),
        ("?!", "no-choice"),
        ("A, B", "several-letters"),
        ("A or B.", "no-choice"),
        ("B? No.", "no-choice"),
        ("The chords are going to B.", "no-choice"),
        ("Thus a horse can be heard", "no-choice"),
        ("A is correct. B is correct.", "several-letters"),
        ("Option B is not correct.", "no-choice"),
        ("B is the loudest.", "no-choice"),
        ("A. dog: no barking.\nB. cat: there is meowing.", "several-letters"),
        ("Let me see.\nA. dog: no barking.\nB. cat: there is meowing.", "several-letters"),
        ("Which?\n(A)dog\n(B)cat", "several-letters"),
        ("(A) or (B)", "several-letters"),
        ("Both (A) and (B)", "several-letters"),
        ("(A)dog\n(B)cat\n(C)bird\n(D)fish", "several-letters"),
        ("(A) dog (B) cat", "several-letters"),
        ("A. dog B. cat", "several-letters"),
        ("A: B", "several-letters"),
        ("The answer is A. The answer is B.", "several-letters"),
        ("<answer>A</answer><answer>B</answer>", "several-answers"),
        ("\\boxed{A} \\boxed{B}", "several-answers"),
        ("E", "no-such-letter"),
        ("(E)", "no-such-letter"),
        ("The answer is F.", "no-such-letter"),
        ("E. dog", "no-such-letter"),
        ("(B) dog", "letter-against-option"),
        ("B. dog.", "letter-against-option"),
        ("The answer is B, dog", "letter-against-option"),
        ("It's the dog, so (B)", "letter-against-option"),
        ("dog and cat", "several-options"),
        ("either a dog or a cat", "several-options"),
        ("It is not a dog.", "denied"),
        ("A dog is wrong.", "denied"),
        ("It can't be the dog", "denied"),
        ("不是狗", "no-choice"),
        ("Option B is wrong", "no-choice"),
        ("Option (B) is incorrect.", "no-choice"),
        ("(B) can't be right", "no-choice"),
        ("The answer is not B", "no-choice"),
        ("The answer isn't B.", "no-choice"),
        ("The wrong answer is B.", "no-choice"),
        ("I would not choose B.", "no-choice"),
        ("答案不是B", "no-choice"),
        ("不选B", "no-choice"),
        ("the speaker(s)", "no-choice"),
        ("I think so", "no-choice"),
        ("A lot of noise", "no-choice"),
        ("A", "letter"),
    ],
)
def test_why_nothing_is_chosen(response: str, reason: str) -> None:
    found = choose(response, ANIMALS)
    assert found.reason == reason
    assert (found.index is not None) == (reason == "letter")


POINTED_AT_B = (
    """
It's B. | It is B | It's (B) cat. | I think B. | I think it's B. | I believe it is B. | I'd say B. | I would say B
Probably B. | Definitely B! | Most likely B. | So, B. | So B | Certainly! B | Based on the audio, B. | That's B.
This is B. | Must be B. | That would be B. | Wait, actually it's B. | Hmm, B. | The audio matches option B.
It is best described by option B. | The tone corresponds to option (B). | Not A, so B | Not A. It's B.
It's not A, it's B. | First I thought A, but it's B. | A is too loud, C too faint, so B.
It's B, not A. | It's B (cat).
It's B: cat | => B | → B | 是B | 我觉得是B。 | 可能是B | 因此，B | 【答案】B | B选项 | B选项正确
B正确 | B选项是正确的 | B是最佳答案 | 排除A和C，所以选B。
Die Antwort ist B. | Die richtige Antwort ist B. | La respuesta es B. | La respuesta correcta es la B. | Antwort: B
La bonne réponse est B. | La risposta è B. | A resposta é B. | Ответ: B | 答えはBです。
答えはBだと思います | 정답은 B입니다. | 정답은 (B)입니다
""".replace("\n", " | ")
    .strip(" |")
    .split(" | ")
)


@pytest.mark.parametrize("response", POINTED_AT_B)
def test_a_letter_that_a_clause_points_at_is_read(response: str) -> None:
    assert choose(response, ANIMALS).index == 1, choose(response, ANIMALS)


@pytest.mark.parametrize(
    "response",
    """
It's a. | It's a B. | It could be B. | I thought it was B. | If it is A, then B. | I don't think it's B. | It's B or C.
It's B, C. | It's B/C | So B and C. | A, B and C | A, C or D | B and C. | First A, then B. | The chords are G, C.
Based on the chords G, C, D. | Composed by C. P. E. Bach | Is it B? | The answer was A, but it should be B.
It doesn't match option B. | Compared to option B, C is calmer. | This matches option B or C. | Grade: B | Hepatitis B.
B是最吵的 | B是正在下雨 | B是对狗的描述 | B对应猫 | B不正确 | B选项错误 | B选项不正确 | B正确吗
应该不是B | 我不认为是B | 答えはBではありません。
정답은 B가 아닙니다 | Die Antwort ist nicht B. | La respuesta no es B. | The right one is A. Or B.
""".replace("\n", " | ")
    .strip(" |")
    .split(" | "),
)
def test_a_letter_that_nothing_points_at_is_not(response: str) -> None:
    assert choose(response, ANIMALS).index is None, choose(response, ANIMALS)


@pytest.mark.parametrize(
    ("response", "options", "index"),
    [
        ("It's C.", ["C major", "C# major", "A minor", "G major"], None),
        ("It's A.", ["C major", "C# major", "A minor", "G major"], None),
        ("It's D.", ["C major", "C# major", "A minor", "G major"], 3),
        ("The answer is C.", ["C major", "C# major", "A minor", "G major"], 2),
        ("It's A.", ["A minor", "C# major"], 0),
        ("It's D.", ["Key of C", "Key of D", "Key of A", "Key of E"], None),
        ("It's B.", ["A dog is barking", "A cat is meowing"], 1),
        ("It's A.", ["A dog is barking", "A cat is meowing"], 0),
        ("It's B.", ["A", "B", "C"], 1),
        ("It's A.", ["E", "A", "O"], None),
        ("Yes, B.", ["Yes", "No"], None),
        ("Yes, A.", ["Yes", "No"], 0),
        ("None of the above", ["Happy", "Sad", "None"], None),
        ("None.", ["Happy", "Sad", "None"], 2),
        ("The right answer is Left.", ["Left", "Right"], 0),
        ("The right one is A.", ["Left", "Right"], None),
        ("It's far from sad.", ["Happy", "Sad"], None),
        ("A, B and C", ["Piano", "Violin", "Guitar", "All of the above"], None),
    ],
)
def test_letters_and_words_that_mean_something_else(
    response: str, options: list[str], index: int | None
) -> None:
    assert choose(response, options).index == index, choose(response, options)


# --- the article, options within options, equal ones, odd ones ------------------------------------


@pytest.mark.parametrize(
    ("response", "options", "index"),
    [
        ("A dog", ["cat", "dog"], 1),
        ("a dog", ["cat", "dog"], 1),
        ("A cat can be heard", ["dog", "cat"], 1),
        ("The answer is a cat", ["dog", "cat"], 1),
        ("The answer is A cat", ["dog", "cat"], 1),
        ("A dog barks at a cat", ["dog", "cat"], None),
        ("A dog", ["dog", "cat"], 0),
        ("A dog", ["dog", "a dog"], None),
        ("(A) a dog", ["dog", "a dog"], None),
        ("(B) a dog", ["dog", "a dog"], 1),
        ("I, for one, hear a cat", ["dog", "cat"], 1),
        ("I hear a cat", [*"mnopqrst", "dog", "cat"], 9),
        ("e.g. a cat", ["dog", "bird", "cow", "fish", "hen", "cat"], 5),
        ("dog barking", ["dog", "dog barking"], 1),
        ("the dog", ["dog", "dog barking"], 0),
        ("(A) dog barking", ["dog", "dog barking"], None),
        ("(A) dog barking loudly", ["dog", "dog barking"], 0),
        ("same", ["same", "other", "same"], 0),
        ("(C) same", ["same", "other", "same"], 2),
        ("C", ["same", "other", "same"], 2),
        ("SAME!", ["Same.", "other"], 0),
        ("C major", ["G major", "C major"], 1),
        ("C# major", ["C major", "C# major"], 1),
        ("It is in C major.", ["C major", "C# major"], 0),
        ("-5", ["5", "-5"], 1),
        ("5 dB", ["5 dB", "-5 dB"], 0),
        ("C", ["C", "G", "D", "A"], None),
        ("(C)", ["C", "G", "D", "A"], 2),
        ("(C)D", ["C", "G", "D", "A"], 2),
        ("The note is A.", ["C", "A", "B"], 1),
        ("I hear a dog", ["C", "A", "B"], None),
        ("E. coli", ["S. aureus", "E. coli"], 1),
        ("A. thaliana", ["E. coli", "A. thaliana"], None),
        ("(B) A. thaliana", ["E. coli", "A. thaliana"], 1),
        ("12.5 seconds", ["12.5 seconds", "3 seconds"], 0),
        ("About 3 seconds, not 12.5 seconds.", ["12.5 seconds", "3 seconds"], 1),
        ("No, she disagrees.", ["Yes", "No"], 1),
        ("Yes, there is no doubt", ["Yes", "No"], None),
        ("Don’t know", ["Don't know", "Yes"], 0),
        ("dont know", ["Don't know", "Yes"], 0),
        ("not sure", ["sure", "not sure"], 1),
        ("the cat rather than the dog", ANIMALS, 1),
        ("not the dog but the cat", ANIMALS, 1),
        ("I'm not sure, but it sounds like a cat", ANIMALS, 1),
        ("dog (not cat)", ANIMALS, 0),
        ("他听起来很平静", ["平静", "愤怒"], 0),
        ("不是平静，是愤怒", ["平静", "愤怒"], 1),
        ("不平静", ["平静", "不平静"], 1),
        ("A", [None, "x"], None),
        ("B", [None, "x"], 1),
        ("None", [None, "x"], None),
        ("None", ["None", "x"], 0),
        ("(A)None", [None, "x"], None),
        ("x", [None, "x", None], 1),
        ("?", ["?", "!"], None),
        ("", ["", "x"], None),
        ("B", ["x"] * 3, 1),
        ("H", list("stuvwxyz"), 7),
        ("option thirty", [f"option {n}" for n in ("one", "two")] * 15 + ["option thirty"], 30),
        ("anything", [], None),
    ],
)
def test_options(response: str, options: list[str | None], index: int | None) -> None:
    assert choose(response, options).index == index, choose(response, options)


def test_equal_options_are_equally_right() -> None:
    assert same_option("Same.", "same", ["Same.", "same", "x"])
    assert not same_option("C# major", "C major", ["C# major", "C major"])
    assert same_option("C#-major", "C major", ["C#-major", "D"])


# --- properties -------------------------------------------------------------------------------------

STYLES = (
    *(
        "{X}",
        "{X}.",
        "{X})",
        "({X})",
        "[{X}]",
        "**{X}**",
        "({X}){text}",
        "({X}) {text}",
        "{X}. {text}",
        "{X}: {text}",
    ),
    *(
        "{X}) {text}",
        "The answer is {X}.",
        "The answer is ({X}) {text}.",
        "Answer: {X}",
        "Final answer: **{X}**",
    ),
    *(
        "\\boxed{{{X}}}",
        "<answer>{X}</answer>",
        "<think>{other}</think>{X}",
        "答案是{X}。",
        "I choose ({X}).",
    ),
    *(
        "{x}",
        "({x})",
        "{x}.",
        "{text}",
        "{text}.",
        "It is {text}.",
        "**{text}**",
        "{upper}",
        "<think>hm</think>{text}",
    ),
)
WORDS = st.text("bcdefghijklmnopqrstuvwxyz", min_size=3, max_size=8).map("q{}".format)
SETS = st.lists(WORDS, min_size=2, max_size=11, unique=True)


@settings(deadline=None)
@given(SETS, st.integers(0, 10), st.sampled_from(STYLES))
def test_every_option_in_every_style_is_read_back(options: list[str], k: int, style: str) -> None:
    k %= len(options)
    fields = {"X": letter(k), "x": letter(k).lower(), "text": options[k], "upper": options[k].upper()}
    response = style.format(**fields, other=options[k - 1])
    assert choose(response, options).index == k, (response, choose(response, options))


LETTERED = [s for s in STYLES if "{X}" in s or "{x}" in s]


@settings(deadline=None)
@given(SETS, st.integers(0, 25), st.sampled_from(LETTERED))
def test_no_letter_past_the_last_option_is_an_answer(options: list[str], k: int, style: str) -> None:
    k = len(options) + k % (26 - len(options))
    text = options[0] if style.count("{text}") else ""
    response = style.format(X=letter(k), x=letter(k).lower(), text=text, other=options[0])
    assert choose(response, options).index is None, response


@settings(deadline=None)
@given(SETS, st.data())
def test_two_options_named_are_none(options: list[str], data: st.DataObject) -> None:
    one, two = data.draw(st.permutations(range(len(options))))[:2]
    for joint in (" and ", " or ", ", ", " / ", "\n"):
        assert choose(options[one] + joint + options[two], options).index is None
        listed = joint.join(f"({letter(k)}) {options[k]}" for k in (one, two))
        assert choose(listed, options).index is None, listed


ODD = st.text(st.sampled_from("aAbBiI (). :,*\n\\{}<>/\"'`-#think答案选是不 noanswer1"), max_size=60)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(ODD, st.text(max_size=60)),
    st.lists(st.one_of(st.none(), ODD, st.text(max_size=6)), max_size=12),
)
@example("\ud800", ["\udfff", None])
@example("<answer>", ["a"])
def test_anything_is_read_somehow_and_always_alike(response: str, options: list[str | None]) -> None:
    found = choose(response, options)
    assert found == choose(response, options)
    assert found.index is None or (0 <= found.index < len(options) and options[found.index] is not None)
    assert (found.index is not None) == (found.reason in ("letter", "option"))


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "answer is ",
            "answer\n",
            "(",
            "a ",
            "A. ",
            "(A) ",
            "<think>",
            "</think>",
            "\\boxed{",
            "<answer>",
            "dog ",
        ),
        *(
            "not ",
            "答案",
            "选",
            "*",
            "rather than dog ",
            " ",
            "\n",
            "is wrong ",
            "I choose the ",
            "a" * 50,
            "'a",
            "- ",
        ),
    ],
)
def test_a_long_answer_takes_linear_time(unit: str) -> None:
    """Ten times the length may take about ten times as long."""

    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        start = time.process_time()
        for options in (ANIMALS, ["dog dog dog dog fish", "a a a a b", "is", "not"]):
            choose(text + "x", options)
        return time.process_time() - start

    short = max(min(seconds(10_000) for _ in range(2)), 0.002)
    assert seconds(100_000) < 70 * short  # quadratic would be 100


REAL = Path(__file__).parent.parent.parent / "shared" / "vectors" / "mcq.mmau_string_match.jsonl"
RIGHT = (
    *("exact", "letter", "paren_letter", "letter_dot", "paren_option", "paren_space_option", "dot_option"),
    *("sentence", "verbose", "question_echo", "upper", "think", "chinese", "hedge_reverse"),
)
WRONG = (
    *(
        "wrong_option",
        "wrong_letter",
        "wrong_paren_option",
        "hedge",
        "all_options",
        "refusal",
        "punct_only",
        "empty",
    ),
)


@pytest.mark.skipif(not REAL.is_file(), reason="the vectors that quote the data set are not here")
def test_real_questions_in_every_style() -> None:
    """What the sheet's styles say is read as it is meant: 40 questions of MMAU, 22 styles."""
    seen = 0
    for case in lines(REAL):
        if case["style"] in RIGHT + WRONG:
            found = choose(case["response"], case["choices"]).index
            right = found is not None and same_option(case["choices"][found], case["answer"], case["choices"])
            assert right == (case["style"] in RIGHT), case
            seen += 1
    assert seen > 500


# --- parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<think>a</think>b", "b"),
        ("x<think>a</think>b", "xb"),
        ("a</think>b", "b"),
        ("x<think>a", "x"),
        ("<THINK>a</THINK>b<thinking>c</thinking>d", "bd"),
        ("<think>a<think>b</think>c", "c"),
        ("a</think>b</think>c", "c"),
        ("plain", "plain"),
    ],
)
def test_thoughts_are_left_out(text: str, rest: str) -> None:
    assert without_thoughts(text) == rest


def judged(options: object, target: object, text: str) -> tuple[float | None, dict[str, object]]:
    sample = Sample("s", "t/t", (Turn("user", ("?",)),), target=target, meta={"options": options})
    [verdict] = StrictChoice().score(sample, Answer(text, Response("s", text=text)))
    assert (verdict.reason is None) == (verdict.value is not None)
    return verdict.value, dict(verdict.detail)


def test_the_judge() -> None:
    assert judged(ANIMALS, "cat", "(B)") == (1.0, {"chosen": 1, "option": "cat", "reason": "letter"})
    assert judged(ANIMALS, "cat", "dog") == (0.0, {"chosen": 0, "option": "dog", "reason": "option"})
    assert judged(ANIMALS, "cat", "") == (0.0, {"chosen": None, "option": None, "reason": "empty"})
    assert judged(["same", "x", "same"], "same", "C")[0] == 1.0
    assert judged([None, "None"], "None", "A")[0] == 0.0
    assert judged(ANIMALS, "horse", "(B)")[0] == 0.0
    assert judged(None, "cat", "B")[0] is None
    assert judged(ANIMALS, None, "B")[0] is None
    assert Choice(1, "letter") == choose("B", tuple(ANIMALS))


# --- templates ----------------------------------------------------------------------------------------


def test_the_templates() -> None:
    """MMAU sheet section 3."""
    options = ["one", " two ", None]
    assert report_prompt("Which?", options) == (
        "Which? Choose the correct option from the following options:\n(A)one\n(B) two \n(C)None"
    )
    assert kimi_prompt("Which?", options) == "Which?\n(A) one (B)  two  (C) None"
    assert lmms_prompt("Which?", options).startswith("Which?\nA. one\nB.  two \nC. None\n")
    assert not report_prompt("Which?", options).endswith("\n")


def test_letters_go_on() -> None:
    assert "".join(letter(i) for i in range(8)) == "ABCDEFGH"
    assert [letter(i) for i in (25, 26, 27, 51, 52, 701, 702)] == ["Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA"]
    assert len({letter(i) for i in range(2000)}) == 2000
    with pytest.raises(ValueError, match="from 0"):
        letter(-1)


@given(st.lists(st.text(max_size=8), min_size=1, max_size=30))
def test_prefixes_come_off_as_they_went_on(options: list[str]) -> None:
    lettered = [f"({letter(i)}) {o}" for i, o in enumerate(options)]
    assert has_prefixes(lettered) and without_prefixes(lettered) == options
    for k, option in enumerate(options):
        assert without_prefix(lettered[k], len(options)) == option


def test_what_has_no_prefixes() -> None:
    for options in ([], ["x"], ["(B) x"], ["(A) x", "y"], ["(A)x"], ["(A) x", None]):
        assert not has_prefixes(options)
    assert without_prefixes(["(A) x", "y"]) == ["(A) x", "y"]
    assert without_prefix("(C) x", 2) == "(C) x" and without_prefix("x) y", 3) == "x) y"

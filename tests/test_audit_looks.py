"""Parts by length and small chances, as an audit tells them."""

from __future__ import annotations

import pytest

from evalkit.audit.figures import Figure
from evalkit.audit.looks import Seen, length
from evalkit.audit.words import amount

pytest.importorskip("scipy.stats", reason='needs pip install "evalkit[stats]"')


def parts(lengths: list[int]) -> list[tuple[str, int, str]]:
    seen = [Seen(f"s{k:02}", float(k % 5), "x" * n) for k, n in enumerate(lengths)]
    return [(f.subset, f.n, f.note) for f in length(seen, 20).figures if f.statistic == "mean_score"]


def test_answers_of_one_length_stay_together() -> None:
    assert parts(list(range(1, 21))) == [
        ("length, quartile 1", 5, "1 to 5 characters"),
        ("length, quartile 2", 5, "6 to 10 characters"),
        ("length, quartile 3", 5, "11 to 15 characters"),
        ("length, quartile 4", 5, "16 to 20 characters"),
    ]
    # Where they are cut by sample name, the difference of the means is nobody's length.
    assert parts([15] * 10 + [16] * 50) == [
        ("length, part 1", 10, "15 to 15 characters"),
        ("length, part 2", 50, "16 to 16 characters"),
    ]
    assert parts([7] * 40) == []


@pytest.mark.parametrize(
    ("statistic", "value", "said"),
    [
        ("p_value", 0.0, "< 0.001"),
        ("p_value", 0.0004, "< 0.001"),
        ("p_value", 0.0005, "0.001"),
        ("p_value", 1.0, "1.000"),
        ("p_value", None, "undefined"),
        ("kappa", 0.0, "0.000"),
    ],
)
def test_no_chance_is_zero(statistic: str, value: float | None, said: str) -> None:
    assert amount(Figure(statistic, value, None, 9, "")) == said

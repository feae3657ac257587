"""Price terms as an invoice says them."""

import pytest

from metering.pricing import price_words
from metering.pricing.price_terms import Allowance, Overage

STEPS = [{"up_to": 1_000, "price": "0.10", "fee": "5"}, {"price": "0.05"}]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"model": "per_unit", "price": "0.02"}, "0.02 each"),
        ({"model": "package", "price": "1.00", "size": 1_000_000}, "1.00 for each started 1,000,000"),
        ({"model": "graduated", "steps": STEPS}, "1 to 1,000: 0.10 each + 5 once; from 1,001: 0.05 each"),
        (
            {"model": "volume", "steps": STEPS},
            "all at the step of the total: 1 to 1,000: 0.10 each + 5 once; from 1,001: 0.05 each",
        ),
    ],
)
def test_terms_are_said_in_words(terms: dict[str, object], words: str) -> None:
    overage = Overage.model_validate(terms)
    assert price_words.of_allowance(Allowance(included=5, overage=overage)) == words


def test_an_allowance_without_a_price_is_not_charged() -> None:
    assert price_words.of_allowance(Allowance(included=5)) == "not charged"

"""The price table against genai-prices itself: the same model found, the same price, for the same usage."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from hush_otel.mapping.prices import PriceTable

MODELS = [(provider, model) for provider in providers for model in provider.models]
START = datetime(2023, 1, 1, tzinfo=UTC)
TOKENS = st.integers(0, 2_000_000)
DETAILS = (
    "cache_read_tokens",
    "cache_write_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "output_reasoning_tokens",
)
UNPRICED = ("searches", "hours", "pixels", "pages", "mchars", "messages", "executions")
"""What the table leaves out; with tokens alone it adds nothing to a price."""


def vendoring() -> ModuleType:
    """`make prices`, as a module."""
    path = Path(__file__).parents[2] / "scripts/vendor_prices.py"
    spec = importlib.util.spec_from_file_location("vendor_prices", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table() -> PriceTable:
    """The table as it would be taken from the genai-prices that is installed here."""
    module = vendoring()
    return PriceTable(module.as_text(module.document()).encode())


REFUSED = object()


def theirs(model: str, provider: str | None, usage: dict[str, int], when: datetime) -> Any:
    """What genai-prices says: a price, None where it knows none, REFUSED where the counts contradict."""
    try:
        return genai_prices.calc_price(
            genai_prices.Usage(**usage), model, provider_id=provider, genai_request_timestamp=when
        )
    except LookupError:
        return None
    except ValueError:
        return REFUSED


def is_paid_by_tokens(found: Any) -> bool:
    """Whether any of the prices that applied is one that the table keeps."""
    keys = [key for key, value in vars(found.model_price).items() if value is not None]
    return any(not key.endswith(UNPRICED) and not any(word in key for word in UNPRICED) for key in keys)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.booleans(),
    TOKENS,
    TOKENS,
    st.dictionaries(st.sampled_from(DETAILS), st.integers(0, 300_000), max_size=4),
    st.integers(0, 4 * 366 * 24 * 60),
)
def test_prices_are_those_of_genai_prices(
    table: PriceTable,
    which: Any,
    names_provider: bool,
    prompt: int,
    completion: int,
    details: dict[str, int],
    minutes: int,
) -> None:
    """For any model, with and without its provider's name, any tokens and any time from 2023 on."""
    provider, model = which
    when = START + timedelta(minutes=minutes)
    details = {unit: number for unit, number in details.items() if number}
    usage = {"input_tokens": prompt, "output_tokens": completion} | details
    expected = theirs(model.id, provider.id if names_provider else None, usage, when)
    tariff = table.tariff(provider.id if names_provider else None, model.id)
    start_ns = int(when.timestamp()) * 10**9
    found = None if tariff is None else tariff.usd(prompt, completion, details, start_ns)
    if expected is None:  # without a provider's name, ours also looks at a prefix of the model's
        assert found is None or not names_provider
    elif expected is REFUSED or not is_paid_by_tokens(expected):
        assert found is None
    else:
        assert tariff is not None
        assert tariff.source.endswith(f"{expected.provider.id}/{expected.model.id}")
        assert found == pytest.approx(float(expected.total_price), rel=1e-9, abs=1e-12)


def test_every_model_is_found_by_its_own_name(table: PriceTable) -> None:
    """The rules are those of genai-prices: the first that matches, of the provider or of whom it resells."""
    for provider, model in MODELS:
        expected = theirs(model.id, provider.id, {"input_tokens": 1}, START)
        tariff = table.tariff(provider.id, model.id)
        assert (tariff is None) == (expected is None)
        if tariff is not None:
            assert tariff.source.endswith(f": {provider.id}/{expected.model.id}")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-2024-08-06"),
        ("openai", "GPT-4o"),
        ("anthropic", "claude-3-5-sonnet-20241022"),
        ("google-vertex", "gemini-2.0-flash"),
        ("aws.bedrock", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("mistral_ai", "mistral-large-latest"),
        (None, "gpt-4o-mini"),
        (None, "claude-3-opus-latest"),
        (None, "o3-mini-2025-01-31"),
        (None, "my-own-model"),
        ("nobody", "gpt-4o"),
        ("openai", "no-model-of-theirs"),
    ],
)
def test_names_as_spans_have_them(table: PriceTable, provider: str | None, model: str) -> None:
    """The names of instrumentations and of responses find what genai-prices finds, or nothing, like there."""
    expected = theirs(model, provider, {"input_tokens": 1000, "output_tokens": 10}, START)
    tariff = table.tariff(provider, model)
    assert (tariff is None) == (expected is None)
    if tariff is not None:
        found = tariff.usd(1000, 10, {}, int(START.timestamp()) * 10**9)
        assert found == pytest.approx(float(expected.total_price))

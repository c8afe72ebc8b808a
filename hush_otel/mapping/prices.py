"""What a model call costs, where nobody says: tokens times a published price.

    (provider, model) ──► a tariff, found once and remembered ──► US dollars of these tokens at that time

The table is that of genai-prices (MIT, its text in genai_prices.LICENSE), taken by `make prices` and decoded
when the first call asks for a price. The rules are genai-prices', too: how providers and models are
found (here), and what their prices mean (`tariff`).

What is unknown stays unknown: no price where the provider or model is, where a count is missing or negative,
or where the parts exceed the whole. Prices of what spans do not count (searches, batches, hour-long caches)
are left out, so that a computed cost is an estimate; `cost_source` says of which table, date and model.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.model import AttributeValue

from .model_ids import Told, told_by
from .semconv import Promoted
from .tariff import Price, Tariff, Unit
from .usage import Usage, usage_of

DATA: Final = "genai_prices.json"

CACHED_TARIFFS: Final = 4096
"""Names of models that are remembered; above it all are forgotten and looked up again."""

_PROVIDER_NAMES: Final = {
    # Well-known values of gen_ai.provider.name (GenAI semantic conventions) that genai-prices' rules do not
    # find, or find as somebody else.
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    # LiteLLM's and LangChain's.
    "azure_ai": "azure",
    "azure_openai": "azure",
    "fireworks_ai": "fireworks",
    "google_anthropic_vertex": "google",
    "gcp.gen_ai": "google",
    "x_ai": "x-ai",
}
_FRAMEWORKS: Final = frozenset(
    {
        *("langchain", "langgraph", "litellm", "llamaindex", "llama_index", "haystack"),
        *("strands-agents", "crewai", "ag2", "agno"),
    }
)
"""Named as gen_ai.system by some instrumentations: who asks, not who answers."""
_COMPATIBLE: Final = frozenset({"custom_openai", "openai_like", "openai-compatible", "openai_compatible"})
"""Whoever speaks OpenAI's protocol: not who is paid."""


def with_cost(promoted: Promoted, attributes: Mapping[str, AttributeValue], start_ns: object) -> Promoted:
    """The columns of a model call, with its cost where it does not say its own.

    Args:
        promoted: Its columns. Of a call only: what frameworks repeat on agents and chains is paid once.
        attributes: Of the span.
        start_ns: When it began, unix nanoseconds: prices change. Anything else counts as 0.
    """
    if promoted.cost_usd is not None:
        return promoted
    found = cost_of(promoted, attributes, start_ns)
    if found is None:
        return promoted
    return Promoted(
        promoted.model,
        promoted.prompt_tokens,
        promoted.completion_tokens,
        promoted.total_tokens,
        found.usd,
        promoted.user_id,
        promoted.session_id,
        promoted.node_type,
        promoted.request_id,
        promoted.workflow_name,
        found.source,
        promoted.tags,
        promoted.title,
    )


class Cost(NamedTuple):
    """A computed cost. `source`: ``genai-prices 0.2.3 of 2026-11-25: openai/gpt-4o``."""

    usd: float
    source: str


def cost_of(promoted: Promoted, attributes: Mapping[str, AttributeValue], start_ns: object) -> Cost | None:
    """What a model call costs by the table; None where that is not known."""
    prompt, completion = promoted.prompt_tokens, promoted.completion_tokens
    if completion is None and promoted.node_type == "embedding":
        completion = 0
    if prompt is None or completion is None or min(prompt, completion) < 0 or not promoted.model:
        return None
    usage = usage_of(attributes)
    tariff = _tariff_of(usage, promoted.model)
    if tariff is None:
        return None
    usd = tariff.usd(prompt, completion, usage.details, start_ns if type(start_ns) is int else 0)
    return None if usd is None else Cost(usd, tariff.source)


def _tariff_of(usage: Usage, model: str) -> Tariff | None:
    """By the model that answered: the one that was asked for may be an alias or a deployment's name."""
    prices = price_table()
    if usage.response_model is not None and usage.response_model != model:
        found = prices.tariff(usage.provider, usage.response_model)
        if found is not None:
            return found
    return prices.tariff(usage.provider, model)


# ------------------------------------------------------------------ the table


class _Provider(msgspec.Struct):
    id: str
    models: msgspec.Raw  # decoded for the few providers that an app has
    provider_match: dict[str, Any] | None = None
    model_match: dict[str, Any] | None = None
    fallback: list[str] = []


class _Document(msgspec.Struct):
    source: str
    taken: str
    units: dict[str, Unit]
    providers: list[_Provider]


class _Model(msgspec.Struct):
    id: str
    match: dict[str, Any]
    prices: list[Price]


class PriceTable:
    """A price table, as `make prices` writes it. Remembers what it was asked for; one thread."""

    def __init__(self, text: bytes) -> None:
        self._document = msgspec.json.decode(text, type=_Document)
        self._by_id = {one.id: one for one in self._document.providers}
        self._models: dict[str, _Models] = {}
        self._tariffs: dict[tuple[str | None, str], Tariff | None] = {}

    def tariff(self, provider: str | None, model: str) -> Tariff | None:
        """The prices of a model; None when it is not in the table.

        Args:
            provider: As an instrumentation names it; None: told by the model's name.
            model: As it was asked for or as the response names it.
        """
        key = (provider, model)
        if key not in self._tariffs:
            if len(self._tariffs) >= CACHED_TARIFFS:
                self._tariffs.clear()
            self._tariffs[key] = self._find(provider, model)
        return self._tariffs[key]

    def _find(self, provider_name: str | None, model: str) -> Tariff | None:
        name, model = (provider_name or "").strip().lower(), model.lower()
        told = told_by(model)
        if name and name not in _FRAMEWORKS:
            return self._of_named(self._provider(name), model, told)
        if told is not None:
            found = self._priced(self._provider(told.provider), told.model)
            if found is not None or told.is_certain:
                return found
        return self._priced(_first(self._document.providers, lambda one: one.model_match, model), model)

    def _of_named(self, provider: _Provider | None, model: str, told: Told | None) -> Tariff | None:
        """Whom the span names; its prefix may be said once more, or the form of the id say better."""
        if provider is None:
            return None
        found = self._priced(provider, model)
        if found is None and told is not None and (told.is_own or self._provider(told.provider) is provider):
            found = self._priced(self._provider(told.provider), told.model)
        return found

    def _priced(self, provider: _Provider | None, model: str) -> Tariff | None:
        if provider is None:
            return None
        return self._of_provider(provider, model) or self._of_provider(provider, _with_dashes(model))

    def _provider(self, name: str) -> _Provider | None:
        if name in _COMPATIBLE:
            return None
        name = _PROVIDER_NAMES.get(name, name)
        return self._by_id.get(name) or _first(self._document.providers, lambda one: one.provider_match, name)

    def _of_provider(self, provider: _Provider, model: str) -> Tariff | None:
        """A provider that sells others' models has their prices, unless it says its own."""
        for name in (provider.id, *provider.fallback):
            found = self._models_of(name).find(model)
            if found is not None:
                source = f"{self._document.source} of {self._document.taken}: {provider.id}/{found.id}"
                return Tariff(source, found.prices, self._document.units)
        return None

    def _models_of(self, provider: str) -> _Models:
        if provider not in self._models:
            raw = self._by_id[provider].models
            self._models[provider] = _Models(msgspec.json.decode(raw, type=list[_Model]))
        return self._models[provider]


@functools.cache
def price_table() -> PriceTable:
    """The table that comes with the package."""
    return PriceTable((importlib.resources.files(__package__) / DATA).read_bytes())


_COMPACT_DATE: Final = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def _with_dashes(model: str) -> str:
    """``gpt-5.2-20251211`` as ``gpt-5.2-2025-12-11``, which is how the table names it."""
    return _COMPACT_DATE.sub(r"-\1-\2-\3", model)


class _Models:
    """A provider's models: the first whose rule matches. Most rules are names, looked up at once."""

    def __init__(self, models: list[_Model]) -> None:
        self._models = models
        self._names: dict[str, int] = {}
        self._rules: list[tuple[int, dict[str, Any]]] = []
        for index, model in enumerate(models):
            for clause in _alternatives(model.match):
                if "equals" in clause:
                    self._names.setdefault(clause["equals"].lower(), index)
                else:
                    self._rules.append((index, clause))

    def find(self, name: str) -> _Model | None:
        """By its name in lower case."""
        best = self._names.get(name, len(self._models))
        for index, clause in self._rules:
            if index >= best:
                break
            if _matches(clause, name):
                best = index
        return self._models[best] if best < len(self._models) else None


def _alternatives(clause: dict[str, Any]) -> list[dict[str, Any]]:
    if "or" in clause:
        return [one for inner in clause["or"] for one in _alternatives(inner)]
    return [clause]


def _first(
    providers: list[_Provider], rule: Callable[[_Provider], dict[str, Any] | None], text: str
) -> _Provider | None:
    return next((one for one in providers if (clause := rule(one)) and _matches(clause, text)), None)


def _matches(clause: dict[str, Any], text: str) -> bool:
    """Whether a rule of the table holds for a text in lower case."""
    ((kind, value),) = clause.items()
    if kind in _COMBINED:
        return _COMBINED[kind](_matches(inner, text) for inner in value)
    return _TESTS[kind](text, value)


_COMBINED: Final[dict[str, Callable[[Iterable[bool]], bool]]] = {"or": any, "and": all}
_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "equals": lambda text, value: text == value.lower(),
    "starts_with": lambda text, value: text.startswith(value.lower()),
    "ends_with": lambda text, value: text.endswith(value.lower()),
    "contains": lambda text, value: value.lower() in text,
    "regex": lambda text, value: re.search(value, text) is not None,
}

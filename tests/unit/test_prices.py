"""Costs that nobody gave: from a price table, marked as such, and computed anew by `reprice`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import ask
from inprocess import App, dicts, no_background, owning, rows

from hush_otel.cli import main
from hush_otel.mapping import prices
from hush_otel.mapping.prices import PriceTable, cost_of
from hush_otel.mapping.semconv import promote

DAY_NS = 24 * 3600 * 10**9
NOON_2026 = 1_767_268_800 * 10**9  # 2026-01-01T12:00:00Z

TABLE = {
    "source": "prices 1",
    "taken": "2026-01-31",
    "units": {
        "input_tokens": {"per": 1000, "dimensions": {"family": "tokens", "direction": "input"}},
        "output_tokens": {"per": 1000, "dimensions": {"family": "tokens", "direction": "output"}},
        "cache_read_tokens": {
            "per": 1000,
            "dimensions": {"family": "tokens", "direction": "input", "token_type": "cache_read"},
        },
        "input_audio_tokens": {
            "per": 1000,
            "dimensions": {"family": "tokens", "direction": "input", "modality": "audio"},
        },
        "cache_audio_read_tokens": {
            "per": 1000,
            "dimensions": {
                "family": "tokens",
                "direction": "input",
                "modality": "audio",
                "token_type": "cache_read",
            },
        },
        "requests": {"per": 1000, "dimensions": {"family": "requests"}},
    },
    "providers": [
        {
            "id": "acme",
            "provider_match": {"contains": "acme"},
            "model_match": {"starts_with": "rocket"},
            "models": [
                {
                    "id": "rocket-1",
                    "match": {"or": [{"equals": "rocket-1"}, {"regex": "^rocket-1-2026-01"}]},
                    "prices": [
                        {"usd": {"input_tokens": 1.0, "output_tokens": 3.0, "cache_read_tokens": 0.5}}
                    ],
                },
                {
                    "id": "rocket-tiers",
                    "match": {"equals": "rocket-tiers"},
                    "prices": [
                        {
                            "usd": {
                                "input_tokens": {"base": 1.0, "tiers": [[1000, 2.0], [5000, 4.0]]},
                                "output_tokens": {"base": 3.0, "tiers": [[1000, 6.0]]},
                            }
                        }
                    ],
                },
                {
                    "id": "rocket-times",
                    "match": {"equals": "rocket-times"},
                    "prices": [
                        {"usd": {"input_tokens": 1.0}},
                        {"from_date": "2026-01-01", "usd": {"input_tokens": 2.0}},
                        {"hours": [1380, 60], "usd": {"input_tokens": 0.5}},
                    ],
                },
                {
                    "id": "rocket-ears",
                    "match": {"equals": "rocket-ears"},
                    "prices": [
                        {
                            "usd": {
                                "input_tokens": 1.0,
                                "cache_read_tokens": 0.5,
                                "input_audio_tokens": 8.0,
                                "cache_audio_read_tokens": 4.0,
                            }
                        }
                    ],
                },
                {"id": "rocket-hours", "match": {"equals": "rocket-hours"}, "prices": [{"usd": {}}]},
                {
                    "id": "rocket-fee",
                    "match": {"equals": "rocket-fee"},
                    "prices": [{"usd": {"input_tokens": 1.0, "requests": 5.0}}],
                },
            ],
        },
        {
            "id": "shop",
            "fallback": ["acme"],
            "models": [
                {
                    "id": "rocket-1",
                    "match": {"and": [{"contains": "rocket"}, {"ends_with": "-cheap"}]},
                    "prices": [{"usd": {"input_tokens": 0.1}}],
                }
            ],
        },
    ],
}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> PriceTable:
    """A small table instead of the one that comes with the package."""
    made = PriceTable(json.dumps(TABLE).encode())
    monkeypatch.setattr(prices, "price_table", lambda: made)
    return made


def call(model: str = "rocket-1", prompt: Any = 1000, completion: Any = 1000, **more: Any) -> dict[str, Any]:
    """The attributes of a model call."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": prompt,
        "gen_ai.usage.output_tokens": completion,
    } | {key.replace("__", "."): value for key, value in more.items()}


def usd(attributes: dict[str, Any], start_ns: int = NOON_2026) -> float | None:
    """What such a call costs."""
    found = cost_of(promote(attributes, "chat"), attributes, start_ns)
    return None if found is None else found.usd


# ------------------------------------------------------------------ buckets, tiers, times


def test_tokens_are_paid_by_their_prices(table: PriceTable) -> None:
    """Input and output, each by its own."""
    assert usd(call(prompt=2000, completion=1000)) == 5.0


@pytest.mark.parametrize(
    "key",
    [
        "llm.token_count.prompt_details.cache_read",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
    ],
)
def test_cached_tokens_are_not_paid_twice(table: PriceTable, key: str) -> None:
    """They are part of the input: 1,500 uncached, 500 cached, whoever's name counts them."""
    assert usd(call(prompt=2000, completion=0) | {key: 500}) == 1.75


def test_two_names_of_cached_tokens_are_one_count(table: PriceTable) -> None:
    """The first convention that is present counts."""
    both = {"gen_ai.usage.cache_read.input_tokens": 500, "gen_ai.usage.details.cache_read_tokens": 500}
    assert usd(call(prompt=2000, completion=0) | both) == 1.75


def test_langfuse_buckets_exclude_each_other(table: PriceTable) -> None:
    """1,500 of input and 500 cached are 2,000 tokens."""
    usage = {"input": 1500, "cache_read_input_tokens": 500, "output": 0}
    attributes = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "rocket-1",
        "langfuse.observation.usage_details": json.dumps(usage),
    }
    assert promote(attributes, "x").prompt_tokens == 2000
    assert usd(attributes) == 1.75


def test_parts_without_a_price_of_their_own_are_paid_as_the_whole(table: PriceTable) -> None:
    """Reasoning is output, cache writes are input."""
    parts = {"gen_ai.usage.reasoning.output_tokens": 900, "gen_ai.usage.cache_creation.input_tokens": 10}
    assert usd(call() | parts) == 4.0


def test_parts_that_exceed_the_whole_have_no_price(table: PriceTable) -> None:
    """Somebody counts otherwise; nothing is made up."""
    assert usd(call(prompt=100) | {"gen_ai.usage.cache_read.input_tokens": 500}) is None


def test_a_common_part_that_is_not_counted_has_no_price(table: PriceTable) -> None:
    """How many of the cached tokens are audio decides the price, and nobody says."""
    ears = call("rocket-ears", prompt=1000, completion=0)
    audio, cached = (
        {"llm.token_count.prompt_details.audio": 100},
        {"llm.token_count.prompt_details.cache_read": 100},
    )
    assert usd(ears | audio) == pytest.approx(1.7)
    assert usd(ears | cached) == pytest.approx(0.95)
    assert usd(ears | audio | cached) is None


@pytest.mark.parametrize(("prompt", "cost"), [(1000, 1.0 + 3.0), (1001, 2.002 + 6.0), (5001, 20.004 + 6.0)])
def test_a_tier_holds_for_all_tokens(table: PriceTable, prompt: int, cost: float) -> None:
    """Once the input exceeds it, for the output as well."""
    assert usd(call("rocket-tiers", prompt=prompt)) == pytest.approx(cost)


@pytest.mark.parametrize(
    ("start_ns", "cost"),
    [
        (NOON_2026, 2.0),
        (NOON_2026 - DAY_NS, 1.0),
        (NOON_2026 + 11 * 3600 * 10**9, 0.5),  # 23:00
        (NOON_2026 + 13 * 3600 * 10**9 - 1, 0.5),  # just before 01:00
        (NOON_2026 + 13 * 3600 * 10**9, 2.0),
        ("long ago", 0.5),
    ],
)
def test_prices_of_the_time_of_the_call(table: PriceTable, start_ns: Any, cost: float) -> None:
    """From a date on, or by the hour, over midnight; a start that is no number counts as 1970."""
    assert usd(call("rocket-times", completion=0), start_ns) == cost


def test_a_fee_is_paid_once_a_call(table: PriceTable) -> None:
    """Some are paid by request, too, with parts counted or not."""
    assert usd(call("rocket-fee", prompt=1000, completion=0)) == pytest.approx(1.005)
    details = {"gen_ai.usage.cache_read.input_tokens": 10}
    assert usd(call("rocket-fee", prompt=1000, completion=0) | details) == pytest.approx(1.005)


@pytest.mark.parametrize(
    "attributes",
    [
        call("nobody-knows"),
        call("rocket-hours"),
        call(prompt=None),
        call(completion=None),
        call(gen_ai__provider__name="another"),
        {**call(), "gen_ai.request.model": ""},
    ],
)
def test_what_is_unknown_stays_unknown(table: PriceTable, attributes: dict[str, Any]) -> None:
    """A model, provider or count that nobody gave; a model that is not paid by tokens."""
    assert usd(attributes) is None


def test_embeddings_have_no_output(table: PriceTable) -> None:
    """That it is not counted is no gap."""
    attributes = call(completion=None) | {"gen_ai.operation.name": "embeddings"}
    assert usd(attributes) == 1.0


# ------------------------------------------------------------------ who is paid


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        (None, "rocket-1", "acme/rocket-1"),
        (None, "ROCKET-1", "acme/rocket-1"),
        (None, "acme/rocket-1", "acme/rocket-1"),
        (None, "acme:rocket-1", "acme/rocket-1"),
        ("Langchain", "rocket-1", "acme/rocket-1"),
        ("strands-agents", "rocket-1", "acme/rocket-1"),
        ("Acme.ai", "rocket-1", "acme/rocket-1"),
        ("acme", "rocket-1-20260131", "acme/rocket-1"),
        ("shop", "rocket-1", "shop/rocket-1"),
        ("shop", "rocket-2-cheap", "shop/rocket-1"),
        ("nobody", "rocket-1", None),
        (None, "nobody/rocket-1", None),
        (None, "", None),
    ],
)
def test_provider_and_model_by_the_tables_rules(
    table: PriceTable, provider: str | None, model: str, found: str | None
) -> None:
    """By names, prefixes, dates with dashes; a framework's name says nothing of who answered."""
    tariff = table.tariff(provider, model)
    assert (tariff and tariff.source) == (found and f"prices 1 of 2026-01-31: {found}")


def test_the_model_that_answered_is_paid(table: PriceTable) -> None:
    """What was asked for may be a deployment's name; where the answer's is not known, it is not."""
    answered = call("my-deployment", gen_ai__response__model="rocket-1")
    assert usd(answered) == 4.0
    assert usd(call("rocket-1", gen_ai__response__model="my-own")) == 4.0


def test_names_at_random_do_not_fill_the_memory(table: PriceTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked up is remembered, up to a bound."""
    monkeypatch.setattr(prices, "CACHED_TARIFFS", 10)
    for number in range(100):
        table.tariff(None, f"m{number}")
    assert len(table._tariffs) <= 10


def test_the_package_brings_its_table_and_licence() -> None:
    """MIT asks for its text with every copy."""
    here = Path(prices.__file__).parent
    assert "Permission is hereby granted" in (here / "genai_prices.LICENSE").read_text()
    tariff = prices.price_table().tariff("openai", "gpt-4o")
    assert tariff is not None
    assert tariff.source.startswith("genai-prices ")
    assert tariff.usd(1_000_000, 0, {}, NOON_2026) == pytest.approx(2.5)


def test_nobody_loads_the_table_who_asks_for_no_price() -> None:
    """The application never does, nor the background process before the first call without a cost."""
    look = "import sys, hush_otel, hush_otel.background.service; from hush_otel.mapping import prices"
    script = f"{look}; print(prices.price_table.cache_info().currsize)"
    app = (
        "import sys, hush_otel; hush_otel.HushSpanProcessor; print('hush_otel.mapping.prices' in sys.modules)"
    )
    for code, said in ((script, "0\n"), (app, "False\n")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == said


# ------------------------------------------------------------------ in the store


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: PriceTable) -> App:
    """An app whose background process is this one, with the small table."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


def record(app: App) -> None:
    """A trace with an agent that repeats the sums, two calls of its own cost and one given."""
    with app.tracer.start_as_current_span(
        "agent", attributes=call() | {"gen_ai.operation.name": "invoke_agent"}
    ):
        app.tracer.start_span("chat", attributes=call()).end()
        app.tracer.start_span("chat", attributes=call(prompt=2000)).end()
        app.tracer.start_span("chat", attributes=call(gen_ai__usage__cost=0.25)).end()
        app.tracer.start_span("chat", attributes=call("nobody-knows")).end()


def costs(app: App) -> list[tuple[Any, ...]]:
    """Of the spans, in the order of their ends."""
    return rows(app.db_path, "SELECT cost_usd, cost_source FROM hush_spans ORDER BY end_seq")


def totals(app: App) -> list[tuple[Any, ...]]:
    """Of the requests: all cost, and the computed part."""
    return rows(app.db_path, "SELECT cost_usd, computed_usd FROM hush_requests ORDER BY id")


SOURCE = "prices 1 of 2026-01-31: acme/rocket-1"


def test_calls_without_a_cost_get_one(app: App) -> None:
    """Given wins; the agent's repeated tokens are not paid again; what is unknown is NULL."""
    record(app)
    app.drain()
    assert costs(app) == [(4.0, SOURCE), (5.0, SOURCE), (0.25, None), (None, None), (None, None)]
    assert totals(app) == [(9.25, 9.0)]
    assert [row["cost_usd"] for row in dicts(app.db_path, "SELECT cost_usd FROM requests")] == [9.25]


def test_node_traces_that_call_a_model_get_one(app: App) -> None:
    """By type or by contain_generation; other nodes keep none."""
    nothing = (None,) * 7
    usage = {"model": "rocket-1", "prompt_tokens": 1000, "completion_tokens": 1000}
    app.store.insert_node_trace("r", "flow", "flow", None, *nothing, **usage)
    app.store.insert_node_trace("r", "flow", "flow.a", "flow", *nothing, node_type="llm", **usage)
    app.store.insert_node_trace("r", "flow", "flow.b", "flow", *nothing, contain_generation=True, **usage)
    app.store.insert_node_trace(
        "r", "flow", "flow.c", "flow", *nothing, contain_generation=True, node_type="chat", **usage
    )
    app.store.insert_node_trace(
        "r", "flow", "flow.d", "flow", *nothing, node_type="llm", cost_usd=0.0, **usage
    )
    app.drain()
    assert costs(app) == [(None, None), (4.0, SOURCE), (4.0, SOURCE), (4.0, SOURCE), (0.0, None)]
    assert totals(app) == [(12.0, 12.0)]


def test_a_cost_belongs_to_the_end_of_a_span_that_ran(app: App) -> None:
    """The start knows no tokens; the end's row, with what was computed, replaces it."""
    span = app.tracer.start_span("chat", attributes=call(prompt=None, completion=None))
    app.drain()
    assert costs(app) == [(None, None)]
    span.set_attributes({"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 0})
    span.end()
    app.drain()
    assert costs(app) == [(1.0, SOURCE)]
    assert totals(app) == [(1.0, 1.0)]


def test_show_and_ls_tell_computed_from_given(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """A tilde for people, the source in JSON."""
    record(app)
    app.drain()
    ((request_id,),) = rows(app.db_path, "SELECT request_id FROM requests")
    run = ["--db", str(app.db_path)]
    assert main.main([*run, "show", request_id]) == 0
    shown = capsys.readouterr().out
    assert "~$9.25" in shown
    assert "~$4.00" in shown
    assert " $0.25" in shown
    assert main.main([*run, "show", request_id, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["request"]["computed_usd"] == 9.0
    assert [node["cost_source"] for node in document["nodes"]] == [SOURCE, SOURCE, None, None, None]
    assert main.main([*run, "ls"]) == 0
    assert "~$9.25" in capsys.readouterr().out
    assert main.main([*run, "ls", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["computed_usd"] == 9.0


# ------------------------------------------------------------------ reprice


def cheaper(monkeypatch: pytest.MonkeyPatch, **usd: float) -> None:
    """From now on, another table holds; without prices it knows nothing."""
    later = json.loads(json.dumps(TABLE)) | {"source": "prices 2"}
    acme = later["providers"][0]
    acme["model_match"] = {"contains": ""}
    acme["models"] = [
        {"id": "rocket-1", "match": {"equals": "rocket-1"}, "prices": [{"usd": usd}]},
        {"id": "new", "match": {"equals": "nobody-knows"}, "prices": [{"usd": usd}]},
    ] if usd else []  # fmt: skip
    made = PriceTable(json.dumps(later).encode())
    monkeypatch.setattr(prices, "price_table", lambda: made)


def test_reprice_changes_what_was_computed(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was unknown and is known now, too; what was given stays, and so do other requests."""
    record(app)
    app.store.insert_node_trace("r", "flow", "flow", None, *(None,) * 7, cost_usd=7.0, node_type="llm")
    app.drain()
    cheaper(monkeypatch, input_tokens=0.5, output_tokens=1.0)
    assert main.main(["--db", str(app.db_path), "reprice", "--dry-run", "--json"]) == 0
    would = json.loads(capsys.readouterr().out)
    assert would == {"requests": 1, "spans": 3, "before_usd": 9.0, "after_usd": 5.0}
    assert totals(app) == [(9.25, 9.0), (7.0, None)]
    with owning(app.settings) as owner:
        done = ask(owner, "reprice")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 spans of 1 request priced anew: ~$9.00 → ~$5.00\n"
    source = SOURCE.replace("1 of", "2 of")
    assert costs(app)[:5] == [
        (1.5, source),
        (2.0, source),
        (0.25, None),
        (1.5, source.replace("rocket-1", "new")),
        (None, None),
    ]
    assert totals(app) == [(5.25, 5.0), (7.0, None)]


def test_reprice_keeps_what_the_table_no_longer_knows(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old price with its date is better than none; once more changes nothing."""
    record(app)
    app.drain()
    before = costs(app)
    cheaper(monkeypatch)
    with owning(app.settings) as owner:
        assert ask(owner, "reprice").stdout == "no cost has changed\n"
        assert json.loads(ask(owner, "reprice", "--json").stdout)["spans"] == 0
    assert costs(app) == before
    assert totals(app) == [(9.25, 9.0)]


def test_reprice_of_some(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is that of replay: by age, workflow, user."""
    app.tracer.start_span("one", attributes=call(user__id="u1")).end()
    app.tracer.start_span("two", attributes=call(user__id="u2")).end()
    app.drain()
    cheaper(monkeypatch, input_tokens=0.5, output_tokens=0.5)
    with owning(app.settings) as owner:
        assert "1 span of 1 request" in ask(owner, "reprice", "--since", "1h", "--user", "u2").stdout
    assert totals(app) == [(4.0, 4.0), (1.0, 1.0)]

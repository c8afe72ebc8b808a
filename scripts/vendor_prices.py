"""`make prices`: the price table of the package genai-prices as hush_otel/mapping/genai_prices.json.

Kept: prices by token and by request, with their tiers, dates and hours, and the rules by which providers and
models are found. Left out: prices of what spans do not count (searches, seconds of audio, pages), variants
that spans do not tell (batch, service tiers), names and comments. One model a line, so that a diff of two
versions reads well.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genai_prices.data import providers
from genai_prices.data_units import unit_data

HERE = Path(__file__).parents[1] / "hush_otel/mapping"
FAMILIES = ("tokens", "requests")


def document() -> dict[str, Any]:
    """The table as it is written, from the package that this interpreter finds."""
    units = {key: unit for key, unit in unit_data.items() if unit["dimensions"]["family"] in FAMILIES}
    usage_of = {unit["price_key"]: key for key, unit in units.items()}
    made = [_provider(one, usage_of) for one in providers]
    priced = {
        key for one in made for model in one["models"] for price in model["prices"] for key in price["usd"]
    }
    return {
        "source": f"genai-prices {importlib.metadata.version('genai-prices')}",
        "taken": datetime.now(UTC).date().isoformat(),
        "units": {
            key: {"per": unit["per"], "dimensions": unit["dimensions"]}
            for key, unit in units.items()
            if key in priced
        },
        "providers": made,
    }


def _provider(one: Any, usage_of: dict[str, str]) -> dict[str, Any]:
    models = [_model(model, usage_of) for model in one.models]
    made = {
        "id": one.id,
        "provider_match": _clause(one.provider_match),
        "model_match": _clause(one.model_match),
        "fallback": one.fallback_model_providers,
        "models": models,
    }
    return {key: value for key, value in made.items() if value is not None}


def _model(model: Any, usage_of: dict[str, str]) -> dict[str, Any]:
    conditional = model.prices if isinstance(model.prices, list) else [None]
    prices = [
        _price(model.prices if one is None else one.prices, one and one.constraint, usage_of)
        for one in conditional
    ]
    return {"id": model.id, "match": _clause(model.match), "prices": prices}


def _price(prices: Any, constraint: Any, usage_of: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if constraint is not None:
        made = (
            {"from_date": constraint.start_date.isoformat()}
            if hasattr(constraint, "start_date")
            else {"hours": [_minutes(constraint.start_time), _minutes(constraint.end_time)]}
        )
    made["usd"] = {
        usage_of[key]: _amount(value)
        for key, value in vars(prices).items()
        if value is not None and key in usage_of
    }
    return made


def _minutes(time: Any) -> int:
    """Of the day, in UTC: what every hour in the data is."""
    if time.second or (time.tzinfo is not None and time.utcoffset().total_seconds()):
        raise SystemExit(f"{time!r} is no full minute of UTC")
    return time.hour * 60 + time.minute


def _amount(price: Any) -> Any:
    if hasattr(price, "tiers"):
        return {
            "base": float(price.base),
            "tiers": [[tier.start, float(tier.price)] for tier in price.tiers],
        }
    return float(price)


def _clause(clause: Any) -> Any:
    if clause is None:
        return None
    ((name, value),) = vars(clause).items()
    if name in ("or_", "and_"):
        return {name[:-1]: [_clause(one) for one in value]}
    return {name: value}


def as_text(table: dict[str, Any]) -> str:
    """One model a line."""
    head = {key: value for key, value in table.items() if key != "providers"}
    providers = ",\n".join(_provider_text(one) for one in table["providers"])
    return f'{_json(head)[:-1]},"providers":[\n{providers}\n]}}\n'


def _provider_text(one: dict[str, Any]) -> str:
    head = {key: value for key, value in one.items() if key != "models"}
    models = ",\n".join(_json(model) for model in one["models"])
    return f'{_json(head)[:-1]},"models":[\n{models}\n]}}'


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def licence() -> str:
    """The licence under which the data is passed on."""
    files = importlib.metadata.files("genai-prices") or ()
    (found,) = [file for file in files if file.name == "LICENSE"]
    return found.read_text()


if __name__ == "__main__":
    table = document()
    (HERE / "genai_prices.json").write_text(as_text(table), encoding="utf-8")
    (HERE / "genai_prices.LICENSE").write_text(licence(), encoding="utf-8")
    count = sum(len(one["models"]) for one in table["providers"])
    sys.stdout.write(f"{table['source']}: {count} models of {len(table['providers'])} providers\n")

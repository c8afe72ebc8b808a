"""The tools that a model was offered, as vendors want them: one function each, in the shape of OpenAI's API.

Sources: GenAI semantic conventions (``gen_ai.tool.definitions``, a JSON list of
``{"type": "function", "name", "description", "parameters"}``); OpenInference
(``llm.tools.N.tool.json_schema``); MLflow's mlflow/types/chat.py (``ChatTool``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hush_otel.model import AttributeValue

from .content import parsed

DEFINITIONS: Final = "gen_ai.tool.definitions"
MAX_TOOLS: Final = 1000
"""Of one span: each becomes an attribute."""
_OF_FUNCTION: Final = ("name", "description", "parameters", "strict")


def tools_of(attributes: Mapping[str, AttributeValue]) -> list[dict[str, Any]]:
    """Those that can be told apart; what is no list of objects offers none."""
    value = attributes.get(DEFINITIONS)
    found = parsed(value) if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)):
        return []
    return [_tool(one) for one in found[:MAX_TOOLS] if isinstance(one, Mapping)]


def _tool(value: Mapping[str, Any]) -> dict[str, Any]:
    """A flat one nested; one that is nested, or no function, stays."""
    if value.get("type", "function") != "function" or "name" not in value:
        return dict(value)
    return {"type": "function", "function": {key: value[key] for key in _OF_FUNCTION if key in value}}

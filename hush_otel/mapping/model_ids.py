"""What the id of a model says of who is paid for it, where its form does.

| form | who |
|---|---|
| ``us.anthropic.claude-sonnet-4-20250514-v1:0``, ``amazon.nova-lite-v1:0``, ``arn:aws:bedrock:…`` | Bedrock |
| ``projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4@20250514`` | Vertex AI |
| ``openai/gpt-4o``, ``bedrock/us-east-1/amazon.nova-lite-v1:0`` (gateways) | what stands in front |
| ``openai:gpt-4o`` (frameworks) | what stands in front, if that is a provider |
| ``deepseek-r1:8b``, ``mistral:latest`` (local servers), ``qwen/qwq-32b:free`` (OpenRouter) | nobody |

Sources: Amazon Bedrock's "Supported foundation models" and "Inference profiles", Vertex AI's resource names,
LiteLLM's "Providers", pydantic-ai's and LangChain's model names, Ollama's tags.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

BEDROCK: Final = "aws"
VERTEX: Final = "google"

_BEDROCK: Final = re.compile(
    r"(?:(?:global|us|us-gov|eu|apac|jp|au|ca|sa|in|me|af|il|mx)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen"
    r"|stability|twelvelabs|writer|zai)\.[a-z]"
)
_ARN: Final = re.compile(r"arn:aws[a-z-]*:bedrock:")
_PREFIXED: Final = re.compile("([^:/]+)[:/](.*)")
_ROUTE: Final = re.compile(r"^(?:(?:converse|converse_like|invoke|[a-z]{2}(?:-[a-z]+)+-[0-9])/)+")
"""LiteLLM's: by which interface, and in which region. What follows is the model's own id."""
_COMMITTED: Final = "-month-commitment/"
"""Of Bedrock: paid by the hour."""
_PUBLISHED: Final = re.compile(r"(?:.*/)?publishers/[^/]+/models/(.+)")
_OWN_SLASH: Final = ("accounts/fireworks/", "@cf/", "models/")
"""Names that begin so are whole: of Fireworks, Cloudflare and Gemini's API."""
_ELSEWHERE: Final = re.compile(r".*:(?:latest|free|[0-9.]+[bm](?:-.*)?)")
_NO_PROVIDER: Final = "-"
"""In front of no model of anybody's."""


class Told(NamedTuple):
    """Who is paid for a model.

    Attributes:
        provider: An id or name; one that nobody knows has no prices.
        model: Its name there.
        is_certain: No other reading is possible.
        is_own: The id is of a form that only this provider has, whoever else is named.
    """

    provider: str
    model: str
    is_certain: bool = True
    is_own: bool = False


def told_by(model: str) -> Told | None:
    """What an id says of the provider; None where its form says nothing.

    Args:
        model: In lower case.
    """
    if _BEDROCK.match(model) or _ARN.match(model):
        return Told(BEDROCK, model, is_own=True)
    if found := _PUBLISHED.fullmatch(model):
        return Told(VERTEX, found[1], is_own=True)
    if _ELSEWHERE.fullmatch(model):
        return Told(_NO_PROVIDER, model)
    if model.startswith(_OWN_SLASH):
        return None
    return _prefixed(model)


def _prefixed(model: str) -> Told | None:
    found = _PREFIXED.fullmatch(model)
    if found is None:
        return None
    provider, rest = found.groups()
    if "/" not in model:
        return Told(provider, rest, is_certain=False)
    return Told(_NO_PROVIDER if _COMMITTED in rest else provider, _ROUTE.sub("", rest))

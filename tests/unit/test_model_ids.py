"""Who is paid for a model, by its id alone: ids as clients write them, against the table of the package."""

from __future__ import annotations

import pytest

from hush_otel.mapping.prices import price_table

BEDROCK = [
    # By region or for all of them, which have prices of their own; bare; as a profile's or a model's ARN.
    (
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "aws/regional.anthropic.claude-sonnet-4-20250514-v1:0",
    ),
    (
        "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    (
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "aws/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    ("anthropic.claude-3-5-sonnet-20241022-v2:0", "aws/regional.anthropic.claude-3-5-sonnet-20241022-v2:0"),
    ("eu.amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
    ("amazon.titan-embed-text-v2:0", "aws/amazon.titan-embed-text-v2:0"),
    ("us.meta.llama3-3-70b-instruct-v1:0", "aws/meta.llama3-3-70b-instruct-v1:0"),
    ("mistral.mistral-large-2402-v1:0", "aws/mistral.mistral-large-2402-v1:0"),
    ("us.deepseek.r1-v1:0", "aws/deepseek.r1-v1:0"),
    ("openai.gpt-oss-120b-1:0", "aws/openai.gpt-oss-120b-1:0"),
    (
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
        "aws/regional.anthropic.claude-sonnet-4-20250514-v1:0",
    ),
    (
        "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-lite-v1:0",
        "aws/amazon.nova-lite-v1:0",
    ),
]
PREFIXES = [
    # LiteLLM
    (
        "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0",
        "aws/regional.anthropic.claude-3-5-sonnet-20240620-v1:0",
    ),
    ("bedrock/converse/us.amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"),
    ("bedrock/eu-central-1/anthropic.claude-opus-5", "aws/regional.anthropic.claude-opus-5"),
    ("vertex_ai/gemini-2.0-flash", "google/gemini-2.0-flash"),
    ("vertex_ai/claude-sonnet-4@20250514", "google/claude-4-sonnet"),
    ("gemini/gemini-2.0-flash", "google/gemini-2.0-flash"),
    ("azure/gpt-4o", "azure/gpt-4o"),
    ("azure_ai/gpt-4o", "azure/gpt-4o"),
    ("openai/gpt-4o", "openai/gpt-4o"),
    ("anthropic/claude-3-5-sonnet-20241022", "anthropic/claude-3-5-sonnet"),
    ("openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o"),
    ("openrouter/anthropic/claude-sonnet-4", "openrouter/anthropic/claude-sonnet-4"),
    ("mistral/mistral-large-latest", "mistral/mistral-large"),
    ("groq/llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
    (
        "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "together/meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    ("xai/grok-3", "x-ai/grok-3"),
    ("cohere_chat/command-r", "cohere/command-r"),
    # OpenRouter's own names, asked for without saying so: the vendor is who they name.
    ("anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
    ("deepseek/deepseek-chat", "deepseek/deepseek-chat"),
    # pydantic-ai, LangChain
    ("openai:gpt-4o", "openai/gpt-4o"),
    ("anthropic:claude-sonnet-4-0", "anthropic/claude-sonnet-4-0"),
    ("google-gla:gemini-2.0-flash", "google/gemini-2.0-flash"),
    ("google_vertexai:gemini-2.0-flash", "google/gemini-2.0-flash"),
    ("google_anthropic_vertex:claude-sonnet-4@20250514", "google/claude-4-sonnet"),
    ("bedrock:us.amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"),
    (
        "bedrock_converse:anthropic.claude-3-5-sonnet-20240620-v1:0",
        "aws/regional.anthropic.claude-3-5-sonnet-20240620-v1:0",
    ),
    ("azure_openai:gpt-4o", "azure/gpt-4o"),
    ("openrouter:anthropic/claude-sonnet-4", "openrouter/anthropic/claude-sonnet-4"),
    # Vertex AI's resource names, and Gemini's API's
    ("projects/p/locations/eu/publishers/google/models/gemini-2.0-flash", "google/gemini-2.0-flash"),
    (
        "projects/p/locations/eu/publishers/anthropic/models/claude-sonnet-4@20250514",
        "google/claude-4-sonnet",
    ),
    ("models/gemini-2.0-flash", "google/gemini-2.0-flash"),
]
PLAIN = [
    ("gpt-4o-2024-08-06", "openai/gpt-4o"),
    ("gpt-4o:extended", "openai/gpt-4o:extended"),
    ("claude-3-5-sonnet-20241022", "anthropic/claude-3-5-sonnet"),
    ("gemini-2.0-flash", "google/gemini-2.0-flash"),
]
NOBODYS = [
    "us.anthropic.claude-of-tomorrow-v1:0",  # Bedrock's, and not in the table: not Anthropic's price
    "cohere.command-r-plus-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
    "bedrock/us-east-1/1-month-commitment/anthropic.claude-3-5-sonnet-20240620-v1:0",
    "azure/my-deployment",
    "openrouter/nobody/claude-sonnet-4",
    "meta-llama/llama-3.1-70b-instruct",  # as many prices as hosts
    "llama-3.3-70b-versatile",
    "qwen/qwen3-32b",
    "hosted_vllm/gemini-2.0-flash",
    "litellm_proxy/gpt-4o",
    "custom_openai/gpt-4o",
    "ollama/deepseek-r1",
    "deepseek-r1:8b",
    "mistral-large:latest",
    "deepseek/deepseek-r1:free",
    "ft:gpt-4o-mini-2024-07-18:org::id",
    "/",
    ":",
    "/gpt-4o",
    "openai/",
]


def source(provider: str | None, model: str) -> str | None:
    """Of the tariff that is found, without the table's version."""
    tariff = price_table().tariff(provider, model)
    return None if tariff is None else tariff.source.partition(": ")[2]


@pytest.mark.parametrize(("model", "found"), BEDROCK + PREFIXES + PLAIN)
def test_an_id_says_who_is_paid(model: str, found: str) -> None:
    """Where no span names a provider, or only the framework that asked."""
    assert source(None, model) == source("litellm", model) == found


@pytest.mark.parametrize("model", NOBODYS)
def test_an_id_that_names_nobody_has_no_price(model: str) -> None:
    """An unknown prefix, a host's own tag, or a model that its provider's prices do not know: no guess."""
    assert source(None, model) is None


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        ("openai", "openai/gpt-4o", "openai/gpt-4o"),
        ("azure", "azure/gpt-4o", "azure/gpt-4o"),
        ("AWS", "bedrock/us.amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"),
        (
            "anthropic",
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            "aws/regional.anthropic.claude-sonnet-4-20250514-v1:0",
        ),
        ("openai", "anthropic/claude-sonnet-4", None),
        ("openai-compatible", "gpt-4o", None),
        ("ollama", "us.amazon.nova-lite-v1:0", None),
    ],
)
def test_a_named_provider_is_paid(provider: str, model: str, found: str | None) -> None:
    """Its name may be said once more in the id; a client's vendor gives way to Bedrock's form, and to no other."""
    assert source(provider, model) == found

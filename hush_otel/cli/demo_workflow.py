"""The workflow of `hush-otel demo`: a small question answered in full, step by step.

Real work on a small scale: documents are ranked by BM25, numbers are read out of them and computed with, and
an answer is composed from what was found. The model is a template: it copies sentences, counts its tokens and
refuses a prompt that is too long, which is the one failure and the one retry. Nothing leaves the machine.

How the steps are recorded is the caller's: see `demo_recorders`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

QUESTION: Final = "How long does light take from the Sun to Neptune?"

DOCUMENTS: Final = (
    "Neptune orbits the Sun at a mean distance of 4495 million km. It is the outermost of the planets.",
    "Light travels through empty space at 299792 km per second. Nothing is faster.",
    "Earth is warm because it is near the Sun, at 150 million km.",
    "Jupiter is the largest planet. A day there lasts less than ten hours.",
    "A comet grows its tail where solar wind reaches its surface.",
    "Mercury takes 88 days to orbit the Sun, and its own rotation is slow.",
)

STOP_WORDS: Final = frozenset(
    {"a", "does", "from", "how", "in", "is", "it", "long", "of", "take", "the", "to"}
)
"""Say nothing about what a passage is about."""

MODEL: Final = "template-writer-1"
PROMPT_LIMIT_TOKENS: Final = 60
"""Small enough that the first prompt, made of all passages, does not fit."""

USD_PER_TOKEN: Final = (0.15e-6, 0.60e-6)
"""Prompt and completion: a price like that of a small hosted model, so that the sums show something."""

BM25_K1: Final = 1.5
BM25_B: Final = 0.75
"""The customary parameters (Robertson and Zaragoza, 2009)."""


@dataclass(slots=True)
class Step:
    """What is recorded of one step.

    Attributes:
        name: Short name; the step's place gives the rest.
        operation: OTel's `gen_ai.operation.name`, or empty for plain code.
        inputs: What went in; JSON-able, as are `outputs`.
        model: Set where tokens were spent; with it the token counts and `cost_usd`.
    """

    name: str
    operation: str
    inputs: object
    outputs: object = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None


class Recorder(Protocol):
    """Records steps, nested as they are entered. An exception that leaves a step is recorded with it."""

    def record(self, step: Step) -> AbstractContextManager[Step]:
        """Enter a step; leaving it records it."""
        ...


class PromptTooLongError(Exception):
    """The prompt has more tokens than the model takes."""


def answer(question: str, recorder: Recorder) -> str:
    """Run the whole workflow once and return the answer."""
    with recorder.record(Step("answer", "invoke_workflow", {"question": question})) as step:
        passages = retrieve(question, recorder)
        facts = travel_time(passages, recorder)
        step.outputs = text = write(question, passages, facts, recorder)
        return text


def retrieve(question: str, recorder: Recorder) -> list[str]:
    """The passages that share words with the question, best first."""
    with recorder.record(Step("retrieve", "retrieval", {"query": question})) as step:
        with recorder.record(Step("score", "", {"documents": len(DOCUMENTS)})) as scoring:
            scores = bm25(search_terms(question), [words(document) for document in DOCUMENTS])
            scoring.outputs = {"scores": [round(score, 3) for score in scores]}
        ranked = sorted(zip(scores, DOCUMENTS, strict=True), reverse=True)
        step.outputs = passages = [document for score, document in ranked if score > 0]
        return passages


def travel_time(passages: list[str], recorder: Recorder) -> str:
    """The tool: reads distance and speed out of the passages and divides them."""
    text = " ".join(passages)
    million_km = _first_number(r"(\d+) million km", text)
    km_per_s = _first_number(r"(\d+) km per second", text)
    arguments = {"distance_km": million_km * 1_000_000, "speed_km_per_s": km_per_s}
    with recorder.record(Step("travel_time", "execute_tool", arguments)) as step:
        minutes = round(arguments["distance_km"] / km_per_s / 60)
        step.outputs = result = f"{minutes // 60} hours and {minutes % 60} minutes"
        return result


def write(question: str, passages: list[str], facts: str, recorder: Recorder) -> str:
    """Prompt the model; with half of the passages again when it refuses."""
    while True:
        with recorder.record(Step("build_prompt", "", {"passages": len(passages)})) as step:
            step.outputs = prompt = "\n".join([*passages, f"Computed: {facts}.", f"Question: {question}"])
        try:
            return chat(prompt, recorder)
        except PromptTooLongError:
            passages = passages[: len(passages) // 2]


def chat(prompt: str, recorder: Recorder) -> str:
    """One call of the model.

    Raises:
        PromptTooLongError: The prompt exceeds `PROMPT_LIMIT_TOKENS`.
    """
    with recorder.record(Step("chat", "chat", prompt, model=MODEL)) as step:
        tokens = len(words(prompt))
        if tokens > PROMPT_LIMIT_TOKENS:  # refused, so nothing is used
            raise PromptTooLongError(f"{tokens} tokens, {MODEL} takes {PROMPT_LIMIT_TOKENS}")
        step.prompt_tokens = tokens
        step.outputs = completion = compose(prompt)
        step.completion_tokens = len(words(completion))
        per_prompt, per_completion = USD_PER_TOKEN
        step.cost_usd = tokens * per_prompt + step.completion_tokens * per_completion
        return completion


def compose(prompt: str) -> str:
    """The model itself: the computed result, and the sentence that has most in common with the question."""
    *context, question = prompt.splitlines()
    asked = set(search_terms(question))
    sentences = re.findall(r"[^.]+\.", " ".join(line for line in context if not line.startswith("Computed")))
    closest = max(sentences, key=lambda sentence: len(asked.intersection(words(sentence)))).strip()
    result = next(line for line in context if line.startswith("Computed")).removeprefix("Computed: ")
    return f"It takes {result} {closest}"


def bm25(query: list[str], documents: list[list[str]]) -> list[float]:
    """The Okapi BM25 score of each document."""
    mean_length = sum(map(len, documents)) / len(documents)
    scores = [0.0] * len(documents)
    for word in set(query):
        having = sum(word in document for document in documents)
        rarity = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
        for index, document in enumerate(documents):
            n = Counter(document)[word]
            length = BM25_K1 * (1 - BM25_B + BM25_B * len(document) / mean_length)
            scores[index] += rarity * n * (BM25_K1 + 1) / (n + length)
    return scores


def search_terms(question: str) -> list[str]:
    """The words of a question that tell passages apart."""
    return [word for word in words(question) if word not in STOP_WORDS]


def words(text: str) -> list[str]:
    """Lower-case words and numbers; here also what a token is."""
    return re.findall(r"[a-z]+|\d+", text.lower())


def _first_number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise LookupError(f"no {pattern!r} in the passages")
    return int(found[1])

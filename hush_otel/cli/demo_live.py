"""The workload of `hush-otel demo --ui`: the demo's workflow again and again, slowly enough to be watched.

Two things happen at once. Questions are answered, or only searched for, under the OTel SDK, with spans that
can be seen while they run; one of them cannot be answered. Digests answer several questions in a loop, as
node traces: a pass of the loop for each.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from hush_otel import Destination, HushSpanProcessor, TraceStore

from .demo_recorders import NodeRecorder, SpanRecorder
from .demo_workflow import QUESTION, PromptTooLongError, Recorder, Step, answer, retrieve

QUESTIONS: Final = (
    QUESTION,
    "How long does light take from the Sun to Earth?",
    "How long does sunlight travel until it reaches Pluto?",
)
"""No passage says how far the last one is: its request fails."""

PAUSES_S: Final = {"chat": 1.6, "execute_tool": 0.7, "retrieval": 0.4, "": 0.25}
"""How long a step takes at least, by its operation: about what such steps take elsewhere."""

BETWEEN_S: Final = 1.5
"""From one request to the next: some ten a minute in all."""


class Paced:
    """A recorder around another: its steps take a while.

    Args:
        recorder: Records the steps.
        stop: Set when the demo ends; from then on nothing waits, and what is under way is done at once.
        pauses_s: By operation; steps of others take no longer than they do.
    """

    def __init__(self, recorder: Recorder, stop: threading.Event, pauses_s: dict[str, float]) -> None:
        self._recorder = recorder
        self._stop = stop
        self._pauses_s = pauses_s

    @contextmanager
    def record(self, step: Step) -> Iterator[Step]:
        """Enter the step, and let some time pass in it."""
        with self._recorder.record(step) as recorded:
            self._stop.wait(self._pauses_s.get(step.operation, 0.0))
            yield recorded


class Workload:
    """Both kinds of requests, each in a thread of its own, from `start` until `stop`.

    Args:
        store: Where node traces go.
        destination: Where everything is delivered.
    """

    def __init__(self, store: TraceStore, destination: Destination) -> None:
        self._store = store
        self._stop = threading.Event()
        self._session = f"demo-session-{secrets.token_hex(2)}"
        self._destination = destination
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=Resource.create({"service.name": "hush-demo"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(HushSpanProcessor(store.db_path, destinations=[destination]))
        self._threads = [
            threading.Thread(target=self._again_and_again, args=(work,), daemon=True)
            for work in (self._ask, self._digest)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Have what is under way done without pauses, and wait for that."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._provider.shutdown()

    def _again_and_again(self, work: Callable[[int], None]) -> None:
        for number in itertools.count():
            # A request that fails is part of the show: it is recorded, and the next one comes.
            with suppress(LookupError, PromptTooLongError):
                work(number)
            if self._stop.wait(BETWEEN_S):
                return

    def _ask(self, number: int) -> None:
        question = QUESTIONS[number % len(QUESTIONS)]
        if number % 2:
            recorder = self._recorder("search")
            with recorder.record(Step("search", "invoke_workflow", {"query": question})) as search:
                search.outputs = retrieve(question, recorder)
        else:
            answer(question, self._recorder("answer"))

    def _recorder(self, workflow: str) -> Paced:
        tracer = self._provider.get_tracer("hush_otel.demo")
        recorder = SpanRecorder(
            tracer, _new_id(workflow), workflow=f"demo.{workflow}", session_id=self._session
        )
        return Paced(recorder, self._stop, PAUSES_S)

    def _digest(self, number: int) -> None:
        """All questions that can be answered, a pass of the loop for each."""
        recorder = NodeRecorder(
            self._store, _new_id("digest"), workflow="demo.digest", session_id=self._session
        )
        paced = Paced(recorder, self._stop, PAUSES_S)
        with recorder.record(Step("digest", "", {"number": number})) as digest:
            answers = []
            for at, asked in enumerate(QUESTIONS[:-1]):
                with recorder.in_pass(at):
                    answers.append(answer(asked, paced))
            digest.outputs = answers
        self._store.mark_request_complete(
            recorder.request_id, self._destination.type, self._destination.config, tags=["demo"]
        )


def _new_id(how: str) -> str:
    return f"demo-{how}-{secrets.token_hex(3)}"

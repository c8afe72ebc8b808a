"""Secrets by reference, where the process that delivers is not the one that asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from inprocess import rows
from relaying import Yard

from hush_otel import Destination, records
from hush_otel.background.settling import PROBE_S
from hush_otel.store import commands
from hush_otel.store.routes import Routes
from hush_otel.testing import OtlpReceiver

NAME = "HUSH_TEST_TOKEN"
MOMENT_S = 0.01


class Lab:
    """A receiver, the database that delivers to it, and an environment that the test changes."""

    def __init__(self, yard: Yard, receiver: OtlpReceiver, patch: pytest.MonkeyPatch) -> None:
        self.yard = yard
        self.receiver = receiver
        self._patch = patch

    def app_has(self, value: str | None, *, header: str = f"${{{NAME}}}") -> None:
        """An application with this value records one request."""
        self._set(value)
        lab = Destination("otlp", name="lab", endpoint=self.receiver.endpoint, headers={"x-key": header})
        self.yard.take(["s"], lab)

    def background_has(self, value: str | None) -> None:
        """What the process that delivers finds in its environment; one attempt at all that is due."""
        self._set(value)
        self.yard.deliver()

    def _set(self, value: str | None) -> None:
        if value is None:
            self._patch.delenv(NAME, raising=False)
        else:
            self._patch.setenv(NAME, value)

    def keys(self) -> list[str | None]:
        """The values that arrived, in order; a probe and what follows it have the same."""
        return list(dict.fromkeys(request.headers.get("x-key") for request in self.receiver.requests))

    def paused(self) -> str:
        """Why nothing is sent."""
        return str(self.yard.destination()["paused"])


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """One destination with one secret."""
    with OtlpReceiver() as receiver, Yard(tmp_path / "t.db") as yard:
        yield Lab(yard, receiver, monkeypatch)


def test_the_value_that_was_meant_is_sent(lab: Lab) -> None:
    """The same here and there: nothing else to see."""
    lab.app_has("a")
    lab.background_has("a")
    assert lab.keys() == ["a"]


@pytest.mark.parametrize("value", ["old", None, ""], ids=["another", "unset", "empty"])
def test_another_value_or_none_pauses_the_destination(lab: Lab, value: str | None) -> None:
    """Nothing is sent under a key that nobody meant; the reason names the variable, not its value."""
    lab.app_has("new-canary")
    lab.background_has(value)
    assert lab.keys() == []
    assert lab.yard.states() == {"paused": 1}
    assert lab.paused().startswith(f"secret {NAME} ")
    assert "canary" not in lab.paused()


@pytest.mark.parametrize("value", ["old", None], ids=["another", "unset"])
def test_a_new_background_process_with_the_right_value_sends_at_once(lab: Lab, value: str | None) -> None:
    """It need not wait for the probe of its predecessor."""
    lab.app_has("new")
    lab.background_has(value)
    lab.yard.restart()
    lab.background_has("new")
    assert lab.keys() == ["new"]
    assert lab.yard.states() == {"delivered": 1}


def test_a_new_background_process_with_a_wrong_value_stays_paused(lab: Lab) -> None:
    """However often it starts."""
    lab.app_has("new")
    for _ in range(3):
        lab.background_has("old")
        lab.yard.restart()
    assert lab.keys() == []
    assert lab.yard.states() == {"paused": 1}


def test_a_pause_for_another_reason_waits_for_its_probe(lab: Lab) -> None:
    """A process that is restarted again and again does not hammer a receiver that says 401."""
    lab.receiver.respond(401)
    lab.app_has("a")
    for _ in range(3):
        lab.background_has("a")
        lab.yard.restart()
    assert len(lab.receiver.requests) == 1


def test_the_probe_finds_out_that_it_fits(lab: Lab) -> None:
    """In thread mode the environment can change under the process."""
    lab.app_has("new")
    lab.background_has("old")
    lab.yard.time.pass_by(PROBE_S + MOMENT_S)
    lab.background_has("new")
    assert lab.keys() == ["new"]


def test_retry_asks_at_once(lab: Lab) -> None:
    """`hush-otel retry`: sent when it fits now, paused again when it does not."""
    lab.app_has("new")
    lab.background_has("old")
    for number, value in enumerate(("old", "new")):
        command = records.Command(records.COMMAND, 0, bytes([number]) * 16, "retry", {"destination": "lab"})
        lab.yard.database.write(lambda db, c=command: commands.apply(db, Routes(), [c], lab.yard.time.wall_s))  # type: ignore[misc]
        lab.background_has(value)
    assert lab.keys() == ["new"]


def test_a_rotated_secret_pauses_until_the_background_process_has_it(lab: Lab) -> None:
    """What waits is sent under the new value, that of requests from before its rotation, too."""
    lab.app_has("old")
    lab.background_has("old")
    lab.app_has("old")
    lab.app_has("new")
    lab.background_has("old")
    assert lab.yard.states() == {"delivered": 1, "paused": 2}
    lab.yard.restart()
    lab.background_has("new")
    assert lab.keys() == ["old", "new"]
    assert lab.yard.states() == {"delivered": 3}


def test_a_wrong_value_in_the_application_is_mended_by_the_application(lab: Lab) -> None:
    """It comes again with the value that the background process has: resumed without a probe."""
    lab.app_has("wrong")
    lab.background_has("right")
    lab.app_has("right")
    lab.background_has("right")
    assert lab.keys() == ["right"]
    assert lab.yard.states() == {"delivered": 2}


def test_of_two_applications_that_disagree_the_last_one_counts(lab: Lab) -> None:
    """As with all else of a destination's configuration; no request is made under the other's value."""
    lab.app_has("mine")
    lab.app_has("yours")
    lab.background_has("mine")
    assert lab.keys() == []
    assert lab.paused().startswith(f"secret {NAME} has another value")
    lab.app_has("mine")
    lab.background_has("mine")
    assert lab.keys() == ["mine"]
    assert lab.yard.states() == {"delivered": 3}


def test_an_application_without_the_value_contradicts_nobody(lab: Lab) -> None:
    """A worker that was started without it neither pauses the destination nor forgets what others said."""
    lab.app_has("a")
    lab.app_has(None)
    lab.background_has("b")
    assert lab.keys() == []
    lab.yard.restart()
    lab.background_has("a")
    assert lab.keys() == ["a"]


def test_a_rotated_file_is_sent_with_the_next_request(lab: Lab, tmp_path: Path) -> None:
    """A file is read when it is needed: whoever replaces it has rotated the secret, and nothing pauses."""
    token = tmp_path / "token"
    for value in ("one", "two"):
        token.write_text(f"{value}\n")
        lab.app_has(None, header=f"${{file:{token}}}")
        lab.background_has(None)
    assert lab.keys() == ["one", "two"]


def test_a_file_that_is_gone_pauses_until_it_is_back(lab: Lab, tmp_path: Path) -> None:
    """The reason names the path; the probe finds it."""
    token = tmp_path / "token"
    lab.app_has(None, header=f"${{file:{token}}}")
    lab.background_has(None)
    assert lab.paused().startswith(f"secret file:{token} cannot be read")
    token.write_text("back")
    lab.yard.time.pass_by(PROBE_S + MOMENT_S)
    lab.background_has(None)
    assert lab.keys() == ["back"]


def test_s04_neither_value_nor_digest_of_it_is_stored(lab: Lab) -> None:
    """Twelve bits and a salt are all that the database holds of it."""
    lab.app_has("canary-value")
    lab.background_has("canary-other")
    ((stored,),) = rows(lab.yard.path, "SELECT fingerprints FROM hush_destinations")
    assert len(stored) == len(f'{{"{NAME}":"0123456789abcdef:abc"}}')
    for file in lab.yard.path.parent.iterdir():
        assert b"canary" not in file.read_bytes()

"""What looks like a secret, what only nearly does, and that no text makes looking slow."""

from __future__ import annotations

import time

import pytest

from hush_otel.mapping import patterns
from hush_otel.mapping.patterns import READY, own_pattern
from hush_otel.rules import READY as NAMES

A32 = "a1B2c3D4" * 4


def hits(name: str, text: str) -> list[str]:
    """What a ready pattern would hide."""
    return [text[start:end] for start, end in READY[name](text, text.lower())]


PEM = "-----BEGIN {0}PRIVATE KEY{1}-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQ==\n-----END {0}PRIVATE KEY{1}-----"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        *(
            (f"key: {key}\nnext", [key])
            for key in (
                PEM.format(*kind)
                for kind in (
                    ("", ""),
                    ("RSA ", ""),
                    ("EC ", ""),
                    ("OPENSSH ", ""),
                    ("ENCRYPTED ", ""),
                    ("PGP ", " BLOCK"),
                )
            )
        ),
        (f"{PEM.format('', '')} and {PEM.format('RSA ', '')}", [PEM.format("", ""), PEM.format("RSA ", "")]),
        ("cut -----BEGIN PRIVATE KEY-----\nMIIE", ["-----BEGIN PRIVATE KEY-----\nMIIE"]),
        (PEM.format("", "").replace("PRIVATE", "PUBLIC"), []),
        ("a PRIVATE KEY is kept in a safe", []),
        ("-----END PRIVATE KEY----- alone", []),
        ("-----END CERTIFICATE-----" + PEM.format("", ""), [PEM.format("", "")]),
    ],
)
def test_private_key(text: str, hidden: list[str]) -> None:
    """From its first line to its last, whatever the kind; to the end where it was cut; public ones stay."""
    assert hits("api_key", text) == hidden


def test_every_ready_name_has_a_pattern() -> None:
    """What the configuration accepts can be applied."""
    assert set(READY) == set(NAMES)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("write to ann@example.com, please", ["ann@example.com"]),
        ("ann.o+list%x@mail.eu.example.co.uk.", ["ann.o+list%x@mail.eu.example.co.uk"]),
        ("O'Brien: o'brien@example.ie", ["o'brien@example.ie"]),
        ("<a@b.io>,c@d.io", ["a@b.io", "c@d.io"]),
        ("jörg@müller.de und 李@例子.中国", ["jörg@müller.de", "李@例子.中国"]),
        ("x@xn--e1afmkfd.xn--p1ai", ["x@xn--e1afmkfd.xn--p1ai"]),
        ("mailto:ann@example.com?subject=x", ["ann@example.com"]),
        (f"{'a' * 300}@example.com", [f"{'a' * 300}@example.com"]),
        ("ssh root@10.0.0.1", []),
        ("left@2.0 and pkg@1.2.3", []),
        ("@decorator.name", []),
        ("a @ b.com", []),
        ("ann@localhost", []),
        ("@ann on example.com", []),
    ],
)
def test_email(text: str, hidden: list[str]) -> None:
    """Addresses of any script; no decorators, versions or hosts by number."""
    assert hits("email", text) == hidden


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("4111111111111111", ["4111111111111111"]),
        ("card 4111 1111 1111 1111 exp 12/27", ["4111 1111 1111 1111"]),
        ("4111-1111-1111-1111 12 345", ["4111-1111-1111-1111"]),
        ("12 4111 1111 1111 1111", ["4111 1111 1111 1111"]),
        ("amex 3782 822463 10005.", ["3782 822463 10005"]),
        ("diners 3056 930902 5904", ["3056 930902 5904"]),
        ("mc 5555555555554444, 2223003122003222", ["5555555555554444", "2223003122003222"]),
        ("pan_6011111111111117", ["6011111111111117"]),
        ("jcb 3530111333300000", ["3530111333300000"]),
        ("13 digits 4222222222222", ["4222222222222"]),
        ("dots 4111.1111.1111.1111.", ["4111.1111.1111.1111"]),
        ("amex 3782.822463.10005", ["3782.822463.10005"]),
        ("nbsp 4111\u00a01111\u00a01111\u00a01111 exp", ["4111\u00a01111\u00a01111\u00a01111"]),
        ("narrow 4111\u202f1111\u202f1111\u202f1111", ["4111\u202f1111\u202f1111\u202f1111"]),
        ("dash 4111\u20111111\u20111111\u20111111", ["4111\u20111111\u20111111\u20111111"]),
        ("4111.1111.1111.1112", []),  # check digit
        ("10.41.111.111", []),
        ("4111 1111 1111 1111.50", []),
        ("0.5 4111 1111 1111 1111", ["4111 1111 1111 1111"]),
        ("1.4111111111111111 2.4111111111111111", []),
        ("4111111111111112", []),  # check digit
        ("1111111111111117", []),  # no issuer
        ("411111111111", []),  # 12 digits
        ("41111111111111111111", []),  # 20 digits
        ("a4111111111111111", []),
        ("4111111111111111f", []),
        ("0.4111111111111111", []),
        ("4111111111111111.5", []),
        ("41 11 11 11 11 11 11 11", []),  # nobody prints them so
        ("1764039516000000000", []),  # a time in nanoseconds
        ("4bf92f3577b34da6a3ce929d0e0e4736", []),
        ("+49 30 4111 1111 11", []),
        ("2026-11-25 02:58:36", []),
        ("४१११११११११११११११", []),  # other digits
    ],
)
def test_card(text: str, hidden: list[str]) -> None:
    """Issuer, length, check digit and how it is printed; no part of something longer."""
    assert hits("card", text) == hidden


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer abc123def456", ["abc123def456"]),
        ("bearer  AbCdEfGhIjKlMnOpQrSt", ["AbCdEfGhIjKlMnOpQrSt"]),
        ("BEARER a.b-c_d~e+f/g1==, next", ["a.b-c_d~e+f/g1=="]),
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ["QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]),
        (
            "t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl;",
            ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"],
        ),
        (r"\neyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.", ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0."]),
        ("bearer authentication is used", []),
        ("the bearer of bad news", []),
        ("Bearer", []),
        ("Basic authentication", []),
        ("basic understanding of it", []),
        ("eyJ is how they begin", []),
        ("forbearer abc123def456", []),
    ],
)
def test_bearer(text: str, hidden: list[str]) -> None:
    """The token of a header, JSON web tokens; no prose about them."""
    assert hits("bearer", text) == hidden


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("GET https://joe:s3cret@db.internal/x", ["joe:s3cret"]),
        ("postgres://u:p%40@[::1]:5432/db, redis://:pw@cache", ["u:p%40", ":pw"]),
        ("https://0a1b2c@o1.ingest.example.com/4", ["0a1b2c"]),
        ("amqp://u:a@b@host", ["u:a@b"]),
        ("'mongodb+srv://u:p@h'", ["u:p"]),
        (r'{"url": "https:\/\/u:p@h\/x', ["u:p"]),
        ("https://example.com/@ann and https://npm.example/@types/node", []),
        ("https://example.com?to=a@b and <https://x> a@b", []),
        ("://@host", []),
        ("joe:s3cret@db", []),
    ],
)
def test_userinfo(text: str, hidden: list[str]) -> None:
    """User and password of a URL, whatever its scheme; no @ in its path or query."""
    assert hits("userinfo", text) == hidden


KEYS = [
    "sk-" + A32,
    "sk-proj-" + A32 + "_" + A32,
    "sk-ant-api03-" + A32,
    "sk-lf-0a1b2c3d-0000-0000-0000-000000000000",
    "sk_live_" + A32,
    "rk_test_" + A32,
    "whsec_" + A32,
    "gsk_" + A32,
    "xai-" + A32,
    "pplx-" + A32,
    "hf_" + A32,
    "r8_" + A32,
    "tvly-dev-" + A32,
    "pcsk_" + A32,
    "lsv2_pt_" + "0a1b2c3d" * 4 + "_0a1b2c3d4e",
    "pylf_v1_us_" + A32,
    "AIza" + A32 + "xyz",
    "ya29." + A32,
    "AKIA" + "A1B2C3D4" * 2,
    "ASIA" + "A1B2C3D4" * 2,
    "ghp_" + A32 + "abcd",
    "gho_" + A32 + "abcd",
    "ghs_" + A32 + "abcd",
    "github_pat_" + A32 + "_" + A32,
    "glpat-" + A32[:20],
    "xoxb-123456789012-" + A32,
    "xapp-1-A1-" + A32,
    "dapi" + "0a1b2c3d" * 4,
    "npm_" + A32 + "abcd",
    "pypi-" + A32 * 2,
    "SG." + A32[:22] + "." + A32 + "abcdefghijk",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:8])
def test_api_keys_are_found_wherever_they_stand(key: str) -> None:
    """In a variable, in quotes, in JSON with line ends, at the end."""
    for text in (key, f"KEY={key} ", f'"{key}"', f"a\\n{key}\\n", f"see {key}."):
        assert hits("api_key", text) == [key]


@pytest.mark.parametrize(
    "text",
    [
        "risk-assessment-of-everything-we-do-in-2026",
        "sk-learn-compatible-estimators-and-more",
        "task-" + A32,
        "sk-short1",
        "ask_live_and_learn",
        "AKIAB and ASIA",
        "AKIAA1B2C3D4A1B2C3D4E",
        "ghp_short",
        "hf_hub_download(repo_id)",
        "xoxb-is-a-prefix-of-tokens",
        "dapine sapling",
        "pypi-server",
        "SG.1.2",
    ],
)
def test_words_that_begin_like_keys_stay(text: str) -> None:
    """A prefix alone is no key."""
    assert hits("api_key", text) == []


def test_an_own_pattern_gives_spans_in_characters() -> None:
    """RE2 counts bytes."""
    find = own_pattern("CUST-[0-9]{4}")
    text = "ü CUST-1234 😀 CUST-5678 é"
    assert [text[start:end] for start, end in find(text, text)] == ["CUST-1234", "CUST-5678"]


def test_too_many_matches_of_an_own_pattern_hide_the_text() -> None:
    """So that what starts over after each match is bounded."""
    find = own_pattern("x.*y|x")
    assert find("x" * 2_000, "") == [(0, 2_000)]
    assert len(find("x" * 900, "")) == 900


HARD = {
    "words": "a" * 1000,
    "words and dots": "a." * 500,
    "at signs": "a@" * 500,
    "domains": "a@" + "1." * 499,
    "apostrophes": "a'" * 500,
    "digits": "4" * 1000,
    "digits apart": "4 " * 500,
    "cards": "4111 " * 200,
    "bearers": "bearer " * 143,
    "bearer letters": "bearer " + "a" * 993,
    "basics": "basic aaaa " * 91,
    "jwt heads": "eyJ" * 333,
    "jwt parts": "eyJaaaaa." * 111,
    "sk": "sk-" * 333,
    "sk letters": "sk-" + "a" * 997,
    "xox": "xoxb-" * 200,
    "SG": "SG." * 333,
    "quotes": "'\"" * 500,
    "schemes": "://" * 333,
    "escaped schemes": r":\/\/" * 200,
    "userinfo": "://" + "a" * 997,
    "userinfo and at signs": "://" + "a@" * 498,
    "backslashes": "\\" * 1000,
    "dotted digits": "4." * 500,
    "dotted cards": "4111." * 200,
    "pem": "-----BEGIN PRIVATE KEY-----" * 37,
    "pem labels": "-----BEGIN " + "A " * 494 + "PRIVATE KEY",
    "pem beginnings": "-----BEGIN AAAAAAAAAAAAAAAA" * 37 + "PRIVATE KEY",
}


@pytest.mark.parametrize("hard", HARD)
def test_no_text_makes_looking_slow(hard: str) -> None:
    """300 KB of the worst: in quadratic time it would take minutes."""
    text = HARD[hard] * 300
    lower = text.lower()
    began = time.process_time()
    for find in READY.values():
        find(text, lower)
    assert time.process_time() - began < 10


def test_spans_that_overlap_become_one() -> None:
    """Two patterns may fit the same place."""
    assert patterns.merged([(5, 9), (0, 3), (2, 4), (4, 5)]) == [(0, 4), (4, 5), (5, 9)]

"""S5: how long a comparison takes does not tell how much of a guess was right.

The source is read for comparisons of secrets that stop at the first byte that differs; and the one
of signatures is timed, in the long profile, on a machine that does nothing else.
"""

from __future__ import annotations

import ast
import gc
import random
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import tocsin
from tests.security.door import IS_FULL, OURS, tell
from tests.security.test_signatures import signed
from tocsin.sentry.sender import Issue, webhook
from tocsin.web.signature import is_signed

SOURCE = Path(tocsin.__file__).parent

#: A name with one of these words in it is that of a secret, or of what is made of one.
WORDS = frozenset({
    "csrf", "digest", "digests", "hash", "hashed", "hashes", "hmac", "mac", "password", "passwords",
    "secret", "secrets", "sig", "signature", "signatures", "token", "tokens",
})  # fmt: skip

#: File and comparison to why its time tells nobody anything.
ALLOWED: Mapping[tuple[str, str], str] = {
    ("fake_sentry/control.py", "one.token != said['token']"): "a plaything: whoever may say it"
    " rules the whole fake Sentry",
    ("fake_sentry/server.py", "token.token == text"): "the same",
    ("store/seals.py", "_digest(last, row) != row.seal"): "no secret: whoever may ask reads the log"
    " that it is a digest of",
    ("store/sessions.py", "shown == key_hash(key)"): "a column: the database looks it up",
    ("web/pages/connect.py", "secret != gone"): "who configures an integration is shown its"
    " secrets, and says which one goes",
    ("work/accounts.py", "accounts.password_hash(connection, user.id, is_held=True) != hashed"): (
        "both are what the database has, a moment apart; nobody chooses either"
    ),
    ("work/configure.py", "secret not in stored"): "a name in a file, looked up in a table",
    ("work/configure.py", "secret in shown"): "both are what the database has",
    ("work/connect.py", "secret in integration.signing_secrets"): "both are what Sentry gave us",
    ("work/connectplan.py", "app.secret in here.integration.signing_secrets"): "the same",
    ("work/connectplan.py", "known.token == (wish.own_token or wish.token)"): "a token that Sentry"
    " took from whoever connects, beside the one that is kept",
    ("work/watch.py", "same.digest == known.told_gaps"): "no secret: a digest of the gaps in a"
    " schedule",
}


def name_of(node: ast.expr) -> str:
    """Return the last name of what an expression stands for; of several, all of them."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            found = [name]
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            found = [name]
        case ast.Subscript(value=value) | ast.Starred(value=value) | ast.Await(value=value):
            found = [name_of(value)]
        case ast.Call(func=ast.Attribute(value=value, attr=name)):
            # ``secret.encode()`` is the secret; ``vault.sign()`` is called by its own name.
            found = [name_of(value), name]
        case ast.Call(func=func):
            found = [name_of(func)]
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            found = [name_of(one), name_of(other)]
        case ast.BoolOp(values=values):
            found = [name_of(value) for value in values]
        case _:
            found = []
    return "_".join(found)


def is_secret(node: ast.expr) -> bool:
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", name_of(node)).lower().split("_")
    return not WORDS.isdisjoint(words)


def is_column(node: ast.expr) -> bool:
    """Whether it is a column of a table: the database compares, and nothing comes back but rows."""
    match node:
        case ast.Attribute(value=ast.Name(id="columns") | ast.Attribute(attr="c")):
            return True
    return False


def is_fixed(node: ast.expr) -> bool:
    """Whether everybody knows it: a constant, a number of things."""
    match node:
        case ast.Constant():
            return True
        case ast.UnaryOp(operand=operand):
            return is_fixed(operand)
        case ast.Call(func=ast.Name(id="len" | "sum" | "count")):
            return True
    return False


def compared(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of every comparison of a secret that ends where it differs."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            if not isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
                continue
            pair = (left, right)
            if any(map(is_column, pair)) or any(map(is_fixed, pair)):
                continue
            # ``name in tokens`` looks up a name; ``token in names`` compares a token.
            named = pair if isinstance(operator, ast.Eq | ast.NotEq) else (left,)
            if any(map(is_secret, named)):
                yield node.lineno, ast.unparse(node)


def test_s5_no_secret_is_compared_but_in_constant_time():
    found = {
        (str(path.relative_to(SOURCE)), text): line
        for path in SOURCE.rglob("*.py")
        for line, text in compared(ast.parse(path.read_text("utf-8")))
    }
    assert found.keys() - ALLOWED.keys() == set(), "use hmac.compare_digest, of bytes"
    assert ALLOWED.keys() - found.keys() == set(), "these are no more: strike them out"


@pytest.mark.parametrize(
    "planted",
    [
        "if signature == made: pass",
        "ok = request.headers['signature'] != expected",
        "return row['key_hash'] == shown",
        "ok = hmac.digest(key, body, 'sha256') == given",
        "ok = hmac.new(key, body).hexdigest() == given",
        "ok = self.csrfToken == form.text('x')",
        "ok = given == integration.signing_secrets[0]",
        "ok = a < b == session_token",
        "ok = token in known",
        "ok = secret.encode() not in made",
        "ok = key_hash(key) == stored",
        "assert (x or password) == typed",
    ],
)
def test_s5_a_comparison_that_is_planted_is_found(planted: str):
    tree = ast.parse(f"def f():\n    {planted}" if "return" in planted else planted)
    assert len(list(compared(tree))) == 1


@pytest.mark.parametrize(
    "fine",
    [
        "ok = hmac.compare_digest(signature, made)",
        "query = select(x).where(links.c.key_hash == key_hash(key))",
        "query = select(x).where(columns.key_hash == hashed)",
        "ok = token == ''",
        "ok = len(secrets) == len(others)",
        "ok = signature is None",
        "ok = tokens >= 1",
        "ok = status == 'done'",
    ],
)
def test_s5_what_is_none_is_not_found(fine: str):
    assert list(compared(ast.parse(fine))) == []


# -- timed

PAIRS = 20_000


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Welch's t: how far two means are apart, in standard errors of their difference.

    t = (mean1 - mean2) / sqrt(variance1 / n1 + variance2 / n2), with the variances of samples.
    """
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / error**0.5


def test_s5_the_measure_sees_a_difference_and_none_where_there_is_none():
    chance = random.Random(5)
    here, there = ([chance.gauss(100, 10) for _ in range(5000)] for _ in "ab")
    assert abs(welch(here, there)) < 4.5
    assert abs(welch(here, [value + 2 for value in there])) > 4.5
    assert welch([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == pytest.approx(-2 / (1 / 3 + 4 / 3) ** 0.5)


@pytest.mark.skipif(not IS_FULL, reason="timed on a machine that does nothing else (test-full)")
def test_s5_a_wrong_first_byte_takes_as_long_as_a_wrong_last_one():
    """20,000 pairs, one of each in turn; the slowest hundredth is the machine's, and left out."""
    body = webhook("issue", "created", Issue(id="1", title="E: it broke")).body
    right = signed(body)
    wrong = [
        (b"0" if right[:1] != b"0" else b"1") + right[1:],
        right[:-1] + (b"0" if right[-1:] != b"0" else b"1"),
    ]
    chance, taken = random.Random(5), ([], [])
    clock = time.perf_counter_ns
    gc.disable()
    try:
        for _ in range(PAIRS):
            order = (0, 1) if chance.random() < 0.5 else (1, 0)
            for which in order:
                # Anew each time: where in memory one lies counts for more than what is in it.
                given = bytes(bytearray(wrong[which]))
                began = clock()
                is_right = is_signed(body, given, [OURS])
                taken[which].append(clock() - began)
                assert not is_right
    finally:
        gc.enable()
    bound = sorted(taken[0] + taken[1])[int(PAIRS * 2 * 0.99)]
    first, last = ([one for one in times if one <= bound] for times in taken)
    t = welch(first, last)
    tell(
        f"S5 pairs {PAIRS}, mean {statistics.fmean(first):.0f} and {statistics.fmean(last):.0f} ns,"
        f" t {t:.2f}"
    )
    assert abs(t) < 4.5

"""What a password may be, and how often one may be guessed at."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

SHORTEST, LONGEST = 10, 1000

#: The commonest ones that are long enough; compared without case.
_COMMON = """
    1234567890 0123456789 12345678910 123456789a 1234567891 0987654321 9876543210 1212121212
    1122334455 123123123123 123456123456 111222333444 1472583690 qwertyuiop qwerty1234 qwerty12345
    qwerty123456 1qaz2wsx3edc 1q2w3e4r5t 1q2w3e4r5t6y q1w2e3r4t5 q1w2e3r4t5y6 zaq12wsxcde3
    qazwsxedcrfv qwertzuiop azertyuiop asdfghjkl1 asdfghjkl; zxcvbnm123 abcdefghij abcdefghijk
    abcd123456 abc1234567 abcdef1234 abc123abc123 a123456789 aa12345678 password12 password123
    password1234 password12345 passwordpassword password01 password11 passw0rd12 passw0rd123
    p@ssw0rd12 p@ssw0rd123 p@ssword123 mypassword mypassword1 changeme12 changeme123 changemenow
    letmein123 letmein1234 welcome123 welcome1234 administrator admin12345 admin123456 adminadmin
    admin1234567 root123456 rootrootroot test123456 testtesttest test1234567 iloveyou12 iloveyou123
    iloveyou1234 iloveyouso sunshine12 sunshine123 princess12 princess123 football12 football123
    baseball12 baseball123 superman12 superman123 starwars12 starwars123 dragon1234 monkey1234
    monkey12345 michael123 charlie123 jordan2323 liverpool1 manchester christopher1 basketball
    computer123 internet123 samsung123 google1234 whatever12 correcthorsebatterystaple tocsintocsin
    pagerduty1 opsgenie12
"""
_IS_COMMON = frozenset(_COMMON.split())


def normal(password: str) -> str:
    """Return a password in the form that is hashed: keyboards write one letter in several ways."""
    return unicodedata.normalize("NFC", password)


def fault(password: str, email: str) -> str | None:
    """Return what is wrong with a new password, or None."""
    length, folded = len(normal(password)), password.casefold()
    if not SHORTEST <= length <= LONGEST:
        return f"a password has {SHORTEST} to {LONGEST:,} characters: this one has {length:,}"
    if folded in _IS_COMMON or len(set(folded)) == 1:
        return "this is one of the commonest passwords: take some words that only you put together"
    if folded in (email.casefold(), email.casefold().partition("@")[0]):
        return "the password is the e-mail address: take another"
    return None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of tokens: each try takes one, and they come back one by one."""

    most: int
    #: One comes back in so long.
    every: timedelta

    def left(self, tokens: float, at: datetime, now: datetime) -> float:
        """Return how many there are now, of so many at an instant."""
        return min(float(self.most), tokens + max(now - at, timedelta()) / self.every)

    def wait(self, tokens: float) -> timedelta | None:
        """Return how long it takes until there is one; None: there is."""
        return None if tokens >= 1 else (1 - tokens) * self.every


def _in_15_minutes(most: int, more: int) -> Bucket:
    return Bucket(most, timedelta(minutes=15) / more)


#: However many machines guess at one account: 13 tries in any 15 minutes, and 7 more in a browser
#: that was signed in to it before. Who guesses has no such browser, so that whoever has one gets in
#: while others guess.
ACCOUNT = _in_15_minutes(7, 6)
DEVICE = _in_15_minutes(4, 3)

#: One machine alone does not use up the tries of an account.
ACCOUNT_FROM_SOURCE = _in_15_minutes(4, 2)

#: However many accounts one machine guesses at; a whole office may be behind one address.
SOURCE = _in_15_minutes(30, 60)

#: Links that are asked for.
FORGOT_ACCOUNT = Bucket(3, timedelta(minutes=20))
FORGOT_SOURCE = Bucket(10, timedelta(minutes=3))

#: What the audit log takes of failed tries, at one account and at all that are nobody's.
TOLD = _in_15_minutes(5, 5)
TOLD_OF_NOBODY = _in_15_minutes(20, 20)

"""S7: three hundred titles through every way out; each stays the text that it is."""

from __future__ import annotations

import csv
import email
import email.policy
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import icalendar
import pytest
import structlog
from markdown_it import MarkdownIt

from tests.browsing import Browser, signed_in
from tests.builders import NOW
from tests.security.door import IS_FULL
from tests.security.titles import ALONE, PARTS, TITLES
from tests.world import KEY, ONE_STEP, SERVICE, Heard, World
from tocsin import logs
from tocsin.calendars.feed import Duty, render
from tocsin.channels.email import SmtpServer, _mail
from tocsin.cli.output import print_json, print_table, say
from tocsin.core.message import words_of_many, words_of_notice
from tocsin.core.plans import Schedule, Shift
from tocsin.core.text import clean, one_line
from tocsin.sentry.sender import encode
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.web.live import event
from tocsin.web.pages import audit
from tocsin.web.pages.export import escaped

SERVER = SmtpServer(
    host="127.0.0.1", port=25, user=None, password=None, sender="t@example.com", is_tls=False
)

HEADERS = ["Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "Content-Type",
           "Content-Transfer-Encoding", "MIME-Version"]  # fmt: skip

PLAIN = "a title that is text"

#: What a terminal obeys.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

PEOPLE = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods:
      - {name: hook, channel: webhook, address: "https://phones.example.com/ann"}
  - {email: owner@example.com, name: Owner, role: owner}
"""


def test_there_are_enough_of_them():
    assert len(TITLES) >= 300


def body(number: int, title: str) -> bytes:
    issue = {"id": str(number), "title": title, "level": "error", "culprit": title,
             "project": {"name": title, "slug": "p"},
             "permalink": f"https://s.example/{number}/"}  # fmt: skip
    return encode({"action": "created", "data": {"issue": issue}, "actor": {"name": title}})


@pytest.fixture(scope="module")
def module_url(sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    from tests.conftest import fresh_sqlite

    return fresh_sqlite(tmp_path_factory.mktemp("titles"), sqlite_template)


@pytest.fixture(scope="module")
def told(module_url: str, vault: Vault) -> Iterator[World]:
    """Give a world in which every title was heard once, and a plain one last."""
    database = Database(module_url, checkpoints=True)
    with World(database, vault) as world:
        world.configure(PEOPLE, ONE_STEP, SERVICE.replace(", team: payments", ""))
        with world.held():
            for number, title in enumerate((*TITLES, PLAIN), 1):
                assert world.post(f"/in/{KEY}", body(number, title)).status_code == 202
        yield world
        world.forget()
    database.close()


@pytest.fixture(scope="module")
def heard(told: World) -> list[tuple[str, Heard]]:
    """Give every message that went out for a title, with the title."""
    by_number = {str(n): title for n, title in enumerate((*TITLES, PLAIN), 1)}
    found = []
    for one in told.heard:
        key = json.loads(one.message.document)["data"]["incident"]["dedup_key"].rpartition(":")[2]
        if key in by_number:
            found.append((by_number[key], one))
    return found


def test_s7_each_is_told_once(heard: list[tuple[str, Heard]]):
    assert sorted(title for title, _ in heard) == sorted((*TITLES, PLAIN))


def test_s7_a_mail_has_its_headers_and_its_lines_and_no_others(heard: list[tuple[str, Heard]]):
    """The words of a message are the same by every channel; here they become a mail."""
    mails = dict(heard)
    plain = mails[PLAIN].message
    shape = [line.partition(":")[0][:10] for line in plain.text.splitlines()[2:]]
    for title, one in mails.items():
        raw = _mail(one.message, "ann@example.com", SERVER, "t.example.com").as_bytes(
            policy=email.policy.SMTP
        )
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        assert mail.keys() == HEADERS, title
        assert (mail["To"], mail["From"]) == ("ann@example.com", "t@example.com")
        assert mail.get_content_type() == "text/plain"
        assert not mail.is_multipart()
        assert mail.defects == []
        assert not CONTROL.search(str(mail["Subject"]))
        text = mail.get_content()
        lines = text.splitlines()
        assert [line.partition(":")[0][:10] for line in lines[2:] if line] == [
            line for line in shape if line
        ], title
        assert not CONTROL.search(text.replace("\r\n", "\n")), title
        links = [line for line in lines if line.startswith("Acknowledge:")]
        assert len(links) == 1
        assert links[0].startswith("Acknowledge:  http://tocsin.test/")


def test_s7_a_message_about_many_says_each_in_its_line(told: World):
    from tests.builders import an_incident

    for title in TITLES:
        made = [an_incident(title=clean(title)), an_incident(title=PLAIN)]
        said = words_of_many(made, clean(title), "http://tocsin.test/")
        assert len(said.text.splitlines()) == 6, title
        assert len(said.subject.splitlines()) == 1
        assert len(words_of_notice(title, title, title).text.splitlines()) == 3 - (title == "")


def test_s7_a_webhook_has_the_title_as_a_text(heard: list[tuple[str, Heard]]):
    for title, one in heard:
        data = json.loads(one.message.document)["data"]
        assert data["incident"]["title"] == clean(title)
        assert set(data) == {"incident", "user", "reason", "count", "acknowledge_url"}


# -- the page


class _Shape(HTMLParser):
    """The elements of a page with the names of their attributes, and where its links lead."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(sorted(name for name, _ in attrs))))
        self.links += [v or "" for n, v in attrs if n in ("href", "src", "action", "hx-get")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.shape.append(("!--", ()))

    def unknown_decl(self, data: str) -> None:
        self.shape.append(("![", ()))


def shape_of(source: str) -> _Shape:
    parser = _Shape()
    parser.feed(source)
    parser.close()
    return parser


def number_of(told: World, title: str) -> int:
    with told.database.read() as connection:
        from sqlalchemy import select

        from tocsin.store.tables import incidents

        at = (*TITLES, PLAIN).index(title) + 1
        query = select(incidents.c.number).where(incidents.c.dedup_key == f"sentry:issue:{at}")
        return int(connection.scalar(query) or 0)


def shown(told: World, browser: Browser, title: str, path: str = "") -> str:
    with told.held():
        number = number_of(told, title)
        response = browser._ask("GET", f"/incidents/{number}{path}")
    assert response.status_code == 200, (title, path)
    # Equal but for what is of one incident.
    return str(response.text)


def test_s7_no_title_is_more_than_text_on_its_page(told: World):
    """Elements, attributes and links are those of the plain one."""
    browser = signed_in(told, "owner")
    plain = shape_of(shown(told, browser, PLAIN))
    allowed = re.compile(
        r"(/(?!/)|#|\?|https://s\.example/|http://tocsin\.test/|https?://localhost)"
    )
    # All of them in the full profile; alone is where most media begin to obey.
    for title in TITLES if IS_FULL else ALONE[::2]:
        page = shape_of(shown(told, browser, title))
        assert page.shape == plain.shape, title
        assert [link for link in page.links if not allowed.match(link)] == [], title
        assert "".join(page.text).count("7*7") or "7*7" not in title
        assert "49" not in "".join(page.text).replace(title, "") or "7*7" not in title, title


def test_s7_no_title_is_more_than_text_in_lists(told: World):
    """A row each, of one shape, in as many pages as there are."""
    browser, rows, path = signed_in(told, "owner"), 0, "/incidents"
    with told.held():
        while path:
            source = str(browser._ask("GET", path).text)
            table = source.partition("<tbody")[2].partition("</tbody>")[0]
            shapes = {tuple(shape_of("<tr" + row).shape) for row in table.split("<tr")[1:]}
            rows += table.count("<tr")
            assert len(shapes) == 1, path
            more = re.search(r'href="(/incidents\?[^"]*(?:cursor|after)=[^"]*)"', source)
            path = more[1].replace("&amp;", "&") if more else ""
    assert rows >= 50


def test_s7_no_title_is_more_than_text_in_markdown(told: World):
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    browser = signed_in(told, "owner")

    def kinds(source: str) -> list[str]:
        return [
            child.type
            for token in reader.parse(source)
            for child in (token, *(token.children or ()))
            if child.type not in ("text", "text_special", "softbreak")
        ]

    for title in TITLES:
        assert kinds(escaped(clean(title))) in (kinds(PLAIN), []), title
    plain = kinds(shown(told, browser, PLAIN, ".md"))
    for title in ALONE if IS_FULL else ALONE[::5]:
        assert kinds(shown(told, browser, title, ".md")) == plain, title


def test_s7_no_title_ends_a_message_of_a_stream():
    for title in TITLES:
        written = event("rows", f"<td>{clean(title)}</td>").decode()
        lines = written.removesuffix("\n\n").split("\n")
        assert lines[0] == "event: rows"
        assert all(line.startswith("data: ") for line in lines[1:]), title
        assert "\r" not in written


# -- tables, calendars, terminals, logs, metrics


def test_s7_no_cell_of_a_table_is_a_formula():
    rows = [[audit._cell(clean(title)), PLAIN] for title in TITLES]
    read = list(csv.reader(io.StringIO(audit._written(rows).decode(), newline="")))
    assert len(read) == len(TITLES)
    for title, row in zip(TITLES, read, strict=True):
        assert len(row) == 2, title
        assert not row[0].lstrip().startswith(audit._FORMULA), title
        assert one_line(clean(title)) in row[0]


def test_s7_no_name_is_more_than_a_name_in_a_calendar():
    """Calendars have names of people and schedules; titles do as names."""
    ends = NOW + timedelta(hours=1)
    for title in TITLES:
        name = clean(title)
        schedule = Schedule(id="sch_1", name=name, time_zone="UTC", layers=(), overrides=())
        shift = Shift(user_id="usr_1", begins_at=NOW, ends_at=ends, layer=name)
        duty = Duty(schedule=schedule, shift=shift, user_name=name)
        raw = render(name, [duty], NOW)
        lines = raw.decode().split("\r\n")
        assert lines.count("BEGIN:VEVENT") == lines.count("END:VEVENT") == 1, title
        assert "\n" not in "".join(lines), title
        assert not CONTROL.search("".join(lines).replace("\t", "")), title
        calendar = icalendar.Calendar.from_ical(raw)
        kinds = [component.name for component in calendar.walk()]
        assert kinds.count("VEVENT") == 1
        assert set(kinds) <= {"VCALENDAR", "VTIMEZONE", "STANDARD", "DAYLIGHT", "VEVENT"}, title
        [made] = calendar.walk("VEVENT")
        assert "ATTENDEE" not in made


def test_s7_no_title_is_obeyed_by_a_terminal(capsysbinary: pytest.CaptureFixture[bytes]):
    print_table(("title",), [[clean(title)] for title in TITLES])
    table = capsysbinary.readouterr().out.decode()
    assert len(table.splitlines()) == len(TITLES) + 1
    for title in TITLES:
        say(clean(title))
    print_json([clean(title) for title in TITLES])
    out = capsysbinary.readouterr().out.decode()
    for text in (table, out):
        assert CONTROL.findall(text) == []
    assert json.loads(out[out.rindex('[\n  "') :]) == [clean(title) for title in TITLES]


@pytest.mark.parametrize("form", ["json", "console"])
def test_s7_no_title_begins_a_line_of_a_log(form: str):
    out = io.StringIO()
    before = structlog.get_config()
    try:
        logs.configure(form, out)
        log = structlog.get_logger("titles")
        for title in TITLES:
            log.info("a title", title=clean(title), number=1)
    finally:
        structlog.configure(**before)
    lines = out.getvalue().splitlines()
    assert len(lines) == len(TITLES)
    assert not CONTROL.search(out.getvalue())


def test_s7_no_title_is_a_label_of_a_metric(told: World):
    def labels() -> set[str]:
        text = told.raw("GET", "/metrics").text
        return set(re.findall(r"^[a-z_]+(?:\{[^}]*\})?(?= )", text, re.MULTILINE))

    before = labels()
    for title in (*PARTS["metrics"], "another"):
        told.post(f"/in/{KEY}", body(900, title), sentry_hook_resource="issue")
    assert labels() == before
    assert not [label for label in before if "evil" in label or "Bcc" in label]

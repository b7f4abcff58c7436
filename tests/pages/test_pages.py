"""What every page has in common."""

from __future__ import annotations

from tests.browsing import Browser, signed_in
from tests.world import World


def test_whoever_is_not_signed_in_is_asked_to(world: World):
    nobody = Browser(world)
    response = nobody.get("/incidents?status=triggered")
    assert response.status_code == 200
    assert "Sign in" in nobody.words
    assert 'name="next" value="/incidents?status=triggered"' in nobody.text


def test_a_page_that_is_not_there_says_so_in_a_page(world: World):
    ann = signed_in(world, "ann")
    assert ann.get("/nowhere").status_code == 404
    assert "Not Found" in ann.words


def test_every_answer_trusts_nothing_but_our_own_files(world: World):
    for path in ("/login", "/nowhere", "/static/x/tocsin.css", "/api/v1/me", "/healthz"):
        headers = Browser(world).get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path


def test_a_form_without_its_token_changes_nothing(world: World):
    ann = signed_in(world, "ann")
    response = ann._ask("POST", "/logout", b"", content_type="application/x-www-form-urlencoded")
    assert response.status_code == 403
    assert ann.get("/incidents").status_code == 200
    assert "Incidents" in ann.words


def test_a_form_from_another_site_changes_nothing(world: World):
    ann = signed_in(world, "ann")
    ann.get("/incidents")
    token = ann.text.partition('name="_csrf_token" value="')[2].partition('"')[0]
    body = f"_csrf_token={token}".encode()
    form = "application/x-www-form-urlencoded"
    for foreign in ({"sec_fetch_site": "cross-site"}, {"origin": "https://evil.example"}):
        response = ann._ask("POST", "/logout", body, content_type=form, **foreign)
        assert response.status_code == 403, foreign
    assert ann._ask("POST", "/logout", body, content_type=form).status_code == 303


def test_a_form_too_large_to_read_beside_webhooks_is_refused_unread(world: World):
    nobody = Browser(world)
    form = "application/x-www-form-urlencoded"
    for body in (b"a=&" * 3000, b"a=" + b"%41" * 50_000):
        assert nobody._ask("POST", "/login", body, content_type=form).status_code == 413


def test_what_was_done_is_said_however_it_is_written(world: World):
    ann = signed_in(world, "ann")
    ann.get("/incidents")
    ann.post("/me/profile", {"name": "\N{FOX FACE}" * 150, "time_zone": "UTC"}, follow=False)
    cookies = [
        line
        for line in ann.response.headers.get_list("set-cookie")
        if line.startswith("tocsin_said")
    ]
    assert all(len(line) < 4000 for line in cookies)

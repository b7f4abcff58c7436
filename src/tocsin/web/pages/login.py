"""Signing in and out, and what to do about a password that is forgotten or to be changed."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post

from tocsin.core.access import Action
from tocsin.web.pages.form import Form
from tocsin.web.pages.visit import Visit, Visiting, here
from tocsin.web.problems import STATUS_OF
from tocsin.work.accounts import Accounts, WrongPassword
from tocsin.work.contacts import Mistaken
from tocsin.work.hashing import Throttled

#: What a try at a password may come to; each is shown beside the form.
REFUSALS = (WrongPassword, Throttled, Mistaken)


def accounts_of(visit: Visit) -> Accounts:
    """Return where people are let in and out."""
    back = visit.back
    return Accounts(back.desk.database, back.desk.plans, back.vault, back.has_mail)


def secret(form: Form, name: str = "password") -> str:
    """Return a password as it was typed, spaces and all."""
    return next(iter(form.fields.get(name, ())), "")


def refused(visit: Visit, template: str, error: Exception, **context: Any) -> Response[bytes]:
    """Show a form again, with what was wrong; and when to try again, where that is it."""
    status = 422 if isinstance(error, Mistaken) else STATUS_OF[type(error)]
    page = visit.page(template, status, wrong=str(error), **context)
    if isinstance(error, Throttled):
        page.headers["retry-after"] = str(error.seconds)
    return page


@get("/", opt={"action": None}, sync_to_thread=True)
def home(visit: Visiting) -> Response[bytes]:
    """Lead to what people come for."""
    return visit.go("/incidents" if visit.visitor else "/login")


@get("/login", opt={"action": None}, sync_to_thread=True)
def login_form(visit: Visiting) -> Response[bytes]:
    """Ask who it is."""
    if visit.visitor:
        return visit.go(here(visit.query.text("next")))
    return visit.page("login.html", email="", next=here(visit.query.text("next")), wrong="")


@post("/login", opt={"action": None}, sync_to_thread=True)
def login(visit: Visiting) -> Response[bytes]:
    """Let somebody in."""
    form = visit.form
    email, path = form.text("email"), here(form.text("next"))
    try:
        entry = accounts_of(visit).sign_in(email, secret(form), visit.guest, visit.now)
    except REFUSALS as error:
        return refused(visit, "login.html", error, email=email[:320], next=path)
    return visit.let_in(entry, path)


@post("/logout", opt={"action": None}, sync_to_thread=True)
def logout(visit: Visiting) -> Response[bytes]:
    """Let this browser out."""
    if visit.visitor:
        accounts_of(visit).sign_out(visit.user, visit.visitor.session.id, visit.address, visit.now)
    return visit.let_out("/login", "You are signed out.")


@get("/forgot", opt={"action": None}, sync_to_thread=True)
def forgot_form(visit: Visiting) -> Response[bytes]:
    """Ask whose password is forgotten; without a mail server say who can help."""
    return visit.page("forgot.html", email="", is_sent=False, wrong="")


@post("/forgot", opt={"action": None}, sync_to_thread=True)
def forgot(visit: Visiting) -> Response[bytes]:
    """Mail a link to whoever has the address; say the same whether somebody has."""
    email = visit.form.text("email")
    try:
        accounts_of(visit).forgot(email, visit.address, visit.now)
    except Throttled as error:
        return refused(visit, "forgot.html", error, email=email[:320], is_sent=False)
    visit.back.wake()
    return visit.page("forgot.html", email=email[:320], is_sent=True, wrong="")


@get("/password", opt={"action": Action.READ}, sync_to_thread=True)
def password_form(visit: Visiting) -> Response[bytes]:
    """Ask for the password there is, and the one there shall be."""
    return visit.page("password.html", wrong="")


@post("/password", opt={"action": Action.READ}, sync_to_thread=True)
def change_password(visit: Visiting) -> Response[bytes]:
    """Change one's own password."""
    old, new = secret(visit.form, "old"), secret(visit.form)
    try:
        entry = accounts_of(visit).change_password(visit.user, old, new, visit.guest, visit.now)
    except REFUSALS as error:
        return refused(visit, "password.html", error)
    return visit.let_in(
        entry, "/me", "Your password is changed, and every other browser is signed out."
    )


PAGES: tuple[Any, ...] = (
    home, login_form, login, logout, forgot_form, forgot, password_form, change_password,
)  # fmt: skip

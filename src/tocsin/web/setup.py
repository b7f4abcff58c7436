"""What people set up, thing by thing: one set of handlers, made for each collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, get_type_hints

import msgspec
from litestar import Controller, Request, delete, get, patch, post, put
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from tocsin.core.access import Action, Caller, may
from tocsin.store.lists import Page
from tocsin.store.views import IncidentView
from tocsin.web.back import Back, Cursor, Limit, asked
from tocsin.work.collection import Collection, Shown
from tocsin.work.dated import AbsenceTable, AbsenceView, PreviewTable, WindowTable, WindowView
from tocsin.work.edit import KINDS
from tocsin.work.schedulefile import Table, host_of

Asking: TypeAlias = Request[Any, Any, State]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A collection as the API has it."""

    path: str
    #: What one is called.
    noun: str
    body: type[Table]
    view: type[msgspec.Struct]
    #: What making, changing and removing one needs; the collection may ask for more.
    writes: Action = Action.CONFIGURE


def _view(section: str, **more: Any) -> type[msgspec.Struct]:
    """Return a section's table as it is shown: with its id, and more."""
    body = KINDS[section].body
    names = zip(body.__struct_fields__, body.__struct_encode_fields__, strict=True)
    hints = get_type_hints(body)
    fields = [(written, hints[name]) for name, written in names]
    optional = [(name, kind | None, None) for name, kind in more.items()]
    return msgspec.defstruct(
        body.__name__.replace("Table", "View"),
        [("id", str), *fields, *optional],
        namespace={"__doc__": body.__doc__},
        module=__name__,
        kw_only=True,
    )


RESOURCES = (
    *(
        Resource(
            path=section.replace("_", "-"),
            noun=kind.noun,
            body=kind.body,
            # A new integration tells its addresses, once.
            view=_view(section, **({"urls": list[str]} if section == "integrations" else {})),
            writes=Action.ADMINISTER if section == "users" else Action.CONFIGURE,
        )
        for section, kind in KINDS.items()
    ),
    Resource(
        path="maintenance-windows", noun="maintenance window", body=WindowTable, view=WindowView
    ),
    Resource(
        path="absences", noun="absence", body=AbsenceTable, view=AbsenceView, writes=Action.RESPOND
    ),
)


def _asked(request: Asking, state: State, path: str) -> tuple[Back, Collection, Caller]:
    back, caller = asked(request, state)
    return back, back.collections[path], caller


def controller(resource: Resource) -> type[Controller]:
    """Return the handlers of one collection."""
    path, noun, view = resource.path, resource.noun, resource.view
    an = f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
    handlers = _handlers(path)

    def route(make: Any, name: str, summary: str, at: str, action: Action, **types: Any) -> Any:
        handler = handlers[name]
        handler.__doc__ = summary
        handler.__annotations__ = {**get_type_hints(handler, include_extras=True), **types}
        return make(at, opt={"action": action}, sync_to_thread=True, summary=summary)(handler)

    body: Any = JSONBody
    one, write, shown = "/{reference:str}", resource.writes, {"return": view}
    given = {"data": body[resource.body], **shown}
    return type(
        f"{view.__name__}Controller",
        (Controller,),
        {
            "__doc__": f"Every {noun}.",
            "path": f"/{path}",
            "tags": (path,),
            "list_them": route(
                get, "list_them", f"List every {noun}.", "/", Action.READ,
                **{"return": Page[view]},  # type: ignore[valid-type]
            ),
            "get_one": route(get, "get_one", f"Show {an}.", one, Action.READ, **shown),
            "create": route(post, "create", f"Make {an}.", "/", write, **given),
            "replace": route(put, "replace", f"Let {an} be exactly so.", one, write, **given),
            "change": route(
                patch, "change", f"Change the given fields of {an}.", one, write, **shown
            ),
            "remove": route(delete, "remove", f"Take {an} out of use.", one, write),
        },
    )  # fmt: skip


def _handlers(path: str) -> dict[str, Callable[..., Any]]:
    """Return the handlers of the collection at a path, by name."""

    def list_them(
        _self: Any, request: Asking, state: State, limit: Limit = 50, cursor: Cursor = None
    ) -> Any:
        _, things, caller = _asked(request, state, path)
        page = things.page(limit, cursor, caller)
        return Page(tuple(_open_to(request, one) for one in page.items), page.next)

    def get_one(_self: Any, request: Asking, state: State, reference: FromPath[str]) -> Any:
        _, things, caller = _asked(request, state, path)
        return _open_to(request, things.one(reference, caller))

    def create(_self: Any, request: Asking, state: State, data: Any) -> Any:
        back, things, caller = _asked(request, state, path)
        return _seen(back, things.create(data, caller, back.clock()))

    def replace(
        _self: Any, request: Asking, state: State, reference: FromPath[str], data: Any
    ) -> Any:
        back, things, caller = _asked(request, state, path)
        return _seen(back, things.replace(reference, data, caller, back.clock()))

    def change(
        _self: Any,
        request: Asking,
        state: State,
        reference: FromPath[str],
        data: JSONBody[dict[str, Any]],
    ) -> Any:
        back, things, caller = _asked(request, state, path)
        return _seen(back, things.merge(reference, data, caller, back.clock()))

    def remove(_self: Any, request: Asking, state: State, reference: FromPath[str]) -> None:
        back, things, caller = _asked(request, state, path)
        things.remove(reference, caller, back.clock())
        back.changed()

    return {one.__name__: one for one in (list_them, get_one, create, replace, change, remove)}


def _open_to(request: Asking, shown: Any) -> Any:
    """Return what a caller may see: the addresses of calendars are secrets of who configures."""
    if not isinstance(shown, dict) or may(request.state.caller.role, Action.CONFIGURE):
        return shown
    for layer in shown.get("layers", ()):
        if layer.get("calendar"):
            layer["calendar"] = host_of(layer["calendar"])
    return shown


def _seen(back: Back, shown: Shown) -> Shown:
    """Return what a change made, once it is seen everywhere in this process."""
    back.changed()
    return shown


@post(
    "/maintenance-windows/preview",
    opt={"action": Action.READ},
    sync_to_thread=True,
    status_code=200,
    tags=["maintenance-windows"],
)
def preview_window(
    request: Asking, state: State, data: JSONBody[PreviewTable]
) -> Page[IncidentView]:
    """Show the latest incidents (7 days, at most 50) that a maintenance window would have matched.

    Services are compared with each incident's. ``match`` is compared with what opened it, read
    again from its delivery: every field of a route. Where the delivery is no longer kept, or the
    incident was opened by hand, only its title is known, and no other field matches.
    """
    back, caller = asked(request, state)
    return Page(tuple(back.hindsight.matched(data, caller, back.clock())), None)


SETUP: tuple[Any, ...] = (*(controller(resource) for resource in RESOURCES), preview_window)

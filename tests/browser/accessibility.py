"""Whether everybody can use a page, as far as axe can tell."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

GRAVE = ("serious", "critical")

#: Options of ``axe.run``; what style sheets of other hosts say is not asked, for there are none.
EVERY_RULE = "{resultTypes: ['violations'], preload: false}"
CONTRAST = "{resultTypes: ['violations'], preload: false, runOnly: ['color-contrast']}"


def grave_findings(page: Page, rules: str = EVERY_RULE) -> list[str]:
    """Return every serious or critical finding of axe on a page as it is shown now."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE_SCRIPT)
    all_found: list[Any] = page.evaluate(f"axe.run({rules}).then(said => said.violations)")
    lines = []
    for one in all_found:
        if one["impact"] not in GRAVE:
            continue
        lines.append(f"{one['impact']}: {one['help']} ({one['id']})")
        for node in one["nodes"]:
            lines.append(f"  {node['html']}")
            lines.extend(f"    {line.strip()}" for line in node["failureSummary"].splitlines())
    return lines


def assert_accessible(page: Page) -> None:
    """Fail with every grave finding on a page."""
    found = grave_findings(page)
    assert not found, f"{page.url} has grave findings:\n" + "\n".join(found)

"""Whether everybody can use a page, as far as axe can tell."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

GRAVE = ("serious", "critical")


def assert_accessible(page: Page) -> None:
    """Fail with every serious or critical finding of axe on a page as it is shown now."""
    found = [one for one in Axe().run(page).response["violations"] if one["impact"] in GRAVE]
    lines = []
    for one in found:
        lines.append(f"{one['impact']}: {one['help']} ({one['id']})")
        for node in one["nodes"]:
            lines.append(f"  {node['html']}")
            lines.extend(f"    {line.strip()}" for line in node["failureSummary"].splitlines())
    assert not found, f"{page.url} has {len(found)} grave findings:\n" + "\n".join(lines)

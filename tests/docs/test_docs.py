"""The docs tell the truth: generated pages are fresh, links lead somewhere, examples work."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tocsin import dialects
from tocsin.channels.base import REGISTRY
from tocsin.cli import app as commands
from tocsin.config import SETTINGS
from tocsin.store import tables
from tocsin.work import configfile

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
GENERATED = runpy.run_path(str(ROOT / "scripts" / "docs.py"))

#: A Markdown link or picture: its target without the title.
LINK = re.compile(r"\]\(([^)\s]+)\)")


#: A picture that is shown by a tag: for its width, or one for light and one for dark.
TAG = re.compile(r'(?:src|srcset)="([^"]+)"')


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", GENERATED["PAGES"])
def test_a_generated_page_is_what_its_source_says(page: str) -> None:
    stored = (ROOT / "docs" / "reference" / page).read_text("utf-8")
    assert stored == GENERATED["PAGES"][page](), "run `make docs` and commit what changed"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    broken = [
        target
        for target in LINK.findall(page.read_text("utf-8"))
        if "://" not in target
        and not target.startswith("#")
        and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert broken == []


def test_every_picture_that_is_shown_is_there_and_every_one_that_is_there_is_shown() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for pattern in (LINK, TAG)
        for target in pattern.findall(page.read_text("utf-8"))
        if "/pictures/" in target
    }
    assert shown == set((ROOT / "docs" / "pictures").iterdir())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_heading_that_a_link_names_is_there(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        path, sharp, anchor = target.partition("#")
        if "://" in target or not sharp:
            continue
        text = (page.parent / path).read_text("utf-8") if path else page.read_text("utf-8")
        headings = {
            re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        assert anchor in headings, f"{target} names no heading"


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        page = page / "README.md" if page.is_dir() else page
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        todo += [
            (page.parent / target.partition("#")[0]).resolve()
            for target in LINK.findall(page.read_text("utf-8"))
            if "://" not in target
        ]
    assert set(PAGES) == reached


def test_every_page_that_the_program_names_is_there() -> None:
    for path in (ROOT / "src").rglob("*.*"):
        if path.suffix in (".py", ".toml"):
            for named in re.findall(r"docs/[a-z/-]+\.md", path.read_text("utf-8")):
                assert (ROOT / named).is_file(), f"{path.relative_to(ROOT)} names {named}"


def test_every_claim_of_the_readme_points_to_a_file_that_is_there() -> None:
    claims = [line for line in readme("- **").splitlines() if line]
    assert len(claims) >= 4
    targets = LINK.findall("\n".join(claims))
    assert [target for target in targets if target.startswith("tests/")], "a claim needs its test"


def readme(start: str) -> str:
    text = (ROOT / "README.md").read_text("utf-8")
    return text[text.index(start) : text.index("## Try it")]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 100


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    said = {
        name.removesuffix("_FILE")
        for page in PAGES
        for name in re.findall(r"TOCSIN_[A-Z_]*[A-Z]", page.read_text("utf-8"))
    }
    there = {setting.variable for setting in SETTINGS}
    assert said - {"TOCSIN_TEST_POSTGRES_URL", "TOCSIN_TEST_CHROMIUM"} == there


def test_every_command_is_on_the_page_of_commands() -> None:
    import typer.main

    group = typer.main.get_command(commands.app)
    found = set()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        found |= {f"{name} {sub}" for sub in below} if below else {name}
    assert found == set(GENERATED["COMMANDS"])


def test_every_command_that_the_docs_call_exists() -> None:
    first = {command.split()[0] for command in GENERATED["COMMANDS"]}
    for page in PAGES:
        for word in re.findall(r"`tocsin ([a-z-]+)", page.read_text("utf-8")):
            assert word in first, f"{name_of(page)} calls `tocsin {word}`"


@pytest.mark.parametrize("name", dialects.NAMES)
def test_every_dialect_says_in_words_what_its_examples_show(name: str) -> None:
    table = dialects.table(name)
    assert len({example.says for example in table.examples}) == len(table.examples) > 0


def test_every_channel_is_in_the_configuration_files_page() -> None:
    page = (ROOT / "docs/reference/configuration-file.md").read_text("utf-8")
    for channel in REGISTRY:
        assert f"`{channel}`" in page


def test_every_section_and_field_of_the_configuration_file_is_on_its_page() -> None:
    page = (ROOT / "docs/reference/configuration-file.md").read_text("utf-8")
    words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`[^`]*`", page))))
    assert set(fields(msgspec.inspect.type_info(configfile.File))) <= words


def fields(kind: msgspec.inspect.Type) -> Iterator[str]:
    """Yield the name of every field in a type of the file, all the way down."""
    match kind:
        case msgspec.inspect.StructType():
            for field in kind.fields:
                yield field.encode_name
                yield from fields(field.type)
        case msgspec.inspect.UnionType():
            for one in kind.types:
                yield from fields(one)
        case msgspec.inspect.ListType():
            yield from fields(kind.item_type)


def test_the_example_file_is_valid() -> None:
    text = (ROOT / "examples" / "tocsin.yaml").read_text("utf-8")
    file, _ = configfile.parse(text, "tocsin.yaml")
    assert file.users
    assert file.integrations


#: Tables that hold what is our own business, and no word of the people who use Tocsin.
INNER_TABLES = {"delivery_keys", "inbox_partitions", "installation"}


def test_every_table_of_the_database_is_made_of_words_of_the_glossary() -> None:
    glossary = (ROOT / "docs/glossary.md").read_text("utf-8").lower()
    words = {word for row in re.findall(r"\*\*(.+?)\*\*", glossary) for word in row.split()}
    words |= {"bodies", "members", "assignees", "user"}  # of a delivery, a team, an incident
    for table in set(tables.metadata.tables) - INNER_TABLES:
        for word in table.split("_"):
            singular = word.removesuffix("s")
            known = {word, singular, word.replace("ies", "y")} & words
            assert known, f"{table}: {word} is not in the glossary"


@pytest.mark.parametrize("name", ["run", "dev", "audit"])
def test_requirements_are_pinned_with_hashes_and_name_no_index(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    assert "://" not in text
    assert "--index" not in text
    pins = re.findall(r"^[a-z0-9].*$", text, re.MULTILINE)
    assert len(pins) > 10
    for pin in pins:
        assert re.match(r"[a-z0-9._-]+(\[.+\])?==\S+.* \\$", pin), pin
    assert text.count("--hash=sha256:") >= len(pins)


def test_what_is_deployed_names_settings_that_there_are():
    """A misspelt one would stop the start."""
    known = {setting.variable for setting in SETTINGS}
    for file in sorted((ROOT / "deploy").iterdir()):
        named = set(re.findall(r"TOCSIN_[A-Z_]+[A-Z]", file.read_text()))
        assert named <= known | {"TOCSIN_NAME"}, file.name

"""Every table, constraint and index. The migrations must add up to exactly this (a test).

Two rules hold everywhere: an invariant is an index, never a hope; and the hot tables carry
``service_id`` and no foreign key to ``deliveries``, so that those can be partitioned and dropped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware instant in UTC; on SQLite as text of fixed width, which sorts as time does."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use ``timestamptz`` where there is one."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a naive time here: later it would be an hour off, twice a year."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        utc = value.astimezone(UTC)
        if dialect.name != "sqlite":
            return utc
        return f"{utc.isoformat(timespec='microseconds')[:-6]}Z"

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return UTC."""
        if value is None or dialect.name != "sqlite":
            return value if value is None else value.astimezone(UTC)
        return datetime.fromisoformat(value)


class Document(TypeDecorator[Any]):
    """A small JSON document, kept as text on both databases: one behaviour, no surprises."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Encode."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        """Decode to plain values."""
        return None if value is None else msgspec.json.decode(value)


#: Counts itself up; SQLite does that for INTEGER only.
Serial = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[str]:
    return Column("id", String(40), primary_key=True)


def _ref(name: str, to: str, *, nullable: bool = False, **options: Any) -> Column[str]:
    return Column(name, String(40), ForeignKey(f"{to}.id"), nullable=nullable, **options)


def _live(name: str, table: str) -> Index:
    """One living row per name: a deleted one frees its name but stays for what refers to it."""
    return Index(
        f"uq_{table}_{name}_live",
        name,
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    )


# -- configuration ------------------------------------------------------------------------------

#: One row. ``revision`` counts every change of configuration; caches compare it.
installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    #: A known text, encrypted: whoever cannot read it has other keys than this database.
    Column("key_check", Text, nullable=False),
    Column("fallback_user_id", String(40)),
    #: Steps of the first run that were put off: a list of their names.
    Column("skipped_steps", Document),
    #: The seal of the latest row of the audit log that has one, and how many have.
    Column("audit_seal", String(64)),
    Column("audit_sealed", BigInteger),
)

users = Table(
    "users",
    metadata,
    _id(),
    Column("email", String(320), nullable=False),
    Column("name", String(200), nullable=False),
    Column("role", String(20), nullable=False),
    Column("time_zone", String(64), nullable=False),
    #: A window of the day, as ``store/plans.py`` writes it.
    Column("quiet_hours", Document),
    Column("handoff_notices", Boolean, nullable=False, server_default=false()),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    _live("email", "users"),
)

contact_methods = Table(
    "contact_methods",
    metadata,
    _id(),
    _ref("user_id", "users", index=True),
    Column("position", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("channel", String(40), nullable=False),
    Column("address", String(2000), nullable=False),
    Column("secret_encrypted", Text),
    Column("verified_at", Instant),
    Column("disabled_at", Instant),
    Column("disabled_reason", String(500)),
    Column("deleted_at", Instant),
    Index(
        "uq_contact_methods_user_id_name_live",
        "user_id",
        "name",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

#: The code a person has to type before anything else is sent to a contact method.
verifications = Table(
    "verifications",
    metadata,
    Column("contact_method_id", String(40), primary_key=True),
    #: Kept readable by us alone, for the message is built when it is sent.
    Column("code_encrypted", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("wrong_count", Integer, nullable=False),
    #: When codes were sent, to limit them.
    Column("sent_at", Document, nullable=False),
)

absences = Table(
    "absences",
    metadata,
    _id(),
    _ref("user_id", "users", index=True),
    Column("kind", String(10), nullable=False),
    Column("begins_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    _ref("substitute_id", "users", nullable=True),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
)

notification_rules = Table(
    "notification_rules",
    metadata,
    _id(),
    _ref("user_id", "users", index=True),
    Column("position", Integer, nullable=False),
    Column("urgency", String(10), nullable=False),
    Column("after_seconds", Integer, nullable=False),
    _ref("contact_method_id", "contact_methods"),
)

teams = Table(
    "teams",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    _live("name", "teams"),
)

team_members = Table(
    "team_members",
    metadata,
    _ref("team_id", "teams"),
    _ref("user_id", "users", index=True),
    Column("position", Integer, nullable=False),
    PrimaryKeyConstraint("team_id", "user_id"),
)

schedules = Table(
    "schedules",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    Column("time_zone", String(64), nullable=False),
    _ref("team_id", "teams", nullable=True),
    #: Layers as ``store/schedules.py`` reads and writes them.
    Column("layers", Document, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    _live("name", "schedules"),
)

#: Changes of a finished schedule, the later ones over the earlier ones.
overrides = Table(
    "overrides",
    metadata,
    _id(),
    _ref("schedule_id", "schedules", index=True),
    Column("kind", String(10), nullable=False),
    _ref("user_id", "users"),
    #: ISO 8601: without an offset on the clock of the schedule's zone, with one an instant.
    Column("begins", String(40), nullable=False),
    Column("ends", String(40), nullable=False),
    _ref("instead_of_id", "users", nullable=True),
    Column("created_by", String(320), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
)

#: Offers of a shift, or of part of one; taken, it becomes an override.
swaps = Table(
    "swaps",
    metadata,
    _id(),
    _ref("schedule_id", "schedules", index=True),
    _ref("user_id", "users"),
    Column("begins_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    _ref("taken_by_id", "users", nullable=True),
    _ref("override_id", "overrides", nullable=True),
    Column("taken_at", Instant),
    Column("deleted_at", Instant),
)

#: The calendars that layers take their shifts from, as they were read last.
calendars = Table(
    "calendars",
    metadata,
    Column("url", String(2000), primary_key=True),
    #: Named events, each with begin and end, as ``store/schedules.py`` reads them.
    Column("events", Document, nullable=False),
    Column("etag", String(500)),
    Column("tried_at", Instant),
    #: When ``events`` were read; older ones are better than none.
    Column("fetched_at", Instant),
    Column("error", String(500)),
)

#: Secret addresses under which a schedule, or what one person has of all, is read as a calendar.
calendar_feeds = Table(
    "calendar_feeds",
    metadata,
    _id(),
    Column("key_hash", String(64), nullable=False, unique=True),
    _ref("user_id", "users", nullable=True, index=True),
    _ref("schedule_id", "schedules", nullable=True, index=True),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
)

#: What was last told of a schedule: who was on call, and which gaps lie ahead.
schedule_watch = Table(
    "schedule_watch",
    metadata,
    Column("schedule_id", String(40), primary_key=True),
    Column("user_ids", Document, nullable=False),
    Column("told_gaps", String(64)),
    Column("told_gaps_at", Instant),
)

escalation_policies = Table(
    "escalation_policies",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    Column("repeat", Integer, nullable=False),
    #: Steps as ``store/plans.py`` reads and writes them.
    Column("steps", Document, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    _live("name", "escalation_policies"),
)

#: How many places a step that goes round has gone on: whose turn it is next.
turns = Table(
    "turns",
    metadata,
    Column("step_id", String(40), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

services = Table(
    "services",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    _ref("team_id", "teams", nullable=True),
    _ref("escalation_policy_id", "escalation_policies", nullable=True),
    Column("urgency", Document, nullable=False),
    Column("acknowledge_timeout_seconds", Integer),
    Column("reopen_window_seconds", Integer),
    Column("auto_resolve_after_seconds", Integer),
    Column("support_hours", Document),
    #: Noise rules as ``store/plans.py`` reads and writes them.
    Column("noise", Document),
    Column("pages_suspect_author", Boolean, nullable=False, server_default=false()),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    _live("name", "services"),
)

integrations = Table(
    "integrations",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    _ref("service_id", "services"),
    Column("source", String(40), nullable=False),
    Column("dialect", String(40), nullable=False),
    Column("routing_key_hash", String(64), nullable=False),
    Column("routing_key_encrypted", Text, nullable=False),
    #: A list of secrets, encrypted as one text.
    Column("signing_secrets_encrypted", Text, nullable=False),
    Column("sentry_url", String(500)),
    Column("is_enabled", Boolean, nullable=False),
    Column("is_replay_strict", Boolean, nullable=False),
    Column("routes", Document, nullable=False),
    Column("overrides", Document, nullable=False),
    #: Made for the events of API keys: no file names it, and so none removes it.
    Column("is_made_by_us", Boolean, nullable=False, server_default=false()),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    _live("name", "integrations"),
    _live("routing_key_hash", "integrations"),
)

#: What was made in Sentry for an integration, and what is done there. What opens it is encrypted.
sentry_connections = Table(
    "sentry_connections",
    metadata,
    _id(),
    _ref("integration_id", "integrations"),
    #: ``https://sentry.io``, or that of somebody's own.
    Column("host", String(300), nullable=False),
    #: Its slug.
    Column("organization", String(200), nullable=False),
    Column("token_encrypted", Text, nullable=False),
    #: As whom the token acts: ``user`` or ``application``, and their id in Sentry.
    Column("actor_type", String(20)),
    Column("actor_id", String(64)),
    #: The integration in Sentry; none until it is made.
    Column("app_slug", String(200)),
    #: Its uuid there, by which its own deeds are known again.
    Column("app_id", String(64)),
    Column("installation_id", String(64)),
    #: What the token may.
    Column("scopes", Document, nullable=False),
    #: The alert rules that were made or found: as ``store.sentry.RuleMade``.
    Column("rules", Document, nullable=False),
    #: As ``core.sentry.Switches``.
    Column("switches", Document, nullable=False),
    #: When Sentry was last asked, how far that reaches, and where to go on.
    Column("looked_at", Instant),
    Column("seen_until", Instant),
    Column("cursor", String(200)),
    #: Which actions of an ``issue`` webhook open incidents, to since when.
    Column("opening", Document),
    Column("error", String(500)),
    Column("error_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    _live("integration_id", "sentry_connections"),
    Index(
        "ix_sentry_connections_installation_id",
        "installation_id",
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

maintenance_windows = Table(
    "maintenance_windows",
    metadata,
    _id(),
    #: Ids; an empty list means all services.
    Column("service_ids", Document, nullable=False),
    #: A route's matches, or null.
    Column("match", Document),
    Column("begins_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("reason", String(500), nullable=False),
    Column("created_by", String(320), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    Index("ix_maintenance_windows_ends_at", "ends_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("role", String(20), nullable=False),
    _ref("user_id", "users", nullable=True),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
)

# -- who signs in -------------------------------------------------------------------------------

#: A person without a row cannot sign in yet.
passwords = Table(
    "passwords",
    metadata,
    Column("user_id", String(40), primary_key=True),
    #: As argon2 writes it: with its parameters and salt.
    Column("hash", String(200), nullable=False),
    Column("changed_at", Instant, nullable=False),
)

#: Browsers that are signed in. The cookie holds the key, this its hash.
sessions = Table(
    "sessions",
    metadata,
    _id(),
    Column("key_hash", String(64), nullable=False, unique=True),
    _ref("user_id", "users", index=True),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    #: However busy it is, it ends then.
    Column("expires_at", Instant, nullable=False, index=True),
    Column("browser", String(200), nullable=False),
    Column("address", String(64), nullable=False),
    Column("rotated_at", Instant, nullable=False),
    #: The key before this one, for requests under way when it was replaced.
    Column("old_key_hash", String(64), index=True),
    #: None: the browser has not shown that it got the new key.
    Column("old_key_until", Instant),
)

#: Links that let somebody in once: to set up an installation, to set a password.
one_time_links = Table(
    "one_time_links",
    metadata,
    _id(),
    Column("key_hash", String(64), nullable=False, unique=True),
    #: Of a link that is on its way by mail; none once it is out.
    Column("key_encrypted", Text),
    #: ``setup``, ``invitation`` or ``reset``.
    Column("kind", String(20), nullable=False),
    _ref("user_id", "users", nullable=True, index=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("used_at", Instant),
)

#: How often something that is throttled was done: tokens left, and when that was so.
buckets = Table(
    "buckets",
    metadata,
    Column("key", String(100), primary_key=True),
    Column("tokens", Float, nullable=False),
    Column("at", Instant, nullable=False, index=True),
)

#: How a person likes the page; it decides nothing.
preferences = Table(
    "preferences",
    metadata,
    Column("user_id", String(40), primary_key=True),
    #: ``auto``, ``light`` or ``dark``.
    Column("theme", String(10), nullable=False),
    Column("is_24h", Boolean, nullable=False),
    Column("has_shortcuts", Boolean, nullable=False),
)

#: Every change of configuration and every event of security, in order; rows are only ever added.
audit = Table(
    "audit",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("at", Instant, nullable=False),
    #: Who: an e-mail address, the name of an API key, or what the program calls itself.
    Column("actor", String(320), nullable=False),
    Column("actor_id", String(40)),
    #: What happened, as ``{thing}.{verb}``: ``service.changed``, ``session.began``.
    Column("kind", String(40), nullable=False),
    #: To what: a name or e-mail address.
    Column("subject", String(320), nullable=False),
    #: What changed, in words; secrets never.
    Column("detail", String(2000), nullable=False),
    #: Where from.
    Column("address", String(64), nullable=False),
    #: A digest of the row and of the seal before it; a new row gets its own a little later.
    Column("seal", String(64)),
    sqlite_autoincrement=True,
)

# -- what came in -------------------------------------------------------------------------------

#: The inbox and the delivery log in one: a row is work while its status is ``accepted``.
deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    Column("integration_id", String(40), nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("url_style", String(20), nullable=False),
    Column("resource", String(100)),
    Column("action", String(100)),
    Column("status", String(20), nullable=False),
    Column("http_status", Integer, nullable=False),
    Column("reason", String(500)),
    Column("verb", String(20)),
    Column("outcome", String(20)),
    Column("incident_id", String(40)),
    Column("dedup_key", String(255)),
    #: Received to processed.
    Column("latency_ms", Integer),
    Column("attempts", Integer, nullable=False, server_default="0"),
    #: Deliveries of one alert share a partition, and one worker at a time holds one.
    Column("partition", Integer, nullable=False),
    Index(
        "ix_deliveries_inbox",
        "partition",
        "id",
        sqlite_where=text("status = 'accepted'"),
        postgresql_where=text("status = 'accepted'"),
    ),
    Index("ix_deliveries_integration_id_id", "integration_id", "id"),
    Index("ix_deliveries_status_id", "status", "id"),
    #: What went wrong with an integration: few rows, so that it costs the others nothing.
    Index(
        "ix_deliveries_trouble",
        "integration_id",
        "id",
        sqlite_where=text("status IN ('rejected', 'unrecognised', 'failed')"),
        postgresql_where=text("status IN ('rejected', 'unrecognised', 'failed')"),
    ),
    #: What no webhook told and Sentry was asked for.
    Index(
        "ix_deliveries_found",
        "integration_id",
        "id",
        sqlite_where=text("url_style = 'reconcile'"),
        postgresql_where=text("url_style = 'reconcile'"),
    ),
    Index(
        "ix_deliveries_incident_id_id",
        "incident_id",
        "id",
        sqlite_where=text("incident_id IS NOT NULL"),
        postgresql_where=text("incident_id IS NOT NULL"),
    ),
)

#: Apart from ``deliveries``, so that noting what became of one does not write its body again. Of an
#: alert that repeats itself again and again, some have none (``core.repeats``).
delivery_bodies = Table(
    "delivery_bodies",
    metadata,
    Column("delivery_id", String(40), primary_key=True),
    #: ``[[name, value], …]`` as received.
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

#: The first accepted delivery of each idempotency key (decision D17).
delivery_keys = Table(
    "delivery_keys",
    metadata,
    Column("integration_id", String(40), nullable=False),
    #: ``key:…`` (Idempotency-Key), ``request:…`` (Request-ID) or ``sha256:…`` (strict replay).
    Column("key", String(300), nullable=False),
    Column("delivery_id", String(40), nullable=False),
    Column("received_at", Instant, nullable=False),
    PrimaryKeyConstraint("integration_id", "key"),
    Index("ix_delivery_keys_received_at", "received_at"),
    sqlite_with_rowid=False,
)

#: One row per partition of the inbox; holding its row lock is holding the partition.
inbox_partitions = Table(
    "inbox_partitions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
)

# -- what it means ------------------------------------------------------------------------------

alerts = Table(
    "alerts",
    metadata,
    _id(),
    Column("integration_id", String(40), nullable=False),
    Column("service_id", String(40), nullable=False),
    Column("dedup_key", String(255), nullable=False),
    Column("title", String(1024), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("priority", String(20)),
    Column("source", String(200), nullable=False),
    Column("link", String(2000)),
    Column("details", Document, nullable=False),
    Column("occurrence_count", BigInteger, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("incident_id", String(40)),
    #: Whether the source said that it is over, and not a person or the clock.
    Column("is_over_at_source", Boolean, nullable=False, server_default=false()),
    #: The dialect's row for dedup keys.
    Column("about", String(20), nullable=False, server_default=""),
    Column("is_archived", Boolean, nullable=False, server_default=false()),
    #: ``core.repeats.Repeats``: of a storm not every body is kept.
    Column("repeats", Document),
    #: When Sentry last saw it, by Sentry's own word: only who asks Sentry writes it.
    Column("source_seen_at", Instant),
    UniqueConstraint("integration_id", "dedup_key"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("service_id", String(40), nullable=False),
    Column("integration_id", String(40)),
    Column("dedup_key", String(255), nullable=False),
    Column("title", String(1024), nullable=False),
    Column("status", String(20), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("priority", String(20)),
    Column("urgency", String(10), nullable=False),
    Column("source", String(200), nullable=False),
    Column("link", String(2000)),
    Column("occurrence_count", BigInteger, nullable=False),
    Column("previous_incident_id", String(40)),
    Column("is_test", Boolean, nullable=False),
    Column("escalation_policy_id", String(40)),
    Column("escalation_step", Integer, nullable=False),
    Column("escalation_round", Integer, nullable=False),
    Column("escalation_next_at", Instant),
    Column("escalation_state", String(20), nullable=False),
    Column("escalation_cycle", Integer, nullable=False),
    Column("escalation_has_reached", Boolean, nullable=False),
    Column("escalation_step_id", String(40)),
    #: ``{"also", "awaiting", "answered"}``: user ids, the last with their step; null when empty.
    Column("escalation_people", Document),
    Column("assigned_user_id", String(40)),
    Column("assigned_policy_id", String(40)),
    Column("triggered_at", Instant, nullable=False),
    Column("acknowledged_at", Instant),
    Column("acknowledged_by", String(320)),
    Column("acknowledged_by_id", String(40)),
    Column("resolved_at", Instant),
    Column("snoozed_until", Instant),
    Column("suppressed_until", Instant),
    #: Maintenance windows, as ``core.suppress.window_key`` names them.
    Column("suppressed_by", Document),
    Column("merged_into_id", String(40)),
    Column("alert_count", Integer, nullable=False, server_default="1"),
    #: What else becomes part of it while it is open: a release, a metric.
    Column("group_key", String(255)),
    Column("is_urgency_chosen", Boolean, nullable=False, server_default=false()),
    Index("ix_incidents_status_number", "status", "number"),
    Index("ix_incidents_service_id_number", "service_id", "number"),
    #: A group is in at most one open incident.
    Index(
        "uq_incidents_group_open",
        "service_id",
        "group_key",
        unique=True,
        sqlite_where=text("group_key IS NOT NULL AND status <> 'resolved'"),
        postgresql_where=text("group_key IS NOT NULL AND status <> 'resolved'"),
    ),
    sqlite_autoincrement=True,
)

#: Which alerts an incident is about; an alert is in at most one open incident.
incident_alerts = Table(
    "incident_alerts",
    metadata,
    Column("incident_id", String(40), nullable=False),
    Column("alert_id", String(40), nullable=False),
    Column("is_open", Boolean, nullable=False),
    #: The alert's count before it was part of this: what is more was seen here.
    Column("seen_before", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("incident_id", "alert_id"),
    Index(
        "uq_incident_alerts_open",
        "alert_id",
        unique=True,
        sqlite_where=text("is_open = 1"),
        postgresql_where=text("is_open"),
    ),
)

#: Who has an incident now.
incident_assignees = Table(
    "incident_assignees",
    metadata,
    Column("incident_id", String(40), nullable=False),
    Column("user_id", String(40), nullable=False),
    #: Asked for help, besides those who have it by the escalation.
    Column("is_responder", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("incident_id", "user_id"),
    Index("ix_incident_assignees_user_id", "user_id"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("incident_id", String(40), nullable=False),
    Column("service_id", String(40), nullable=False),
    Column("at", Instant, nullable=False),
    Column("kind", String(30), nullable=False),
    Column("text", Text, nullable=False),
    Column("actor", String(320), nullable=False),
    Column("data", Document),
    Index("ix_timeline_incident_id_id", "incident_id", "id"),
    sqlite_autoincrement=True,
)

# -- what is due --------------------------------------------------------------------------------

notifications = Table(
    "notifications",
    metadata,
    _id(),
    Column("incident_id", String(40)),
    Column("service_id", String(40)),
    Column("user_id", String(40), nullable=False),
    Column("contact_method_id", String(40), nullable=False),
    Column("channel", String(40), nullable=False),
    Column("type", String(40), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("rule_id", String(40), nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("sent_at", Instant),
    #: The notification whose message said this one too.
    Column("bundled_into_id", String(40)),
    #: One notification per incident, run, round, step, contact method and rule.
    Index(
        "uq_notifications_once",
        "incident_id",
        "type",
        "cycle",
        "round",
        "step",
        "contact_method_id",
        "rule_id",
        unique=True,
    ),
    Index("ix_notifications_user_id_id", "user_id", "id"),
    Index(
        "ix_notifications_pending",
        "contact_method_id",
        "service_id",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index("ix_notifications_contact_method_id_sent_at", "contact_method_id", "sent_at"),
)

#: One try to hand a notification over: written before the call, finished after it.
attempts = Table(
    "attempts",
    metadata,
    #: ``{notification_id}.{number}``
    Column("id", String(50), primary_key=True),
    Column("notification_id", String(40), nullable=False),
    Column("number", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    #: None while the call runs, and for ever if the process died in it.
    Column("finished_at", Instant),
    Column("outcome", String(20)),
    Column("detail", String(500)),
    Index("ix_attempts_notification_id", "notification_id"),
)

#: What the number in an answer to a message stands for, per contact method.
reply_codes = Table(
    "reply_codes",
    metadata,
    Column("contact_method_id", String(40), nullable=False),
    Column("code", Integer, nullable=False),
    #: An incident, or a service whose pages were bundled.
    Column("incident_id", String(40)),
    Column("service_id", String(40)),
    Column("used_at", Instant, nullable=False),
    PrimaryKeyConstraint("contact_method_id", "code"),
)

#: What is to be done in Sentry for what happened here, and how that went.
sentry_tasks = Table(
    "sentry_tasks",
    metadata,
    _id(),
    Column("connection_id", String(40), nullable=False),
    Column("service_id", String(40), nullable=False),
    Column("incident_id", String(40), nullable=False),
    Column("issue_id", String(20), nullable=False),
    #: As ``core.mirror.Act``.
    Column("act", String(20), nullable=False),
    #: Texts by name.
    Column("payload", Document, nullable=False),
    #: By which the same is asked for once.
    Column("key", String(200), nullable=False, unique=True),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", Instant, nullable=False),
    #: While somebody does it: until when it is nobody else's.
    Column("leased_until", Instant),
    Column("error", String(500)),
    Column("created_at", Instant, nullable=False),
    #: When it was first begun: from then on Sentry may tell of it.
    Column("begun_at", Instant),
    Column("done_at", Instant),
    Index(
        "ix_sentry_tasks_pending",
        "connection_id",
        "id",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index("ix_sentry_tasks_connection_id_issue_id", "connection_id", "issue_id"),
    Index("ix_sentry_tasks_incident_id", "incident_id"),
    Index("ix_sentry_tasks_done_at", "done_at"),
)

#: What Sentry knows of an incident's latest event, as it was read once.
incident_contexts = Table(
    "incident_contexts",
    metadata,
    Column("incident_id", String(40), primary_key=True),
    Column("service_id", String(40), nullable=False),
    #: As ``core.context.Context``; none where it could not be had.
    Column("context", Document),
    #: Why it could not be had.
    Column("error", String(500)),
    Column("fetched_at", Instant, nullable=False),
)

#: What must happen at a time. The key says what it is about, so putting one twice is one job.
jobs = Table(
    "jobs",
    metadata,
    #: ``{kind}:{subject_id}``.
    Column("key", String(100), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("subject_id", String(60), nullable=False),
    #: A claim moves it to the end of the lease: a job whose worker died is simply due again then.
    Column("due_at", Instant, nullable=False),
    #: Counts the claims and changes: who finishes must hold the latest.
    Column("lease", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_error", String(500)),
    #: When it was given up on, for people to look at.
    Column("buried_at", Instant),
    #: Whose it is, a service mostly: a storm of one does not hold up what others have to do.
    Column("lane", String(40), nullable=False, server_default=""),
    Index(
        "ix_jobs_lane",
        "kind",
        "lane",
        "due_at",
        sqlite_where=text("buried_at IS NULL"),
        postgresql_where=text("buried_at IS NULL"),
    ),
    Index(
        "ix_jobs_due",
        "kind",
        "due_at",
        sqlite_where=text("buried_at IS NULL"),
        postgresql_where=text("buried_at IS NULL"),
    ),
)

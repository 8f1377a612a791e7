"""The tables as SQLAlchemy sees them. alembic/versions makes them with their triggers; a test compares both."""

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

from platevault.infra.postgres.plate_indexes import plate_indexes
from platevault.infra.postgres.reported_columns import ARE_ERASED, reported_columns

metadata = MetaData()

_MOMENT = TIMESTAMP(timezone=True)
_NOW = text("now()")


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


collectors = Table(
    "collectors",
    metadata,
    Column("collector_id", Text, primary_key=True),
    Column("first_seen_at", _MOMENT, nullable=False, server_default=_NOW),
)

nodes = Table(
    "nodes",
    metadata,
    Column("node_id", Uuid, primary_key=True),
    Column("host", Text, nullable=False),
    Column("first_seen_at", _MOMENT, nullable=False, server_default=_NOW),
    Column("api_seen_at", _MOMENT),
    Column("worker_seen_at", _MOMENT),
    Column("lost_at", _MOMENT),
)

batches = Table(
    "batches",
    metadata,
    Column("collector_id", Text, ForeignKey("collectors.collector_id"), primary_key=True),
    Column("batch_id", Text, primary_key=True),
    Column("content_digest", LargeBinary, nullable=False),
    Column("received_at", _MOMENT, nullable=False),
    Column("sent_at", _MOMENT),
    Column("status_code", Integer, nullable=False),
    Column("answer", JSONB, nullable=False),
    Column("digest_form", SmallInteger, nullable=False, server_default=text("1")),
    CheckConstraint("octet_length(content_digest) = 32", name="batches_digest_is_sha256"),
    CheckConstraint("status_code IN (200, 201)", name="batches_only_acknowledged_answers"),
    Index("batches_received_at", "received_at"),
)

detections = Table(
    "detections",
    metadata,
    Column("detection_id", Text, primary_key=True),
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("xid", Xid8, nullable=False, server_default=text("platevault_feed_place(pg_current_xact_id())")),
    Column("collector_id", Text, ForeignKey("collectors.collector_id"), nullable=False),
    Column("batch_id", Text, nullable=False),
    Column("camera_id", Text, nullable=False),
    Column("captured_at", _MOMENT, nullable=False),
    Column("received_at", _MOMENT, nullable=False),
    *reported_columns(),
    Column("retain_until", _MOMENT),
    Column("clock_suspect", Boolean, nullable=False, server_default=text("false")),
    Column("erased_at", _MOMENT),
    Column("rebuilt", Boolean, nullable=False, server_default=text("false")),
    Column("holds", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("holds >= 0", name="detections_holds_are_counted"),
    CheckConstraint("holds = 0 OR erased_at IS NULL", name="detections_held_stay"),
    CheckConstraint("confidence BETWEEN 0 AND 1", name="detections_confidence_is_a_share"),
    CheckConstraint(f"erased_at IS NULL OR {ARE_ERASED}", name="detections_tombstones_are_empty"),
    Index("detections_seq", "seq", unique=True),
    Index("detections_feed", "xid", "seq"),
    Index("detections_newest", "captured_at", "detection_id"),
    Index("detections_by_camera", "collector_id", "camera_id", "captured_at", "detection_id"),
    Index("detections_by_camera_name", "camera_id", "captured_at", "detection_id"),
    *plate_indexes(),
    Index("detections_due", "retain_until", postgresql_where=text("erased_at IS NULL")),
    Index("detections_erased", "erased_at", postgresql_where=text("erased_at IS NOT NULL")),
    Index(
        "detections_doubtful",
        "collector_id",
        "camera_id",
        "captured_at",
        postgresql_where=text("clock_suspect AND erased_at IS NULL"),
    ),
)

plate_forms_position = Table(
    "plate_forms_position",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("xid", Xid8, nullable=False, server_default=text("'0'::xid8")),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("single", name="plate_forms_position_is_one_row"),
)

images = Table(
    "images",
    metadata,
    Column("detection_id", Text, ForeignKey("detections.detection_id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("key", Text),
    Column("content_type", Text),
    Column("size", BigInteger),
    Column("sha256", LargeBinary),
    Column("width", Integer),
    Column("height", Integer),
    Column("stored_at", _MOMENT),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    Column("spool_node", Uuid, ForeignKey("nodes.node_id")),
    Column("spool_file", Text),
    Column("spool_offset", BigInteger),
    Column("lease_owner", Uuid),
    Column("lease_until", _MOMENT),
    Column("holds", Integer, nullable=False, server_default=text("0")),
    Column("refusals", Integer, nullable=False, server_default=text("0")),
    Column("dead_at", _MOMENT),
    Column("bytes_gone_at", _MOMENT),
    Column("variants", JSONB),
    CheckConstraint(
        "state IN ('pending', 'stored', 'expired', 'deleted', 'missing', 'rejected')",
        name="images_state_is_known",
    ),
    CheckConstraint("holds >= 0", name="images_holds_are_counted"),
    CheckConstraint("holds = 0 OR state NOT IN ('expired', 'deleted')", name="images_held_stay"),
    CheckConstraint(
        "state <> 'pending' OR num_nulls(key, sha256, size, spool_node, spool_file, spool_offset) = 0",
        name="images_pending_are_in_a_spool",
    ),
    CheckConstraint(
        "state <> 'stored' OR num_nulls(key, sha256, size, content_type, stored_at) = 0",
        name="images_stored_are_complete",
    ),
    CheckConstraint(
        "state IN ('pending', 'missing') OR num_nonnulls(spool_node, spool_file, spool_offset) = 0",
        name="images_elsewhere_leave_the_spool",
    ),
    CheckConstraint("octet_length(sha256) = 32", name="images_digest_is_sha256"),
    CheckConstraint("dead_at IS NULL OR state = 'pending'", name="images_dead_letters_wait"),
    CheckConstraint("bytes_gone_at IS NULL OR state IN ('expired', 'deleted')", name="images_gone_are_forgotten"),
    Index("images_key", "key", unique=True),
    Index(
        "images_to_remove",
        "detection_id",
        "kind",
        postgresql_where=text("state IN ('expired', 'deleted') AND key IS NOT NULL AND bytes_gone_at IS NULL"),
    ),
    Index("images_in_spool", "spool_node", "spool_file", "state", postgresql_where=text("spool_file IS NOT NULL")),
    Index("images_due_for_upload", "spool_node", "lease_until", postgresql_where=text("state = 'pending'")),
    Index("images_missing", "detection_id", "kind", postgresql_where=text("state = 'missing'")),
    Index(
        "images_missing_here",
        "spool_node",
        "spool_file",
        postgresql_where=text("state = 'missing' AND spool_node IS NOT NULL"),
    ),
    Index("images_dead", "spool_node", "dead_at", postgresql_where=text("dead_at IS NOT NULL")),
)

access_log = Table(
    "access_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    Column("actor", Text, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("filters", JSONB, nullable=False),
    Column("detection_ids", ARRAY(Text), nullable=False),
    Column("purpose", Text),
    Column("case", Text),
    Index("access_log_at", "at"),
    Index("access_log_detections", "detection_ids", postgresql_using="gin"),
)

generation = Table(
    "generation",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("vault_id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    Column("number", BigInteger, nullable=False),
    Column("advanced_at", _MOMENT, nullable=False),
    CheckConstraint("single", name="generation_is_one_row"),
)

vault_clock = Table(
    "vault_clock",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("seen_at", _MOMENT, nullable=False),
    Column("store_ahead", Interval, nullable=False, server_default=text("'00:00:00'::interval")),
    Column("confirmed_at", _MOMENT),
    Column("allowed", BigInteger, nullable=False, server_default=text("0")),
    Column("allowed_until", _MOMENT),
    CheckConstraint("single", name="vault_clock_is_one_row"),
)

retention_erasures = Table(
    "retention_erasures",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _MOMENT, nullable=False),
    Column("detections", BigInteger, nullable=False),
    Index("retention_erasures_at", "at"),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("job", Text, nullable=False),
    Column("started_at", _MOMENT, nullable=False),
    Column("ended_at", _MOMENT, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("counts", JSONB, nullable=False),
    Column("findings", JSONB, nullable=False),
    CheckConstraint("outcome IN ('done', 'stopped', 'failed')", name="job_runs_outcome_is_known"),
    Index("job_runs_newest", "job", "started_at"),
)

retention_classes = Table(
    "retention_classes",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("collector", Text, nullable=False),
    Column("camera", Text, nullable=False),
    Column("days", Integer),
    Column("changed_at", _MOMENT, nullable=False),
    CheckConstraint("position >= 1", name="retention_classes_in_order"),
    CheckConstraint("days >= 1", name="retention_classes_last_a_day"),
    UniqueConstraint("collector", "camera", name="retention_classes_once"),
)

holds = Table(
    "holds",
    metadata,
    Column("hold_id", Uuid, primary_key=True),
    Column("placed_at", _MOMENT, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("case", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("review_on", Date, nullable=False),
    Column("query", JSONB, nullable=False),
    Column("newest_seq", BigInteger, nullable=False, server_default=text("0")),
    Column("placed_through", Text),
    Column("placed_all_at", _MOMENT),
    Column("lifted_at", _MOMENT),
    Column("lifted_by", Text),
    Column("lift_reason", Text),
    CheckConstraint("num_nonnulls(lifted_at, lifted_by, lift_reason) IN (0, 3)", name="holds_are_lifted_by_somebody"),
    Index("holds_newest", "placed_at", "hold_id"),
    Index("holds_to_place", "placed_at", postgresql_where=text("placed_all_at IS NULL AND lifted_at IS NULL")),
)

hold_detections = Table(
    "hold_detections",
    metadata,
    Column("hold_id", Uuid, ForeignKey("holds.hold_id"), primary_key=True),
    Column("detection_id", Text, ForeignKey("detections.detection_id"), primary_key=True),
    Column("released_at", _MOMENT),
    Index("hold_detections_of", "detection_id"),
    Index("hold_detections_active", "hold_id", "detection_id", postgresql_where=text("released_at IS NULL")),
)

hold_images = Table(
    "hold_images",
    metadata,
    Column("hold_id", Uuid, primary_key=True),
    Column("detection_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("verified_at", _MOMENT),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    Column("lease_owner", Uuid),
    Column("lease_until", _MOMENT),
    Column("released_at", _MOMENT),
    CheckConstraint("state IN ('copying', 'held', 'gone')", name="hold_images_state_is_known"),
    ForeignKeyConstraint(["hold_id", "detection_id"], ["hold_detections.hold_id", "hold_detections.detection_id"]),
    ForeignKeyConstraint(["detection_id", "kind"], ["images.detection_id", "images.kind"]),
    Index("hold_images_of", "detection_id", "kind"),
    Index(
        "hold_images_copying",
        "hold_id",
        "detection_id",
        "kind",
        postgresql_where=text("state = 'copying' AND released_at IS NULL"),
    ),
    Index("hold_images_verified", "verified_at", postgresql_where=text("state = 'held' AND released_at IS NULL")),
)

purges = Table(
    "purges",
    metadata,
    Column("purge_id", BigInteger, Identity(always=True), primary_key=True),
    Column("cause", Text, nullable=False),
    Column("deletion_id", Uuid),
    Column("started_at", _MOMENT, nullable=False),
    Column("ended_at", _MOMENT, nullable=False),
    Column("detections", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("held", BigInteger),
    Column("oldest_captured_at", _MOMENT),
    Column("newest_captured_at", _MOMENT),
    Column("ids_digest", LargeBinary, nullable=False),
    CheckConstraint("cause IN ('retention', 'request')", name="purges_cause_is_known"),
    CheckConstraint("octet_length(ids_digest) = 32", name="purges_digest_is_sha256"),
    Index("purges_newest", "started_at"),
)

deletions = Table(
    "deletions",
    metadata,
    Column("deletion_id", Uuid, primary_key=True),
    Column("requested_at", _MOMENT, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("expires_at", _MOMENT, nullable=False),
    Column("filters", JSONB),
    Column("purpose", Text),
    Column("case", Text),
    Column("counted", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("newest_seq", BigInteger, nullable=False),
    Column("confirmed_at", _MOMENT),
    Column("confirmed_by", Text),
    Column("ended_at", _MOMENT),
    Column("deleted", BigInteger, nullable=False, server_default=text("0")),
    Column("skipped", BigInteger, nullable=False, server_default=text("0")),
    Index(
        "deletions_under_way",
        "confirmed_at",
        postgresql_where=text("confirmed_at IS NOT NULL AND ended_at IS NULL"),
    ),
)

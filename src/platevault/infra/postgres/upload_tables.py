"""The table of direct uploads, as SQLAlchemy sees it; alembic/versions makes it."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from platevault.infra.postgres.schema import metadata

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", Uuid, primary_key=True),
    Column("collector_id", Text, nullable=False),
    Column("opened_by", Text, nullable=False, server_default=text("''")),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("files", JSONB, nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("content_digest", LargeBinary),
    Column("status_code", Integer),
    Column("answer", JSONB),
    Column("temp_gone_at", DateTime(timezone=True)),
    Column("digest_form", SmallInteger, nullable=False, server_default=text("1")),
    CheckConstraint("state IN ('open', 'committed', 'aborted', 'expired')", name="uploads_state_is_known"),
    CheckConstraint(
        "state <> 'committed' OR num_nulls(ended_at, content_digest, status_code, answer) = 0",
        name="uploads_commit_has_its_answer",
    ),
    Index("uploads_to_clear", "expires_at", postgresql_where=text("temp_gone_at IS NULL")),
)

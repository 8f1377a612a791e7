"""Tables of erasures on request, as SQLAlchemy sees them; alembic/versions makes them."""

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Column, DateTime, Table, Text, Uuid

from platevault.infra.postgres.schema import metadata

erasures = Table(
    "erasures",
    metadata,
    Column("name", Text, primary_key=True),
    Column("deletion_id", Uuid, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("detections", BigInteger, nullable=False),
    Column("known_at", DateTime(timezone=True), nullable=False),
)

erasures_awaited = Table(
    "erasures_awaited",
    metadata,
    Column("detection_id", Text, primary_key=True),
    Column("erased_at", DateTime(timezone=True), nullable=False),
)

erasing_plates = Table(
    "erasing_plates",
    metadata,
    Column("plate", Text, primary_key=True),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("shown", ARRAY(Text), nullable=False, server_default="{}"),
    CheckConstraint("length(plate) > 1", name="erasing_plates_are_long_enough"),
)

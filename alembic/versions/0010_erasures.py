"""Erasures on request have a name in the bucket, which the database knows; what it does not know yet is erased as it comes.

The version before does not write the new tables and loses nothing by them.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = (
    """
    CREATE TABLE erasures (
        name text PRIMARY KEY,
        deletion_id uuid NOT NULL,
        at timestamptz NOT NULL,
        detections bigint NOT NULL,
        known_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE erasures_awaited (
        detection_id text PRIMARY KEY,
        erased_at timestamptz NOT NULL
    )
    """,
)
# The table is empty but in a restored database: a statement that inserts costs one look at it.
_FUNCTIONS = (
    """
    CREATE FUNCTION platevault_awaited_detections() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM erasures_awaited) THEN
            UPDATE detections AS d SET erased_at = greatest(a.erased_at, d.received_at), plate = NULL, plate_searchable = NULL,
                confidence = NULL, candidates = NULL, region = NULL, box = NULL, vehicle = NULL, direction = NULL,
                heading_degrees = NULL, data = NULL
            FROM erasures_awaited a WHERE d.detection_id = a.detection_id AND d.erased_at IS NULL AND d.holds = 0;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION platevault_awaited_images() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM erasures_awaited) THEN
            UPDATE images AS i SET state = 'deleted', last_error = NULL, spool_node = NULL, spool_file = NULL,
                spool_offset = NULL, lease_owner = NULL, lease_until = NULL, dead_at = NULL
            FROM erasures_awaited a
            WHERE i.detection_id = a.detection_id AND i.state IN ('pending', 'stored', 'missing') AND i.holds = 0;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER detections_awaited AFTER INSERT ON detections
        FOR EACH STATEMENT EXECUTE FUNCTION platevault_awaited_detections()
    """,
    """
    CREATE TRIGGER images_awaited AFTER INSERT ON images
        FOR EACH STATEMENT EXECUTE FUNCTION platevault_awaited_images()
    """,
)


def upgrade() -> None:
    for statement in (*_TABLES, *_FUNCTIONS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER detections_awaited ON detections")
    op.execute("DROP TRIGGER images_awaited ON images")
    op.execute("DROP FUNCTION platevault_awaited_detections, platevault_awaited_images")
    op.execute("DROP TABLE erasures, erasures_awaited")

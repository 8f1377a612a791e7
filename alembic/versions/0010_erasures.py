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
    """
    CREATE TABLE erasing_plates (
        plate text PRIMARY KEY CONSTRAINT erasing_plates_are_long_enough CHECK (length(plate) > 1),
        since timestamptz NOT NULL
    )
    """,
)
_HOLD_IS_WRITE_ONCE = """
CREATE OR REPLACE FUNCTION platevault_hold_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.lifted_at IS NOT NULL AND NEW.query = '{}' AND to_jsonb(NEW) - 'query' = to_jsonb(OLD) - 'query'
       AND NOT EXISTS (SELECT FROM hold_detections h JOIN detections d USING (detection_id)
                       WHERE h.hold_id = OLD.hold_id AND d.erased_at IS NULL)
    THEN RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.lifted_at IS NOT NULL
       OR (NEW.hold_id, NEW.placed_at, NEW.placed_by, NEW.requested_by, NEW.authority, NEW."case", NEW.reason, NEW.query)
          IS DISTINCT FROM
          (OLD.hold_id, OLD.placed_at, OLD.placed_by, OLD.requested_by, OLD.authority, OLD."case", OLD.reason, OLD.query)
    THEN RAISE EXCEPTION 'holds: what was written stays, a hold can only be reviewed and lifted'
         USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""
_HOLD_FORGETS_PLATES = _HOLD_IS_WRITE_ONCE.replace(
    "BEGIN\n",
    """\
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.lifted_at IS NOT NULL
       AND to_jsonb(NEW) - 'reason' - 'lift_reason' = to_jsonb(OLD) - 'reason' - 'lift_reason'
       AND NEW.reason = platevault_without_plates(OLD.reason)
       AND NEW.lift_reason = platevault_without_plates(OLD.lift_reason)
    THEN RETURN NEW;
    END IF;
""",
)
_ACCESS_IS_WRITE_ONCE = """
CREATE OR REPLACE FUNCTION platevault_access_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'access_log: what was written stays' USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
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
    # Texts lose the plates of `erasing_plates`, however they were written, and nothing else.
    r"""
    CREATE FUNCTION platevault_without_plates(said text) RETURNS text LANGUAGE plpgsql STABLE AS $$
    DECLARE one record;
    BEGIN
        FOR one IN SELECT plate FROM erasing_plates ORDER BY plate LOOP
            said := regexp_replace(
                said, '\m' || regexp_replace(one.plate, '(.)(?=.)', '\1[^[:alnum:]]{0,3}', 'g') || '\M', '[erased]', 'gi');
        END LOOP;
        RETURN said;
    END $$
    """,
    """
    CREATE FUNCTION platevault_without_plates(said jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
        SELECT CASE jsonb_typeof(said)
            WHEN 'string' THEN to_jsonb(platevault_without_plates(said #>> '{}'))
            WHEN 'array' THEN (SELECT coalesce(jsonb_agg(platevault_without_plates(v) ORDER BY n), '[]')
                               FROM jsonb_array_elements(said) WITH ORDINALITY AS e(v, n))
            WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg(k, platevault_without_plates(v)), '{}')
                                FROM jsonb_each(said) AS e(k, v))
            ELSE said END
    $$
    """,
    """
    CREATE OR REPLACE FUNCTION platevault_access_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF to_jsonb(NEW) - 'filters' - 'purpose' = to_jsonb(OLD) - 'filters' - 'purpose'
           AND NEW.filters = platevault_without_plates(OLD.filters)
           AND NEW.purpose IS NOT DISTINCT FROM platevault_without_plates(OLD.purpose)
        THEN RETURN NEW;
        END IF;
        RAISE EXCEPTION 'access_log: what was written stays' USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    _HOLD_FORGETS_PLATES,
)


def upgrade() -> None:
    for statement in (*_TABLES, *_FUNCTIONS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER detections_awaited ON detections")
    op.execute("DROP TRIGGER images_awaited ON images")
    op.execute("DROP FUNCTION platevault_awaited_detections, platevault_awaited_images")
    op.execute(_ACCESS_IS_WRITE_ONCE)
    op.execute(_HOLD_IS_WRITE_ONCE)
    op.execute("DROP FUNCTION platevault_without_plates(jsonb), platevault_without_plates(text)")
    op.execute("DROP TABLE erasures, erasures_awaited, erasing_plates")

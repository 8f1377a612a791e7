"""The change feed goes on after a restore; a lifted hold forgets its filter; a purge that was cut off says that it did not count."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What stands in `detections.xid` for a transaction id of this server. It is that id itself until a dump is restored into a server
# whose ids are others: then infra/postgres/feed_positions makes it anew, with a number to add.
_PLACE = """
CREATE FUNCTION platevault_feed_place(xid8) RETURNS xid8 LANGUAGE sql STABLE STRICT PARALLEL SAFE AS 'SELECT $1'
"""
_HOLD_IS_WRITE_ONCE = """
CREATE OR REPLACE FUNCTION platevault_hold_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
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
_HOLD_FORGETS = _HOLD_IS_WRITE_ONCE.replace(
    "BEGIN\n",
    """\
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.lifted_at IS NOT NULL AND NEW.query = '{}' AND to_jsonb(NEW) - 'query' = to_jsonb(OLD) - 'query'
       AND NOT EXISTS (SELECT FROM hold_detections h JOIN detections d USING (detection_id)
                       WHERE h.hold_id = OLD.hold_id AND d.erased_at IS NULL)
    THEN RETURN NEW;
    END IF;
""",
)


def upgrade() -> None:
    op.execute(_PLACE)
    op.execute("ALTER TABLE detections ALTER COLUMN xid SET DEFAULT platevault_feed_place(pg_current_xact_id())")
    op.execute("ALTER TABLE purges ALTER COLUMN held DROP NOT NULL")
    op.execute(_HOLD_FORGETS)


def downgrade() -> None:
    """A purge that did not count cannot be told to the version before: it refuses while there is one."""
    op.execute("ALTER TABLE purges ALTER COLUMN held SET NOT NULL")
    op.execute(_HOLD_IS_WRITE_ONCE)
    op.execute("ALTER TABLE detections ALTER COLUMN xid SET DEFAULT pg_current_xact_id()")
    op.execute("DROP FUNCTION platevault_feed_place")

"""What keeping the vault in order needs: dead letters, rebuilt rows, the restore marker, and a record of each job's runs."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WRITE_ONCE = """
CREATE OR REPLACE FUNCTION platevault_detection_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.detection_id, NEW.seq, NEW.xid, NEW.collector_id, NEW.batch_id, NEW.camera_id, NEW.captured_at, NEW.received_at)
       IS DISTINCT FROM
       (OLD.detection_id, OLD.seq, OLD.xid, OLD.collector_id, OLD.batch_id, OLD.camera_id, OLD.captured_at, OLD.received_at)
    THEN RAISE EXCEPTION 'detections: ids and times are write-once' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.erased_at IS NOT NULL AND NEW.erased_at IS DISTINCT FROM OLD.erased_at
    THEN RAISE EXCEPTION 'detections: a tombstone stays' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.erased_at IS NULL AND
       (NEW.plate, NEW.plate_searchable, NEW.confidence, NEW.candidates, NEW.region, NEW.box, NEW.vehicle, NEW.direction,
        NEW.heading_degrees, NEW.data)
       IS DISTINCT FROM
       (OLD.plate, OLD.plate_searchable, OLD.confidence, OLD.candidates, OLD.region, OLD.box, OLD.vehicle, OLD.direction,
        OLD.heading_degrees, OLD.data)
    THEN RAISE EXCEPTION 'detections: what a camera read is write-once, it can only be erased'
         USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""
# A row made again from objects has nothing that a camera read; a batch brings it, once.
_FILLED_ONCE = _WRITE_ONCE.replace(
    "    IF NEW.erased_at IS NULL AND\n",
    """\
    IF NEW.rebuilt AND NOT OLD.rebuilt
    THEN RAISE EXCEPTION 'detections: a row is rebuilt from its start' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.erased_at IS NULL AND
       NOT (OLD.rebuilt AND NOT NEW.rebuilt AND num_nonnulls(OLD.plate, OLD.plate_searchable, OLD.confidence, OLD.candidates,
            OLD.region, OLD.box, OLD.vehicle, OLD.direction, OLD.heading_degrees, OLD.data) = 0) AND
""",
)

# Each is one short lock: columns with a constant default rewrite no row.
STATEMENTS = (
    "ALTER TABLE images ADD COLUMN refusals integer NOT NULL DEFAULT 0, ADD COLUMN dead_at timestamptz",
    "ALTER TABLE images ADD CONSTRAINT images_dead_letters_wait CHECK (dead_at IS NULL OR state = 'pending') NOT VALID",
    "ALTER TABLE detections ADD COLUMN rebuilt boolean NOT NULL DEFAULT false",
    _FILLED_ONCE,
    """
    CREATE TABLE generation (
        single boolean PRIMARY KEY DEFAULT true CONSTRAINT generation_is_one_row CHECK (single),
        vault_id uuid NOT NULL DEFAULT gen_random_uuid(),
        number bigint NOT NULL,
        advanced_at timestamptz NOT NULL
    )
    """,
    "INSERT INTO generation (number, advanced_at) VALUES (0, now())",
    """
    CREATE TABLE job_runs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        job text NOT NULL,
        started_at timestamptz NOT NULL,
        ended_at timestamptz NOT NULL,
        dry_run boolean NOT NULL,
        outcome text NOT NULL CONSTRAINT job_runs_outcome_is_known CHECK (outcome IN ('done', 'stopped', 'failed')),
        counts jsonb NOT NULL,
        findings jsonb NOT NULL
    )
    """,
    "CREATE INDEX job_runs_newest ON job_runs (job, started_at)",
)
INDEXES = (
    ("images_missing", "(detection_id, kind) WHERE state = 'missing'"),
    ("images_missing_here", "(spool_node, spool_file) WHERE state = 'missing' AND spool_node IS NOT NULL"),
    ("images_dead", "(spool_node, dead_at) WHERE dead_at IS NOT NULL"),
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE images VALIDATE CONSTRAINT images_dead_letters_wait")
        for name, of in INDEXES:
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON images {of}")


def downgrade() -> None:
    for name, _ in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("DROP TABLE generation, job_runs")
    op.execute(_WRITE_ONCE)
    op.execute("ALTER TABLE detections DROP COLUMN rebuilt")
    op.execute("ALTER TABLE images DROP CONSTRAINT images_dead_letters_wait, DROP COLUMN refusals, DROP COLUMN dead_at")

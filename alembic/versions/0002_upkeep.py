"""What keeping the vault in order needs: dead letters, rebuilt rows, the restore marker, and a record of each job's runs."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Each is one short lock: columns with a constant default rewrite no row.
STATEMENTS = (
    "ALTER TABLE images ADD COLUMN refusals integer NOT NULL DEFAULT 0, ADD COLUMN dead_at timestamptz",
    "ALTER TABLE images ADD CONSTRAINT images_dead_letters_wait CHECK (dead_at IS NULL OR state = 'pending') NOT VALID",
    "ALTER TABLE detections ADD COLUMN rebuilt boolean NOT NULL DEFAULT false",
    """
    CREATE TABLE generation (
        single boolean PRIMARY KEY DEFAULT true CONSTRAINT generation_is_one_row CHECK (single),
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
    op.execute("ALTER TABLE detections DROP COLUMN rebuilt")
    op.execute("ALTER TABLE images DROP CONSTRAINT images_dead_letters_wait, DROP COLUMN refusals, DROP COLUMN dead_at")

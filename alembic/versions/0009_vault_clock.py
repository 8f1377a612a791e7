"""The newest time that the vault has seen, and how many detections retention has erased in the last day.

What erases is decided by the database's clock, and that clock may be wrong too. `seen_at` only moves with a clock that did not jump, so
a jump shows, on every node and after a restart. A vault that is older than this table begins with the newest of its receipts, heartbeats and runs.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE vault_clock (
            single boolean PRIMARY KEY DEFAULT true,
            seen_at timestamptz NOT NULL,
            store_ahead interval NOT NULL DEFAULT interval '0',
            confirmed_at timestamptz,
            allowed bigint NOT NULL DEFAULT 0,
            allowed_until timestamptz,
            CONSTRAINT vault_clock_is_one_row CHECK (single)
        )
    """)
    op.execute("""
        INSERT INTO vault_clock (seen_at) SELECT coalesce(greatest(
            (SELECT max(received_at) FROM batches),
            (SELECT max(greatest(api_seen_at, worker_seen_at)) FROM nodes),
            (SELECT max(ended_at) FROM job_runs)
        ), now())
    """)
    op.execute("""
        CREATE TABLE retention_erasures (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL,
            detections bigint NOT NULL
        )
    """)
    op.execute("CREATE INDEX retention_erasures_at ON retention_erasures (at)")


def downgrade() -> None:
    op.execute("DROP TABLE retention_erasures")
    op.execute("DROP TABLE vault_clock")

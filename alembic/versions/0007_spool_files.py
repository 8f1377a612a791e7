"""An image is found by its spool file through an index that knows no state.

Nearly all images are stored, and statistics say so: by them, all that wait are next to none, and going through all of them looks as
cheap as looking one up. After an outage they are a million. What is asked for each batch must not be able to go that way.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS images_in_spool")  # of a run that was cut off
        op.execute(
            "CREATE INDEX CONCURRENTLY images_in_spool ON images (spool_node, spool_file, state) WHERE spool_file IS NOT NULL"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS images_waiting")


def downgrade() -> None:
    op.execute("CREATE INDEX images_waiting ON images (spool_node, spool_file) WHERE state = 'pending'")
    op.execute("DROP INDEX images_in_spool")

"""An image is found by its spool file through an index that knows no state.

Nearly all images are stored, and statistics say so: by them, all that wait are next to none, and going through all of them looks as
cheap as looking one up. After an outage they are a million. What is asked for each batch must not be able to go that way.
"""

from alembic import op
from sqlalchemy import text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # A run that was cut off may have left half an index, which is of no use, or a whole one, which others use by now.
        valid = op.get_bind().scalar(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('images_in_spool')")
        )
        if valid is False:
            op.execute("DROP INDEX CONCURRENTLY images_in_spool")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS images_in_spool ON images (spool_node, spool_file, state) WHERE spool_file IS NOT NULL"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS images_waiting")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS images_waiting")
        op.execute(
            "CREATE INDEX CONCURRENTLY images_waiting ON images (spool_node, spool_file) WHERE state = 'pending'"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS images_in_spool")

"""A direct upload names the actor that opened it, so that one actor does not take every place under many collector ids.

The version before inserts no name, and loses nothing by the column.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE uploads ADD COLUMN opened_by text NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.execute("ALTER TABLE uploads DROP COLUMN opened_by")

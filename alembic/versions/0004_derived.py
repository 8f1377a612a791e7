"""Derived pictures: each image's row tells which there are, and who makes one at this moment."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE images ADD COLUMN variants jsonb")


def downgrade() -> None:
    """The pictures themselves go by the bucket's rule, within 30 days."""
    op.execute("ALTER TABLE images DROP COLUMN variants")

"""A batch keeps the form of its content digest, so that retries of batches of older versions are compared in that form."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default is the form of the versions before, which name no form when they insert.
    for table in ("batches", "uploads"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN digest_form smallint NOT NULL DEFAULT 1")


def downgrade() -> None:
    for table in ("batches", "uploads"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN digest_form")

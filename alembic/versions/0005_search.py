"""Search that does not slow down as the vault grows: plates by what a camera may have misread, and by any part of them."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# platevault.domain.plates.part_keys asks for these numbers and says what they are; a test compares both. RESTRICTED: to start
# processes for each window of days takes longer than to look through it.
PLATE_KEYS = """
CREATE FUNCTION platevault_plate_keys(plate text, camera_id text, captured_at timestamptz) RETURNS integer[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL RESTRICTED COST 1000 AS $$
DECLARE
    day integer := (floor(extract(epoch FROM captured_at) / 86400)::integer & 262143) << 13;
    camera bytea := sha256(convert_to(camera_id, 'UTF8'));
    keys integer[] := ARRAY[day + 4096 + least(length(plate), 63),
                            day + 4160 + (get_byte(camera, 0) * 256 + get_byte(camera, 1)) % 4032];
    before integer := 0;
    code integer;
BEGIN
    FOR place IN 1..length(plate) LOOP
        code := ascii(substr(plate, place, 1));
        code := CASE WHEN code BETWEEN 48 AND 57 THEN code - 47 WHEN code BETWEEN 65 AND 90 THEN code - 54 ELSE 37 + code % 26 END;
        keys := keys || (day + before * 64 + code);
        before := code;
    END LOOP;
    RETURN keys || (day + before * 64);
END $$
"""
INDEXES = (
    (
        "detections_by_skeleton",
        "(translate(plate_searchable, 'ODQILZSGB', '000112568') text_pattern_ops, captured_at, detection_id)",
    ),
    (
        "detections_by_plate_keys",
        # Without a list of pending entries, which each search would have to read through, once a window of days.
        "USING gin (platevault_plate_keys(plate_searchable, camera_id, captured_at)) WITH (fastupdate = off) WHERE plate_searchable IS NOT NULL",
    ),
)


def upgrade() -> None:
    op.execute(PLATE_KEYS)
    with op.get_context().autocommit_block():
        for name, of in INDEXES:
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON detections {of}")
        # How frequent a skeleton is stands in statistics of the index, without which a frequent plate is taken for a rare one.
        # Not of an empty table: known to be empty, it would be read whole by every plan made before its first statistics.
        op.execute("DO $$ BEGIN IF EXISTS (SELECT FROM detections) THEN ANALYZE detections; END IF; END $$")
        op.execute("DROP INDEX CONCURRENTLY detections_by_plate")


def downgrade() -> None:
    op.execute(
        "CREATE INDEX detections_by_plate ON detections (plate_searchable text_pattern_ops, captured_at, detection_id)"
    )
    for name, _ in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("DROP FUNCTION platevault_plate_keys")

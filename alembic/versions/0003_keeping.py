"""What is kept and forgotten: retention classes, legal holds, purge records, direct uploads, deletions on request."""

from alembic import op

revision = "0003"
down_revision = "0002"
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
    IF NEW.rebuilt AND NOT OLD.rebuilt
    THEN RAISE EXCEPTION 'detections: a row is rebuilt from its start' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.erased_at IS NULL AND
       NOT (OLD.rebuilt AND NOT NEW.rebuilt AND num_nonnulls(OLD.plate, OLD.plate_searchable, OLD.confidence, OLD.candidates,
            OLD.region, OLD.box, OLD.vehicle, OLD.direction, OLD.heading_degrees, OLD.data) = 0) AND
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
# A longer class is for new detections only, and only a hold's own rows change what counts as held.
_ONLY_SHORTER = _WRITE_ONCE.replace(
    "    RETURN NEW;\n",
    """\
    IF NEW.retain_until IS DISTINCT FROM OLD.retain_until
       AND coalesce(NEW.retain_until, 'infinity') > coalesce(OLD.retain_until, 'infinity')
    THEN RAISE EXCEPTION 'detections: retention only becomes shorter' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.holds <> OLD.holds AND pg_trigger_depth() < 2
    THEN RAISE EXCEPTION 'detections: holds are placed and lifted, not counted by hand'
         USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
""",
)
_IMAGE_WRITE_ONCE = """
CREATE OR REPLACE FUNCTION platevault_image_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.detection_id, NEW.kind) IS DISTINCT FROM (OLD.detection_id, OLD.kind)
       OR (OLD.sha256 IS NOT NULL AND NEW.sha256 IS DISTINCT FROM OLD.sha256)
       OR (OLD.size IS NOT NULL AND NEW.size IS DISTINCT FROM OLD.size)
    THEN RAISE EXCEPTION 'images: ids, digests and sizes are write-once' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.state IN ('expired', 'deleted') AND NEW.state <> OLD.state
    THEN RAISE EXCEPTION 'images: % is final', OLD.state USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""
_HELD_BY_HOLDS = _IMAGE_WRITE_ONCE.replace(
    "    RETURN NEW;\n",
    """\
    IF NEW.holds <> OLD.holds AND pg_trigger_depth() < 2
    THEN RAISE EXCEPTION 'images: holds are placed and lifted, not counted by hand'
         USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
""",
)

TABLES = (
    """
    CREATE TABLE retention_classes (
        position integer PRIMARY KEY CONSTRAINT retention_classes_in_order CHECK (position >= 1),
        collector text NOT NULL,
        camera text NOT NULL,
        days integer CONSTRAINT retention_classes_last_a_day CHECK (days >= 1),
        changed_at timestamptz NOT NULL,
        CONSTRAINT retention_classes_once UNIQUE (collector, camera)
    )
    """,
    """
    CREATE TABLE holds (
        hold_id uuid PRIMARY KEY,
        placed_at timestamptz NOT NULL,
        placed_by text NOT NULL,
        requested_by text NOT NULL,
        authority text NOT NULL,
        "case" text NOT NULL,
        reason text NOT NULL,
        review_on date NOT NULL,
        query jsonb NOT NULL,
        newest_seq bigint NOT NULL DEFAULT 0,
        placed_through text,
        placed_all_at timestamptz,
        lifted_at timestamptz,
        lifted_by text,
        lift_reason text,
        CONSTRAINT holds_are_lifted_by_somebody CHECK (num_nonnulls(lifted_at, lifted_by, lift_reason) IN (0, 3))
    )
    """,
    "CREATE INDEX holds_newest ON holds (placed_at, hold_id)",
    "CREATE INDEX holds_to_place ON holds (placed_at) WHERE placed_all_at IS NULL AND lifted_at IS NULL",
    """
    CREATE TABLE hold_detections (
        hold_id uuid NOT NULL REFERENCES holds,
        detection_id text NOT NULL REFERENCES detections,
        released_at timestamptz,
        PRIMARY KEY (hold_id, detection_id)
    )
    """,
    "CREATE INDEX hold_detections_of ON hold_detections (detection_id)",
    "CREATE INDEX hold_detections_active ON hold_detections (hold_id, detection_id) WHERE released_at IS NULL",
    """
    CREATE TABLE hold_images (
        hold_id uuid NOT NULL,
        detection_id text NOT NULL,
        kind text NOT NULL,
        state text NOT NULL CONSTRAINT hold_images_state_is_known CHECK (state IN ('copying', 'held', 'gone')),
        verified_at timestamptz,
        attempts integer NOT NULL DEFAULT 0,
        last_error text,
        lease_owner uuid,
        lease_until timestamptz,
        released_at timestamptz,
        PRIMARY KEY (hold_id, detection_id, kind),
        FOREIGN KEY (hold_id, detection_id) REFERENCES hold_detections,
        FOREIGN KEY (detection_id, kind) REFERENCES images
    )
    """,
    "CREATE INDEX hold_images_of ON hold_images (detection_id, kind)",
    "CREATE INDEX hold_images_copying ON hold_images (hold_id, detection_id, kind) WHERE state = 'copying' AND released_at IS NULL",
    "CREATE INDEX hold_images_verified ON hold_images (verified_at) WHERE state = 'held' AND released_at IS NULL",
    """
    CREATE TABLE purges (
        purge_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        cause text NOT NULL CONSTRAINT purges_cause_is_known CHECK (cause IN ('retention', 'request')),
        deletion_id uuid,
        started_at timestamptz NOT NULL,
        ended_at timestamptz NOT NULL,
        detections bigint NOT NULL,
        images bigint NOT NULL,
        bytes bigint NOT NULL,
        held bigint NOT NULL,
        oldest_captured_at timestamptz,
        newest_captured_at timestamptz,
        ids_digest bytea NOT NULL CONSTRAINT purges_digest_is_sha256 CHECK (octet_length(ids_digest) = 32)
    )
    """,
    "CREATE INDEX purges_newest ON purges (started_at)",
    """
    CREATE TABLE uploads (
        upload_id uuid PRIMARY KEY,
        collector_id text NOT NULL,
        opened_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        state text NOT NULL CONSTRAINT uploads_state_is_known CHECK (state IN ('open', 'committed', 'aborted', 'expired')),
        files jsonb NOT NULL,
        ended_at timestamptz,
        content_digest bytea,
        status_code integer,
        answer jsonb,
        temp_gone_at timestamptz,
        CONSTRAINT uploads_commit_has_its_answer CHECK (
            state <> 'committed' OR num_nulls(ended_at, content_digest, status_code, answer) = 0)
    )
    """,
    "CREATE INDEX uploads_to_clear ON uploads (expires_at) WHERE temp_gone_at IS NULL",
    """
    CREATE TABLE deletions (
        deletion_id uuid PRIMARY KEY,
        requested_at timestamptz NOT NULL,
        requested_by text NOT NULL,
        expires_at timestamptz NOT NULL,
        filters jsonb,
        purpose text,
        "case" text,
        counted bigint NOT NULL,
        held bigint NOT NULL,
        newest_seq bigint NOT NULL,
        confirmed_at timestamptz,
        confirmed_by text,
        ended_at timestamptz,
        deleted bigint NOT NULL DEFAULT 0,
        skipped bigint NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX deletions_under_way ON deletions (confirmed_at) WHERE confirmed_at IS NOT NULL AND ended_at IS NULL",
)

COLUMNS = (
    "ALTER TABLE detections ALTER COLUMN retain_until DROP NOT NULL, ADD COLUMN holds integer NOT NULL DEFAULT 0",
    "ALTER TABLE images ADD COLUMN bytes_gone_at timestamptz",
)
CHECKS = (
    ("detections", "detections_holds_are_counted", "holds >= 0"),
    ("detections", "detections_held_stay", "holds = 0 OR erased_at IS NULL"),
    ("images", "images_gone_are_forgotten", "bytes_gone_at IS NULL OR state IN ('expired', 'deleted')"),
)
INDEXES = (
    (
        "images_to_remove",
        "images",
        "(detection_id, kind) WHERE state IN ('expired', 'deleted') AND key IS NOT NULL AND bytes_gone_at IS NULL",
    ),
    ("detections_erased", "detections", "(erased_at) WHERE erased_at IS NOT NULL"),
    (
        "detections_doubtful",
        "detections",
        "(collector_id, camera_id, captured_at) WHERE clock_suspect AND erased_at IS NULL",
    ),
)

# What a hold keeps is counted where it stands, in the same transaction, whoever writes the hold's rows. A gone image is not counted:
# there is nothing left of it to keep.
COUNTING = (
    """
    CREATE FUNCTION platevault_detections_are_held() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP IN ('INSERT', 'UPDATE') AND NEW.released_at IS NULL AND (TG_OP = 'INSERT' OR OLD.released_at IS NOT NULL)
        THEN UPDATE detections SET holds = holds + 1 WHERE detection_id = NEW.detection_id;
        END IF;
        IF TG_OP IN ('UPDATE', 'DELETE') AND OLD.released_at IS NULL AND (TG_OP = 'DELETE' OR NEW.released_at IS NOT NULL)
        THEN UPDATE detections SET holds = holds - 1 WHERE detection_id = OLD.detection_id;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER detections_are_held AFTER INSERT OR UPDATE OR DELETE ON hold_detections
        FOR EACH ROW EXECUTE FUNCTION platevault_detections_are_held()
    """,
    """
    CREATE FUNCTION platevault_images_are_held() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        was boolean := TG_OP <> 'INSERT' AND OLD.released_at IS NULL AND OLD.state <> 'gone';
        is_now boolean := TG_OP <> 'DELETE' AND NEW.released_at IS NULL AND NEW.state <> 'gone';
    BEGIN
        IF is_now AND NOT was
        THEN UPDATE images SET holds = holds + 1 WHERE detection_id = NEW.detection_id AND kind = NEW.kind;
        END IF;
        IF was AND NOT is_now
        THEN UPDATE images SET holds = holds - 1 WHERE detection_id = OLD.detection_id AND kind = OLD.kind;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER images_are_held AFTER INSERT OR UPDATE OR DELETE ON hold_images
        FOR EACH ROW EXECUTE FUNCTION platevault_images_are_held()
    """,
    """
    CREATE FUNCTION platevault_held_until_lifted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND (NEW.hold_id, NEW.detection_id, to_jsonb(NEW) ->> 'kind')
           IS DISTINCT FROM (OLD.hold_id, OLD.detection_id, to_jsonb(OLD) ->> 'kind')
        THEN RAISE EXCEPTION '%: what a hold names is write-once', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        IF TG_OP = 'UPDATE' AND NEW.released_at IS NOT DISTINCT FROM OLD.released_at
           AND (to_jsonb(NEW) ->> 'state' = 'gone') IS NOT DISTINCT FROM (to_jsonb(OLD) ->> 'state' = 'gone')
        THEN RETURN NEW;
        END IF;
        IF (TG_OP = 'UPDATE' AND OLD.released_at IS NOT NULL)
           OR NOT EXISTS (SELECT FROM holds WHERE hold_id = OLD.hold_id AND lifted_at IS NOT NULL)
        THEN RAISE EXCEPTION '%: a hold lets go once it is lifted', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END $$
    """,
    """
    CREATE TRIGGER held_until_lifted BEFORE UPDATE OR DELETE ON hold_detections
        FOR EACH ROW EXECUTE FUNCTION platevault_held_until_lifted()
    """,
    """
    CREATE TRIGGER held_until_lifted BEFORE UPDATE OR DELETE ON hold_images
        FOR EACH ROW EXECUTE FUNCTION platevault_held_until_lifted()
    """,
    """
    CREATE FUNCTION platevault_hold_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
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
    """,
    """
    CREATE TRIGGER hold_is_write_once BEFORE UPDATE OR DELETE ON holds
        FOR EACH ROW EXECUTE FUNCTION platevault_hold_is_write_once()
    """,
    """
    CREATE FUNCTION platevault_purge_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'purges: what was written stays' USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    """
    CREATE TRIGGER purge_is_write_once BEFORE UPDATE OR DELETE ON purges
        FOR EACH ROW EXECUTE FUNCTION platevault_purge_is_write_once()
    """,
    "CREATE TRIGGER holds_no_truncate BEFORE TRUNCATE ON holds EXECUTE FUNCTION platevault_no_truncate()",
    "CREATE TRIGGER hold_detections_no_truncate BEFORE TRUNCATE ON hold_detections EXECUTE FUNCTION platevault_no_truncate()",
    "CREATE TRIGGER hold_images_no_truncate BEFORE TRUNCATE ON hold_images EXECUTE FUNCTION platevault_no_truncate()",
    "CREATE TRIGGER purges_no_truncate BEFORE TRUNCATE ON purges EXECUTE FUNCTION platevault_no_truncate()",
)


def upgrade() -> None:
    for statement in (*COLUMNS, *TABLES):
        op.execute(statement)
    for table, name, condition in CHECKS:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
    for statement in (_ONLY_SHORTER, _HELD_BY_HOLDS, *COUNTING):
        op.execute(statement)
    with op.get_context().autocommit_block():
        for table, name, _ in CHECKS:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        for name, table, of in INDEXES:
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {table} {of}")


def downgrade() -> None:
    """Classes that never end cannot be told to the version before: it refuses while there is such a detection."""
    op.execute("ALTER TABLE detections ALTER COLUMN retain_until SET NOT NULL")
    for name, _, _ in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("DROP TABLE hold_images, hold_detections, holds, purges, uploads, deletions, retention_classes")
    op.execute(
        "DROP FUNCTION platevault_detections_are_held, platevault_images_are_held, platevault_hold_is_write_once,"
        " platevault_purge_is_write_once, platevault_held_until_lifted"
    )
    op.execute(_WRITE_ONCE)
    op.execute(_IMAGE_WRITE_ONCE)
    for table, name, _ in CHECKS:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute("ALTER TABLE detections DROP COLUMN holds")
    op.execute("ALTER TABLE images DROP COLUMN bytes_gone_at")

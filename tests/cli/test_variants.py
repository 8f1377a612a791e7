"""`platevault variants rebuild` as an operator runs it, on real pictures."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from platevault.collector.photo import dimensions, draw_scene
from platevault.domain.object_keys import generate_object_key
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.local import LocalStore
from platevault.infra.postgres.database import Database
from tests.makers import a_detection, an_image, put
from tests.support.processes import environment_for, run_platevault
from tests.support.servers import BUCKET, S3Server

WHEN = datetime(2025, 1, 15, 12, tzinfo=UTC)


async def test_variants_are_counted_then_made_then_there(migrated: Database, migrated_url: str, tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "images")
    jpeg = draw_scene("AB123CD", seed=1, captured_at=WHEN, camera="north").full
    good = an_image("full", sha256=hashlib.sha256(jpeg).digest(), size=len(jpeg))
    cut = jpeg[: len(jpeg) // 2]
    bad = an_image("full", sha256=hashlib.sha256(cut).digest(), size=len(cut))
    async with migrated.reading() as connection:
        await put(connection, a_detection("evt_1", captured_at=WHEN, images=[good]))
        await put(connection, a_detection("evt_2", captured_at=WHEN, images=[bad]))
        await connection.commit()
    for name, data in (("evt_1", jpeg), ("evt_2", cut)):
        key = generate_object_key(name, WHEN, "full")
        assert await store.create(key, NewObject(data=data, content_type="image/jpeg", metadata={}))
    nowhere = S3Server(**dict.fromkeys(S3Server.__dataclass_fields__, "unused") | {"bucket": BUCKET})
    site = environment_for(
        migrated_url,
        nowhere,
        tmp_path,
        STORAGE_BACKEND="local",
        LOCAL_STORAGE_DIR=str(tmp_path / "images"),
        PUBLIC_URL="http://127.0.0.1:9",
        IMAGE_VARIANTS='{"thumb": {"width": 100}, "poster": {"width": 200, "format": "png"}}',
    )

    def said(*arguments: str) -> tuple[int, dict[str, int]]:
        done = run_platevault("variants", "rebuild", "--json", *arguments, environment=site, folder=tmp_path)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["counts"]

    assert said() == (0, {"images": 2, "lacking": 4, "made": 0, "refused": 0})
    assert said("--variant", "thumb", "--yes") == (0, {"images": 2, "lacking": 2, "made": 1, "refused": 1})
    assert said("--yes") == (0, {"images": 2, "lacking": 2, "made": 1, "refused": 1})
    assert said("--yes") == (0, {"images": 2, "lacking": 0, "made": 0, "refused": 0})
    made = sorted(path for path in (tmp_path / "images" / "objects" / "derived").rglob("*") if path.is_file())
    assert [path.suffix for path in made] == [".png", ".jpg"]
    assert dimensions(made[1].read_bytes())[0] == 100
    wrong = run_platevault("variants", "rebuild", "--variant", "poter", environment=site, folder=tmp_path)
    assert wrong.returncode == 2
    assert "thumb, poster" in wrong.stderr

"""The service that tutorials show: FastAPI's UploadFile, the blocking MinIO SDK in threads, a row of an ORM for each detection.

What it does not do: nothing is synced or kept when the object store or the database fails halfway, nothing is checked against a
digest, a retry makes everything twice or fails, and nobody is asked who they are. It is here to be compared with, in speed alone.

`TUTORIAL_BLOCKING=1` leaves the threads out, which is as usual: coroutines that are gathered and each block the event loop.
"""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Form, UploadFile
from minio import Minio
from sqlalchemy import JSON, DateTime
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=10)
sessions = async_sessionmaker(engine, expire_on_commit=False)
client = Minio(
    os.environ["MINIO_ENDPOINT"],
    access_key=os.environ["MINIO_ACCESS_KEY"],
    secret_key=os.environ["MINIO_SECRET_KEY"],
    region="us-east-1",
    secure=False,
)
bucket = os.environ["MINIO_BUCKET"]
is_blocking = os.environ.get("TUTORIAL_BLOCKING") == "1"


class Base(DeclarativeBase):
    pass


class Detection(Base):
    __tablename__ = "tutorial_detections"

    id: Mapped[str] = mapped_column(primary_key=True)
    captured_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    camera_id: Mapped[str] = mapped_column(index=True)
    plate: Mapped[str | None]
    confidence: Mapped[float | None]
    full_key: Mapped[str | None]
    crop_key: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/readyz")
async def ready() -> dict[str, str]:
    return {"status": "ok"}


def put_object(key: str, data: bytes) -> None:
    client.put_object(bucket, key, io.BytesIO(data), len(data), content_type="image/jpeg")


async def store(key: str, file: UploadFile) -> str:
    data = await file.read()
    if is_blocking:
        put_object(key, data)
    else:
        await asyncio.get_running_loop().run_in_executor(None, put_object, key, data)
    return key


@app.post("/detections", status_code=201)
async def create_detections(detections: Annotated[str, Form()], files: list[UploadFile]) -> dict[str, Any]:
    records = json.loads(detections)
    by_name = {file.filename: file for file in files}
    wanted = []
    for record in records:
        day = datetime.fromisoformat(record["captured_at"]).strftime("%Y/%m/%d")
        for kind in ("full", "crop"):
            name = f"{record['detection_id']}_{kind}.jpg"
            wanted.append((f"{kind}/{day}/{name}", by_name[name]))
    keys = await asyncio.gather(*(store(key, file) for key, file in wanted))
    async with sessions() as session:
        for number, record in enumerate(records):
            session.add(
                Detection(
                    id=record["detection_id"],
                    captured_at=datetime.fromisoformat(record["captured_at"]),
                    camera_id=record["camera_id"],
                    plate=record.get("plate"),
                    confidence=record.get("confidence"),
                    full_key=keys[2 * number],
                    crop_key=keys[2 * number + 1],
                    details=record,
                )
            )
        await session.commit()
    return {"created": len(records)}

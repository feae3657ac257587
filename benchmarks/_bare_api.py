"""What the API is compared with: FastAPI and the same driver, without tokens, checks or validation."""

import os
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DATABASE_URL"])
app = FastAPI()


@app.get("/one")
def one() -> dict[str, int]:
    with engine.connect() as connection:
        return {"one": connection.execute(text("SELECT 1")).scalar_one()}


@app.get("/days")
def days() -> list[dict[str, Any]]:
    query = text("SELECT * FROM daily_stats WHERE project_id = 1 ORDER BY date LIMIT 1000")
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)

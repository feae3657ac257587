"""The API in the console's server: what its log holds of a request that fails."""

from pathlib import Path

from sqlalchemy import URL, Engine, text

from tests.support import api_server
from tests.support.fleet import serving


def test_a_failure_of_the_api_leaves_no_token_in_the_log(url: URL, engine: Engine, tmp_path: Path) -> None:
    token, log = api_server.new_token(engine, "viewer"), tmp_path / "console.log"
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE adjustments RENAME TO elsewhere"))
    with (
        serving(url, log=log, folder=tmp_path, FLEETMETER_DATA_DIR=str(tmp_path)) as address,
        api_server.client(address, token) as client,
    ):
        assert client.get("/adjustments").status_code == 500
    written = log.read_text()
    assert "request.failed" in written
    assert "Traceback" in written
    assert token.rpartition("_")[2] not in written

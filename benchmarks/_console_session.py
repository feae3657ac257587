"""A person at the console without a browser: its web socket, for the server's own time."""

import time

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol

SUCCEEDED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


class ConsoleSession:
    """One session. It asks like a browser does, and reads what comes back without drawing it."""

    def __init__(self, address: str) -> None:
        url = f"{address.replace('http', 'ws')}/_stcore/stream"
        self._socket = connect(url, subprotocols=[Subprotocol("streamlit")], max_size=None)
        self._fragments: set[str] = set()

    def show(self, page: str, query: str = "") -> float:
        """Open or renew a page; return the seconds until its script has ended."""
        self._fragments.clear()
        request = BackMsg()
        request.rerun_script.page_name = page
        request.rerun_script.query_string = query
        return self._ask(request)

    def tick(self) -> float:
        """Renew the parts of the page that renew themselves; return the seconds of all of them."""
        return sum(self._renew(fragment) for fragment in list(self._fragments))

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _renew(self, fragment: str) -> float:
        request = BackMsg()
        request.rerun_script.fragment_id = fragment
        request.rerun_script.is_auto_rerun = True
        return self._ask(request)

    def _ask(self, request: BackMsg) -> float:
        began = time.perf_counter()
        self._socket.send(request.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(self._socket.recv(60))  # type: ignore[arg-type]
            kind = answer.WhichOneof("type")
            if kind == "auto_rerun":
                self._fragments.add(answer.auto_rerun.fragment_id)
            if kind == "script_finished" and answer.script_finished in SUCCEEDED:
                return time.perf_counter() - began

"""Runs inside a pod: calls as an end user through the gateway until told to stop.

`python -c <this file>`; the plan as one line of JSON on standard input:

    {"target", "name", "ca", "calls": [{"rpc", "message": base64, "token"}, …], "workers"}

A second line ends it. Then one line of JSON: how many calls were made and what
became of those that failed. There is no retry but gRPC's own transparent one,
which every client has: a call that failed here has failed a user.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
import uuid
from typing import Any

import grpc

_TIMEOUT_SECONDS = 10
_PAUSE_SECONDS = 0.02
_PLACE = (
    b"00000000-0000-4000-8000-000000000000"  # an idempotency key, of which each call has its own
)


class Load:
    """Workers that call in turn, each on a connection of its own."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.made = 0
        self.failed: list[dict[str, Any]] = []

    def run_until(self, lines: Any) -> None:
        """Calls until a line comes."""
        workers = [threading.Thread(target=self._work) for _ in range(self._plan["workers"])]
        for worker in workers:
            worker.start()
        _say({"started": True})
        lines.readline()
        self._stop.set()
        for worker in workers:
            worker.join()

    def _work(self) -> None:
        credentials = grpc.ssl_channel_credentials(self._plan["ca"].encode())
        options = [
            ("grpc.ssl_target_name_override", self._plan["name"]),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        with grpc.secure_channel(self._plan["target"], credentials, options=options) as channel:
            while not self._stop.is_set():
                for call in self._plan["calls"]:
                    self._one(channel, call)
                    time.sleep(_PAUSE_SECONDS)

    def _one(self, channel: grpc.Channel, call: dict[str, str]) -> None:
        message = base64.b64decode(call["message"])
        message = message.replace(_PLACE, str(uuid.uuid4()).encode())
        began = time.time()
        try:
            channel.unary_unary(call["rpc"])(
                message,
                timeout=_TIMEOUT_SECONDS,
                metadata=[("authorization", f"Bearer {call['token']}")],
            )
            problem = None
        except grpc.RpcError as error:
            problem = {
                "rpc": call["rpc"],
                "code": error.code().name,
                "message": error.details(),
                "at": began,
                "seconds": round(time.time() - began, 3),
            }
        with self._lock:
            self.made += 1
            if problem:
                self.failed.append(problem)


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    load = Load(json.loads(sys.stdin.readline()))
    load.run_until(sys.stdin)
    _say({"made": load.made, "failed": load.failed[:50], "count": len(load.failed)})

"""A headless Chromium, driven over its DevTools protocol; it is told of no address but a file's."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
WHY_NOT = f"none of {', '.join(NAMES)} is installed"

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--disable-extensions", "--window-size=1200,900", "--mute-audio", "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Tab:
    """One page: what it was asked to load, and all that it complained about."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._events: list[str] = []
        self.session: str | None = None

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; raises AssertionError for what the browser refuses."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        await self._socket.send_json(message | ({"sessionId": self.session} if self.session else {}))
        while True:
            answer = await self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    async def until(self, event: str) -> None:
        """Until the browser has told of an event since the last call of this."""
        while event not in self._events:
            await self._next()
        self._events.clear()

    async def _next(self) -> dict[str, Any]:
        answer: dict[str, Any] = await asyncio.wait_for(self._socket.receive_json(), 30)
        method, parameters = answer.get("method", ""), answer.get("params", {})
        self._events.append(method)
        if method == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.complaints.append(str(parameters))
        return answer

    async def open(self, path: Path) -> None:
        """Load a file and wait until it stands."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        self._events.clear()
        await self.call("Page.navigate", url=path.as_uri())
        await self.until("Page.loadEventFired")

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; raises AssertionError for an exception."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")


@asynccontextmanager
async def tab() -> AsyncIterator[Tab]:
    """A browser of its own with one page, gone afterwards."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": "disabled:"},
        )  # fmt: skip
        try:
            address = await asyncio.wait_for(_address(process), 30)
            async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
                page = Tab(socket)
                target = await page.call("Target.createTarget", url="about:blank")
                attached = await page.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
                page.session = attached["sessionId"]
                yield page
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        found = re.search(rb"DevTools listening on (ws://127\.0\.0\.1:\S+)", line)
        if found:
            return found[1].decode()
    raise AssertionError("the browser ended before it listened")

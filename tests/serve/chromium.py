"""Headless Chromium in the hands of a test, driven over its debugging pipe: no port, no driver."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_S = 60.0


class Chromium:
    """One page of one browser. ``console``: what it complained about."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        self.console: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The browser's answer to one command."""
        number = next(self._numbers)
        said = {"id": number, "method": method, "params": parameters}
        said |= {"sessionId": self._session} if self._session else {}
        os.write(self._commands, json.dumps(said).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> None:
        """The page at ``url``, loaded; its script may still be busy."""
        self.ask("Page.navigate", url=url)
        self.until(f"location.href.startsWith({url!r}) && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """What a script of the test's own comes to, in the page."""
        done = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, script: str, patience_s: float = PATIENCE_S) -> Any:
        """The first truth that the script comes to."""
        deadline_s = time.monotonic() + patience_s
        while time.monotonic() < deadline_s:
            if found := self.run(script):
                return found
            time.sleep(0.05)
        raise AssertionError(f"not within {patience_s:g} s: {script}; {self.text()}")

    def text(self) -> str:
        """All that can be read now."""
        return str(self.run("document.body.innerText"))

    def look(self, width_px: int, *, dark: bool = False) -> None:
        """See the page at this width, on light or dark paper."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width_px,
            height=900,
            deviceScaleFactor=2 if width_px < 600 else 1,
            mobile=width_px < 600,
        )
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG file."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._answers, 1 << 20)
            assert more, "the browser ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        if event.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.console.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        if event.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(about["exceptionDetails"]))


def pin(certificate: Path) -> str:
    """What Chromium knows the certificate's key by."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


@contextmanager
def browsing(directory: Path, trusted: Sequence[Path] = ()) -> Iterator[Chromium]:
    """A browser of its own, its profile in ``directory``; nothing of it is left.

    Besides those of the system it trusts the keys of these PEM certificates, and no others.
    """
    program = next(path for name in NAMES if (path := shutil.which(name)))
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    argv = [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--remote-debugging-pipe",
        f"--user-data-dir={directory / 'chromium'}",
        f"--ignore-certificate-errors-spki-list={','.join(map(pin, trusted))}",
    ]
    # Chromium reads commands from 3 and answers to 4: first out of the way of those two numbers
    high = [
        os.dup2(fd, number, inheritable=False) for fd, number in ((theirs_in, 63), (theirs_out, 64))
    ]
    quiet = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in ((quiet, 1), (quiet, 2))]
    actions += [(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in zip(high, (3, 4), strict=True)]
    pid = os.posix_spawn(program, argv, os.environ, file_actions=actions, setpgroup=0)
    for fd in (theirs_in, theirs_out, quiet, *high):
        os.close(fd)
    try:
        yield Chromium(ours_out, ours_in)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ours_out)
        os.close(ours_in)

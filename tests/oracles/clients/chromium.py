"""Headless Chromium, driven over --remote-debugging-pipe: the DevTools protocol as JSON between NUL bytes on two pipes.

Nothing is installed for it: no WebSocket, no driver.
"""

import fcntl
import json
import os
import queue
import subprocess
import tempfile
import threading

PATIENCE_S = 60


class Chromium:
    def __init__(self, program="chromium"):
        self.folder = tempfile.TemporaryDirectory(prefix="larder-chromium-", ignore_cleanup_errors=True)
        to_it, from_it = os.pipe(), os.pipe()
        # away from 3 and 4, where Chromium wants them
        read_end, write_end = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (to_it[0], from_it[1]))
        os.close(to_it[0])
        os.close(from_it[1])

        def place_pipes():
            os.dup2(read_end, 3)
            os.dup2(write_end, 4)

        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
                   "--no-proxy-server", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
                   "--disable-backgrounding-occluded-windows", "--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe",
                   f"--user-data-dir={self.folder.name}", "about:blank"]
        environment = {**os.environ, "HOME": self.folder.name}
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        pass_fds=(3, 4), preexec_fn=place_pipes, env=environment)
        os.close(read_end)
        os.close(write_end)
        self.writing, self.reading = os.fdopen(to_it[1], "wb", 0), os.fdopen(from_it[0], "rb", 0)
        self.last = 0
        self.answers = {}
        self.arrived = threading.Condition()
        self.events = queue.Queue()
        self.ended = False
        threading.Thread(target=self.read_messages, daemon=True).start()
        self.version = self.call("Browser.getVersion")["product"]

    def read_messages(self):
        pending = b""
        while (piece := self.reading.read(1 << 16)):
            *messages, pending = (pending + piece).split(b"\0")
            for text in messages:
                message = json.loads(text)
                if "id" not in message:
                    self.events.put(message)
                    continue
                with self.arrived:
                    self.answers[message["id"]] = message
                    self.arrived.notify_all()
        with self.arrived:
            self.ended = True
            self.arrived.notify_all()

    def call(self, method, session=None, **parameters):
        """One command and its result."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.writing.write(json.dumps(message).encode() + b"\0")
        with self.arrived:
            if not self.arrived.wait_for(lambda: message["id"] in self.answers or self.ended, PATIENCE_S) or self.ended:
                raise RuntimeError(f"Chromium does not answer {method}")
            answer = self.answers.pop(message["id"])
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def stop(self):
        try:
            self.call("Browser.close")
            self.process.wait(PATIENCE_S)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


class Page:
    """One tab. `run` evaluates an async function in it."""

    def __init__(self, browser, url):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            browser.call(f"{domain}.enable", self.session)
        browser.call("Page.navigate", self.session, url=url)
        self.wait_for("Page.loadEventFired")

    def next_event(self):
        """The next event of this tab: its name and parameters."""
        while True:
            event = self.browser.events.get(timeout=PATIENCE_S)
            if event.get("sessionId") == self.session:
                return event["method"], event["params"]

    def wait_for(self, wanted):
        while True:
            method, given = self.next_event()
            if method == wanted:
                return given

    def bring_to_front(self):
        """Timers and media of a tab that nobody sees may rest."""
        self.browser.call("Page.bringToFront", self.session)

    def run(self, function, *arguments):
        text = f"({function})({', '.join(json.dumps(one) for one in arguments)})"
        result = self.browser.call("Runtime.evaluate", self.session, expression=text, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:1000])
        return result["result"].get("value")

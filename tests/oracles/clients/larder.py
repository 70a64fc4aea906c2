"""The built program as a child process in front of a backend."""

import pathlib
import re
import signal
import subprocess
import tempfile
import threading

PATIENCE_S = 30


class Larder:
    """Starts on a free port and is ready when it exists. `yaml` is the configuration without listen and upstream."""

    def __init__(self, binary, upstream, yaml):
        self.folder = tempfile.TemporaryDirectory(prefix="larder-oracle-")
        config = pathlib.Path(self.folder.name) / "larder.yaml"
        config.write_text(f"listen: 127.0.0.1:0\nupstream: {upstream}\n{yaml}")
        self.process = subprocess.Popen([binary, "--config", str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.log = []
        self.port = None
        self.ready = threading.Event()
        threading.Thread(target=self.read_log, daemon=True).start()
        if not self.ready.wait(PATIENCE_S) or self.port is None:
            self.stop()
            raise RuntimeError("larder does not get ready:\n" + "".join(self.log))
        self.url = f"http://127.0.0.1:{self.port}"

    def read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"ready.*\blisten\W+127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                self.ready.set()
        self.ready.set()

    def stop(self):
        """Ends it as an operator would. Returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.folder.cleanup()
        return self.process.returncode

"""The limits of a container: the program under files that say what a cgroup of either version allows."""

import os
import re
import select
import subprocess

from harness import PATIENCE, check
from tools import NotChecked

LIMIT_BYTES = 80_000_000
# A file system of its own in the place of the machine's cgroups; `exec` so that a signal reaches the program.
SCRIPT = f"""
mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory /sys/fs/cgroup/cpu &&
echo {LIMIT_BYTES} | tee /sys/fs/cgroup/memory.max > /sys/fs/cgroup/memory/memory.limit_in_bytes &&
echo '100000 100000' > /sys/fs/cgroup/cpu.max &&
echo 100000 | tee /sys/fs/cgroup/cpu/cpu.cfs_quota_us > /sys/fs/cgroup/cpu/cpu.cfs_period_us &&
exec "$@"
"""


def check_limits(stage):
    """workers and memory follow from the limits of the cgroup: one core, and less memory than is asked for"""
    allowed = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/sys/fs/cgroup"], capture_output=True, check=False)
    if os.geteuid() != 0 or allowed.returncode != 0:
        raise NotChecked("a mount of one's own is for root")
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", SCRIPT, "sh", stage.binary, "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0",
         "--memory", "64MiB"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        log = b""
        while b" ready " not in log:
            readable, _, _ = select.select([process.stderr], [], [], 30 * PATIENCE)
            piece = os.read(process.stderr.fileno(), 65536) if readable else b""
            check(piece, f"larder does not get ready:\n{log.decode()}")
            log += piece
    finally:
        process.terminate()
        process.wait()
    text = log.decode()
    check(" workers=1 " in text, f"workers:\n{text}")
    cut = re.search(r"warn memory is cut to .* configured_bytes=67108864 used_bytes=(\d+)", text)
    check(cut and int(cut[1]) == LIMIT_BYTES - 32 * 1024 * 1024, f"memory:\n{text}")


CASES = (check_limits,)

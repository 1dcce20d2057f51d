"""Huge pages: our allocator takes none, and nobody else is forbidden them."""

import pathlib
import re

from conftest import HELLO

def test_the_allocator_takes_no_huge_pages_and_the_application_may(worker):
    one = worker(HELLO, "--workers", "1")
    assert one.request()[0] == 200
    for pid in [one.process.pid, one.zygote(), *one.pids()]:
        proc = pathlib.Path(f"/proc/{pid}")
        assert "THP_enabled:\t1" in (proc / "status").read_text()
        # The allocator's arenas are by far the largest mappings that can be written to.
        mappings = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", (proc / "smaps").read_text())
        sizes = [(int(size[1]), one) for one in mappings if (size := re.search(r"(?m)^Size: +(\d+)", one)) and " rw-p " in one]
        arena = max(sizes)[1]
        assert " nh" in re.search(r"VmFlags:.*", arena)[0]
        assert "AnonHugePages:         0 kB" in arena

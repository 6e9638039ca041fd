from __future__ import annotations

import subprocess
import sys


def test_kit_loads_no_aiohttp_and_leaves_it_to_others() -> None:
    """nats-py loads it where it is installed; 8 MB of every service."""
    program = "import sys, uait_kit; assert 'aiohttp' not in sys.modules; import nats.aio.transport; print('kit')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("kit\n", "")

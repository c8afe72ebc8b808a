"""`hush-otel demo --ui`: the page beside a workflow that runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
from support import eventually


def test_the_demo_runs_beside_its_page_until_it_is_interrupted(tmp_path: Path) -> None:
    """A request is seen while it runs; Ctrl-C ends everything, and the database is kept."""
    command = [
        sys.executable,
        "-m",
        "hush_otel",
        "demo",
        "--ui",
        "--no-open",
        "--dir",
        str(tmp_path / "demo"),
    ]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert demo.stdout is not None
        login_url = demo.stdout.readline().strip()
        with httpx.Client(timeout=30.0, follow_redirects=True) as client:
            origin = login_url.partition("/login")[0]
            assert client.get(login_url).status_code == 200

            def runs() -> bool:
                found = (
                    client.get(f"{origin}/api/requests").json().get("requests", [])
                )  # none while it is made
                return any(request["running_count"] for request in found)

            eventually(runs, 60.0, what="a request that runs", poll_s=0.1)
    finally:
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert f"--db {tmp_path / 'demo' / 'traces.db'} ui" in said

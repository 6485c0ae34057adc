"""Stand-ins for other machines, all of them processes on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smdown.runtime.profile import Profile
from smdown.runtime.settings import exported

SBATCH = """#!/bin/bash
set -eu
cp "$1" "{home}/job-$$.sh"
setsid bash "{home}/job-$$.sh" > "{home}/job-$$.log" 2>&1 < /dev/null &
echo "$!" > "{home}/job-$$.pid"
echo "Submitted batch job $$"
"""
SCANCEL = """#!/bin/bash
kill -TERM -- "-$(cat "{home}/job-$1.pid")" 2> /dev/null || true
"""

SSH_SERVER = """
import asyncio, os, signal, sys
import asyncssh

async def run(process):
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_shell(
        process.command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    )

    async def pass_on(source, target):
        while line := await source.readline():
            target.write(line.decode())

    async def ended_from_afar():
        try:
            while await process.stdin.read():
                pass
            await process.channel.wait_closed()
        except asyncssh.SignalReceived:
            pass
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGTERM)

    watch = asyncio.create_task(ended_from_afar())
    await asyncio.gather(pass_on(child.stdout, process.stdout), pass_on(child.stderr, process.stderr))
    process.exit(await child.wait())
    watch.cancel()

async def serve(home, port):
    options = dict(server_host_keys=[f"{home}/host"], authorized_client_keys=f"{home}/user.pub", process_factory=run)
    for host in ("127.0.0.1", "127.0.0.2"):
        await asyncssh.listen(host, port, **options)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
"""


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def fake_slurm(home: Path) -> Path:
    """Write commands that run what they are given as jobs on this machine; return their folder."""
    folder = home / "bin"
    folder.mkdir(parents=True)
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text.format(home=home))
        (folder / name).chmod(0o755)
    return folder


@contextmanager
def ssh_hosts(home: Path) -> Iterator[int]:
    """Serve SSH on 127.0.0.1 and 127.0.0.2 for one key; yield the port."""
    import asyncssh

    home.mkdir(exist_ok=True)
    for name in ("host", "user"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(home / name))
        key.write_public_key(str(home / f"{name}.pub"))
    port, public = free_port(), (home / "host.pub").read_text().strip()
    (home / "known_hosts").write_text("".join(f"[127.0.0.{n}]:{port} {public}\n" for n in (1, 2)))
    (home / "server.py").write_text(SSH_SERVER)
    command = [sys.executable, str(home / "server.py"), str(home), str(port)]
    with process(command, os.environ.copy()) as server:
        assert server.stdout is not None
        assert server.stdout.readline().strip() == "ready"
        yield port


@contextmanager
def process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program, and end it and its children at the end."""
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True
    )
    try:
        yield running
    finally:
        for number in (15, 9):
            try:
                os.killpg(running.pid, number)
                running.wait(5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


@contextmanager
def by_hand(tls: Path, folder: Path, *more: str, workers: int = 2) -> Iterator[str]:
    """Start a scheduler and workers as a user does by hand, with certificates; yield the scheduler's address."""
    files = [f"--tls-ca-file={tls}/ca.pem", f"--tls-cert={tls}/cert.pem", f"--tls-key={tls}/key.pem"]
    address = f"tls://127.0.0.1:{free_port()}"
    path = os.pathsep.join(p or "." for p in sys.path)
    environment = os.environ | exported(Profile()) | {"PYTHONPATH": path}
    scheduler = ["-m", "distributed.cli.dask_scheduler", "--protocol=tls", "--host=127.0.0.1", "--no-dashboard"]
    scheduler += [f"--port={address.rpartition(':')[2]}", *files]
    worker = ["-m", "distributed.cli.dask_worker", address, "--host=127.0.0.1", "--nthreads=1", "--memory-limit=2GiB"]
    worker += [f"--nworkers={workers}", "--no-dashboard", f"--local-directory={folder}", *files, *more]
    with process([sys.executable, *scheduler], environment):
        time.sleep(1)
        with process([sys.executable, *worker], environment):
            yield address

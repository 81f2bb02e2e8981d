"""What the measuring scripts share: packages, a pinned nginx, one measured run of a client. No command of its own."""

import os
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RINGLOAD = str(ROOT / "target/release/ringload")
NGINX_CONF = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  server {{ listen 127.0.0.1:{port} backlog=16384; location / {{ return 200 "hello world\\n"; }} }}
}}
"""


def install_missing(packages):
    """Installs Debian packages for the commands that are missing: {command: package}."""
    os.environ["PATH"] += ":/usr/sbin"
    missing = [package for command, package in packages.items() if not shutil.which(command)]
    if missing:
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*sudo, "apt-get", "update", "-qq"], check=True)
        subprocess.run([*sudo, "apt-get", "install", "-y", "-qq", *missing], check=True, stdout=subprocess.DEVNULL)


def build():
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True)


def pinned_to(cores):
    """For preexec_fn: the child and its threads run on these cores only."""
    return lambda: os.sched_setaffinity(0, set(cores))


class Nginx:
    """nginx on a free loopback port, pinned to one core, for as long as the block lasts."""

    def __init__(self, core):
        self.core = core

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        conf = Path(self.folder.name) / "nginx.conf"
        conf.write_text(NGINX_CONF.format(dir=self.folder.name, port=port))
        self.process = subprocess.Popen(["nginx", "-c", conf], preexec_fn=pinned_to([self.core]), stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}/"
            time.sleep(0.05)
        sys.exit("nginx did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def run(argv, cores):
    """Runs a client to its end; its output, CPU seconds and peak memory."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.DEVNULL, preexec_fn=pinned_to(cores))
        status, usage, memory_kib = wait(process.pid)
        wall_s = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{' '.join(argv)} exited with {process.returncode}")
        output.seek(0)
        cpu_s = usage.ru_utime + usage.ru_stime
        return {"output": output.read(), "cpu_s": cpu_s, "wall_s": wall_s, "memory_kib": memory_kib}


def wait(pid):
    """Waits for a child: its exit status, resource usage and peak memory.

    The peak is read from /proc while it runs: ru_maxrss would include this interpreter, which it was forked from.
    """
    peak_kib = 0
    ended = os.pidfd_open(pid)
    while not select.select([ended], [], [], 0.25)[0]:
        with open(f"/proc/{pid}/status") as lines:
            # A zombie has no such line.
            peak_kib = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), peak_kib)
    os.close(ended)
    _, status, usage = os.wait4(pid, 0)
    return status, usage, peak_kib


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def first_line(*command):
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return (result.stdout or result.stderr).strip().splitlines()[0]


def machine_lines():
    """The lines of a results README that say where and with what it was measured, the server last."""
    server = first_line("nginx", "-v")
    return f"{place_lines()}\n- server: {server}, one worker, 12-byte answers"


def place_lines():
    """The same of what needs no server."""
    cpu = next(line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return f"""\
- date: {time.strftime('%Y-%m-%d')}
- commit: {first_line('git', 'rev-parse', 'HEAD')}
- machine: {cpu}, {os.cpu_count()} CPUs, Linux {os.uname().release}"""

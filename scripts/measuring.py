"""What the measuring scripts share: packages, a pinned nginx, one measured run of a client. No command of its own."""

import functools
import os
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RINGLOAD = str(ROOT / "target/release/ringload")
# What is built or installed once for all measurements.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringload"
BODIES = {"4k": 4 << 10, "64k": 64 << 10, "1m": 1 << 20}
# Where a body is chunked, an empty one is added to it: nginx then no longer knows the length, and sends each of its
# buffers as a chunk. Nothing is scanned or compressed for it.
NGINX_CONF = """
worker_processes 1; worker_rlimit_nofile {nofile}; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections {nofile}; }}
http {{
  access_log off; log_format time $msec; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/temp; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/temp;
  uwsgi_temp_path {folder}/temp; scgi_temp_path {folder}/temp;
  default_type application/octet-stream; open_file_cache max=10;
  ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.3;
  {servers}
}}
"""
NGINX_SERVER = """
  server {{
    {listen} {more}
    location / {{ return 200 "hello world\\n"; }}
    location /bodies/ {{ alias {folder}/bodies/; sendfile on; }}
    location /chunked/ {{
      alias {folder}/bodies/; output_buffers 2 32k; add_after_body /nothing; addition_types *;
    }}
    location /packed/ {{ alias {folder}/bodies/; add_header Content-Encoding gzip; }}
    location /logged/ {{ access_log {folder}/times time; return 200 "hello world\\n"; }}
    location = /nothing {{ internal; return 200 ""; }}
  }}
"""


@dataclass(frozen=True)
class Listener:
    """A way to ask nginx: the scheme of its URLs, what `listen` says of it, and what else its server does."""

    scheme: str = "http"
    listen: str = ""
    more: str = ""


LISTENERS = {
    "http": Listener(),
    "h2c": Listener(listen="http2"),
    "https": Listener("https", "ssl"),
    # Every handshake is a full one: not every client can be told not to resume sessions.
    "https-full": Listener("https", "ssl", "ssl_session_tickets off; ssl_session_cache off;"),
    "h2": Listener("https", "ssl http2"),
}


# What a report need not have to be kept: it is long, or names this machine's paths.
UNWRITTEN = ("histograms", "origins", "argv", "rerun")


# See `prefer_children`.
PREFERRED = False


class Failed(Exception):
    """A client that could not be measured; the text says which and why."""


def install_missing(packages):
    """Installs Debian packages for the commands that are missing: {command: package}."""
    if "/usr/sbin" not in os.environ["PATH"].split(":"):
        os.environ["PATH"] += ":/usr/sbin"
    missing = [package for command, package in packages.items() if not shutil.which(command)]
    if missing:
        update_package_lists()
        apt("install", "-y", "--no-install-recommends", *missing)


@functools.cache
def update_package_lists():
    apt("update")


def apt(action, *arguments):
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    silent = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", action, "-qq", *arguments]
    subprocess.run(silent, check=True, stdout=subprocess.DEVNULL)


def build():
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True)


def build_commit(commit):
    """The program as of another commit of this repository, built in a worktree that lasts no longer; its path."""
    program = CACHE / "commits" / commit / "ringload"
    if not program.exists():
        print(f"building {commit} in {CACHE}; this takes minutes", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            tree, target = Path(folder) / "ringload", CACHE / "commits/target"
            subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, commit], cwd=ROOT, check=True)
            try:
                subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", target],
                               cwd=tree, check=True)
            finally:
                subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target / "release/ringload", program)
    return str(program)


def prepare_process():
    """All files that the hard limit allows, for the clients and nginx too; SIGTERM ends the script as Ctrl-C does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def add_cores(parser):
    """The options that `check_cores` looks at."""
    parser.add_argument("--client-core", type=int, default=0)
    parser.add_argument("--server-core", type=int, default=1)


def check_cores(parser, args):
    cores, allowed = {args.client_core, args.server_core}, os.sched_getaffinity(0)
    if len(cores) < 2 or not cores <= allowed:
        parser.error(f"--client-core and --server-core must be two of the allowed cores, {sorted(allowed)}")


def run_to_end(main, interrupted):
    """Exits as `main` says. `interrupted`: what Ctrl-C leaves behind, for whoever pressed it."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print(f"interrupted: {interrupted}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def prefer_children():
    """From now on children run before all ordinary programs of the machine, where the system allows it; whether it does."""
    global PREFERRED
    ordinary = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, *ordinary)
        PREFERRED = True
    except PermissionError:
        print("not allowed to run clients and servers with SCHED_FIFO: others may keep them waiting", file=sys.stderr)
    return PREFERRED


def pinned_to(cores, priority=1):
    """For preexec_fn: the child and its threads run on these cores only."""

    def prepare():
        os.sched_setaffinity(0, set(cores))
        if PREFERRED:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))

    return prepare


def stop(process):
    """Ends a child that may have ended by itself."""
    if process.returncode is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Nginx:
    """nginx on a free loopback port, pinned to one core, for as long as the block lasts.

    `/` answers 12 bytes; `/bodies/` and `/chunked/` have the files of BODIES, with their length and chunked; `/packed/`
    says of them that they are compressed; `/logged/` writes the time of each request into the file `times`. Each of
    LISTENERS has a port; that for HTTP/1.1 in cleartext listens on as many addresses of 127.0.0.0/8 as asked for. TLS
    is 1.3, with a self-signed certificate (ECDSA P-256).
    """

    def __init__(self, core, addresses=1):
        self.core = core
        self.addresses = [f"127.0.{number // 250}.{number % 250 + 1}" for number in range(addresses)]

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.process = None
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        folder = Path(self.folder.name)
        folder.chmod(0o755)  # nginx's worker is another user where the script runs as root
        (folder / "bodies").mkdir()
        for name, size in BODIES.items():
            (folder / "bodies" / name).write_bytes(b"x" * size)
        certify(folder)
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS))))
        self.urls = {name: f"{listener.scheme}://127.0.0.1:{self.ports[name]}" for name, listener in LISTENERS.items()}
        self.url = self.urls["http"]
        self.origins = [f"http://{address}:{self.ports['http']}" for address in self.addresses]
        servers = ""
        for name, listener in LISTENERS.items():
            listen = " ".join(f"listen {address}:{self.ports[name]} {listener.listen} backlog=16384;"
                              for address in (self.addresses if name == "http" else ["127.0.0.1"]))
            servers += NGINX_SERVER.format(folder=folder, listen=listen, more=listener.more)
        nofile, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        conf = folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(folder=folder, servers=servers, nofile=nofile))
        self.process = subprocess.Popen(["nginx", "-c", conf], preexec_fn=pinned_to([self.core]),
                                        stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.ports["http"])) == 0:
                    return
            time.sleep(0.05)
        sys.exit("nginx did not start")

    def settle(self):
        """Waits, 5 s at most, until nginx has its worker and has closed the connections of the client before."""
        for _ in range(100):
            worker = self.worker()
            if worker and len(os.listdir(f"/proc/{worker}/fd")) < len(self.addresses) + 50:
                return
            time.sleep(0.05)

    def worker(self):
        """The process that answers, None before there is one."""
        main = self.process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return int(children[0]) if children else None

    def __exit__(self, *_):
        if self.process:
            stop(self.process)
        self.folder.cleanup()


def certify(folder):
    """A key and a certificate for 127.0.0.1 that nobody else vouches for."""
    install_missing({"openssl": "openssl"})
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder / "key.pem"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", "-days", "30", *key, "-out", folder / "cert.pem", *name], check=True,
                   stderr=subprocess.DEVNULL)


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def run(argv, cores, load_s=60, grace_s=60):
    """Runs a client to its end; its output, CPU seconds, wall seconds and peak memory.

    `load_s` is how long it should take. One that takes `grace_s` more is stopped: Failed, as with any other exit but 0.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.monotonic()
        process = subprocess.Popen(argv, stdout=output, stderr=errors, preexec_fn=pinned_to(cores))
        try:
            memory_kib = peak_memory_kib(process.pid, started + load_s, started + load_s + grace_s)
            if memory_kib is None:
                raise Failed(f"`{shown(argv)}` was still running {grace_s} s after its load was over")
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            stop(process)
        if process.returncode != 0:
            errors.seek(0)
            why = errors.read().strip().splitlines()[-1:] or ["it did not say why"]
            raise Failed(f"`{shown(argv)}` exited with {process.returncode}: {why[0]}")
        output.seek(0)
        cpu_s = usage.ru_utime + usage.ru_stime
        return {"output": output.read(), "cpu_s": cpu_s, "wall_s": wall_s, "memory_kib": memory_kib}


def shown(argv):
    """A command line as others may read it: without this tree's folder and the user's own."""
    return " ".join(map(str, argv)).replace(f"{ROOT}/", "").replace(str(Path.home()), "~")


def peak_memory_kib(pid, load_over, limit):
    """Waits for a child to exit: its peak memory, or None where it has not by the limit.

    The peak is read from /proc while it runs: ru_maxrss would include this interpreter, which it was forked from. It is
    read rarely under load, not to disturb it, and often afterwards: gathering the results is the peak of some clients, and
    lasts milliseconds.
    """
    peak_kib = 0
    exited = os.pidfd_open(pid)
    try:
        while not select.select([exited], [], [], 0.25 if time.monotonic() < load_over else 0.001)[0]:
            if time.monotonic() > limit:
                return None
            peak_kib = status_kib(pid, "VmHWM") or peak_kib
    finally:
        os.close(exited)
    return peak_kib


def timers_us(core, seconds=2):
    """How late timers are on a core that has nothing to do but them, before all other programs where that is allowed: in
    microseconds, ascending. No program that sleeps until something is due can be less late."""

    def wake():
        pinned_to([core], priority=2)()
        late_us, due = [], time.monotonic()
        for _ in range(seconds * 1_000):
            due += 0.001
            time.sleep(max(0, due - time.monotonic()))
            late_us.append(max(0, time.monotonic() - due) * 1e6)
            # What it slept through is one lateness and not many.
            due += int(late_us[-1] / 1e3) / 1e3
        return sorted(late_us)

    # A thread of its own, whose core and priority end with it.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(wake).result()


class Stolen:
    """The share of a core that its hypervisor kept for itself while the block lasted."""

    def __init__(self, core):
        self.core = core

    def __enter__(self):
        self.before = self.ticks()
        return self

    def __exit__(self, *_):
        stolen, every = (after - before for before, after in zip(self.before, self.ticks()))
        self.share = stolen / max(1, every)

    def ticks(self):
        """Stolen ones and all."""
        with open("/proc/stat") as lines:
            line = next(line for line in lines if line.startswith(f"cpu{self.core} "))
        ticks = [int(field) for field in line.split()[1:9]]
        return ticks[7], sum(ticks)


def status_kib(pid, name):
    """A figure of a child's memory; None once it is a zombie, which has none."""
    with open(f"/proc/{pid}/status") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def in_words(values, form):
    """A spread as tables have it."""
    least, median, most = (form.format(values[key]) for key in ("min", "median", "max"))
    return f"{least}–**{median}**–{most}"


def without_bulk(report):
    return {key: value for key, value in report.items() if key not in UNWRITTEN}


def first_line(*command):
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return (result.stdout or result.stderr).strip().splitlines()[0]


def machine_lines():
    """The lines of a results README that say where and with what it was measured; the last is the server's."""
    return f"{place_lines()}\n- server: {first_line('nginx', '-v')}, one worker"


def place_lines():
    """The same of what needs no server."""
    cpu = next(line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return f"""\
- date: {time.strftime('%Y-%m-%d')}
- commit: {first_line('git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*')}
- machine: {cpu}, {os.cpu_count()} CPUs, Linux {os.uname().release}"""

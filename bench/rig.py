"""What the rows share: one line of the table, dray's and rsync's servers, a clock, and the bytes that crossed the loopback."""
import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import pathlib
import socket
import struct
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build/release"
RUNS = 5
MIB = 1 << 20

figures = []


def row(name, value, unit, peer=None, peer_name="", target=""):
    """One figure; ratio is value over peer in the direction in which the target reads."""
    ratio = value / peer if peer else None
    figures.append({"name": name, "value": round(value, 4), "unit": unit, "peer": peer_name,
                    "peer_value": round(peer, 4) if peer else None, "ratio": round(ratio, 3) if ratio else None})
    beside = f"{peer_name} {peer:.3f}" if peer else ""
    print(f"{name:52} {value:10.3f} {unit:6} {beside:34} {'x%.2f' % ratio if ratio else '':8} {target}", flush=True)


# ---- processes ----------------------------------------------------------------------------------------------------------

class Drayd:
    def __init__(self, data, env=None):
        self.data, self.env = pathlib.Path(data), {**os.environ, **(env or {})}
        self.process = subprocess.Popen([BIN / "drayd", "serve", "--data", self.data, "--listen", "127.0.0.1:0"],
                                        stderr=subprocess.DEVNULL, env=self.env)
        address = self.data / "server.json"
        while not address.exists() or not address.read_text().strip():
            if self.process.poll() is not None:
                raise SystemExit("drayd did not start")
            time.sleep(0.01)
        self.listen = json.loads(address.read_text())["listen"]
        self.url = f"http://{self.listen}"
        self.host, self.port = self.listen.rsplit(":", 1)
        self.owner = (self.data / "owner.token").read_text().strip()

    def admin(self, *args):
        out = subprocess.run([BIN / "drayd", *args, "--data", self.data], capture_output=True, text=True, check=True, env=self.env).stdout
        return out.split()[-1]

    def project(self, name):
        return self.admin("project", "create", name)

    def device(self, name, project):
        return self.admin("device", "add", name, "--project", project)

    def peak_mib(self):
        return memory_mib(self.process.pid, "VmHWM")

    def connect(self):
        return http.client.HTTPConnection(self.host, int(self.port))

    def stop(self):
        self.process.terminate()
        self.process.wait()


def ask(line, token, method, target, body=None):
    """One request over a connection; the JSON that was answered.  ${body}: bytes as they are, anything else as JSON."""
    headers = {"Authorization": f"Bearer {token}"}
    if body is not None and not isinstance(body, bytes):
        body, headers["Content-Type"] = json.dumps(body), "application/json"
    line.request(method, target, body, headers)
    answer = line.getresponse()
    text = answer.read()
    if answer.status not in (200, 201):
        raise RuntimeError(text.decode())
    return json.loads(text)


@contextlib.contextmanager
def drayd(where, env=None):
    server = Drayd(where / "data", env)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def rsyncd(where, target):
    target.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    conf = where / "rsyncd.conf"
    conf.write_text(f"uid = root\ngid = root\nuse chroot = no\nlog file = /dev/null\n[t]\npath = {target}\nread only = no\n")
    process = subprocess.Popen(["rsync", "--daemon", "--no-detach", f"--config={conf}", f"--port={port}", "--address=127.0.0.1"],
                               stderr=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.01)
    try:
        yield f"rsync://127.0.0.1:{port}/t/"
    finally:
        process.terminate()
        process.wait()


def memory_mib(pid, field="VmRSS"):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(field)


def cpu_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(*command):
    os.sync()
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def link(server, project, name, folder):
    env = dict(os.environ, DRAY_TOKEN=server.device(name, project))
    subprocess.run([BIN / "dray", "link", "--quiet", server.url, "--project", project, folder], check=True, env=env)


# ---- the wire -------------------------------------------------------------------------------------------------------------

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def own_loopback():
    """A network of our own, so that nobody else's bytes are counted.  False where that takes more than we may."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket() as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    return True


def wire_bytes():
    """All that has crossed the loopback, in both directions, with the heads of TCP and IP."""
    for line in open("/proc/self/net/dev"):
        if line.strip().startswith("lo:"):
            return int(line.split()[1])
    raise RuntimeError("no loopback")

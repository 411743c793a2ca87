"""Agents for black-box tests: dray watch on devices' folders, its log, and its socket."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess

from devices import BIN
from waiting import wait_for

TROUBLE = re.compile(r"runtime error|Sanitizer|Assertion .* failed")


class Agent:
    """dray watch on the folders of ${devices}."""

    def __init__(self, *devices, log, fault="", args=(), wait=True, bin=BIN):
        self.devices, self.log, self.args, self.bin = devices, log, args, bin
        self.env = {**os.environ, "DRAY_FAULT": fault}
        self.proc = None
        self.start(wait)

    def start(self, wait=True):
        with self.log.open("ab") as log:
            self.proc = subprocess.Popen([self.bin / "dray", "watch", *self.args, *(d.folder for d in self.devices)], env=self.env,
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            for d in self.devices:
                wait_for(lambda d=d: self.proc.poll() is not None or status(d), "the agent does not answer")
            assert self.proc.poll() is None, self.said()

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, how=signal.SIGTERM):
        if self.proc.poll() is None:
            self.proc.send_signal(how)
        assert self.proc.wait(timeout=60) == 0, self.said()[-5000:]
        assert not TROUBLE.search(self.said()), self.said()[-5000:]

    def kill(self):
        self.proc.kill()
        self.proc.wait()


def connect(device):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    dot = os.open(device.dot(), os.O_RDONLY)
    try:
        s.connect(f"/proc/self/fd/{dot}/agent.sock")
    except OSError:
        s.close()
        raise
    finally:
        os.close(dot)
    return s


def ask(device, word):
    with connect(device) as s:
        s.sendall(json.dumps({"ask": word}).encode() + b"\n")
        return json.loads(s.makefile().readline())


def status(device):
    """What the device's agent says about itself; None: there is none."""
    with contextlib.suppress(OSError, ValueError):
        return ask(device, "status")
    return None


def state(device):
    told = status(device)
    return told and told["state"]


def in_step(device):
    told = status(device)
    return bool(told) and told["state"] == "watching" and told["in_sync"]

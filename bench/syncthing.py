"""Two syncthing instances on the loopback, with nothing announced; they watch their folders, or are told when to look and asked when it is done."""
import contextlib
import json
import os
import pathlib
import secrets
import socket
import subprocess
import time
import urllib.request
import xml.etree.ElementTree as xml

PATIENCE = 900  # seconds for one change to arrive


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Instance:
    def __init__(self, where):
        self.home, self.folder = where / "home", where / "folder"
        self.folder.mkdir(parents=True)
        self.env = {**os.environ, "HOME": str(where), "STNOUPGRADE": "1"}
        self.run("generate", f"--home={self.home}")
        self.id = self.run("--device-id", f"--home={self.home}").strip()
        self.key, self.gui, self.port = secrets.token_hex(16), free_port(), free_port()
        self.process = None
        self.seen = 0

    def run(self, *args):
        return subprocess.run(["syncthing", *args], env=self.env, capture_output=True, text=True, check=True).stdout

    def configure(self, other, delay):
        """What generate has written, cut down to one folder and one peer; ${delay}: fsWatcherDelayS, None: does not watch."""
        path = self.home / "config.xml"
        tree = xml.parse(path)
        root = tree.getroot()
        for e in root.findall("folder") + root.findall("device"):
            root.remove(e)
        for who in (self, other):
            device = xml.SubElement(root, "device", id=who.id, name=who.home.parent.name, compression="metadata")
            xml.SubElement(device, "address").text = f"tcp://127.0.0.1:{who.port}"
        folder = xml.SubElement(root, "folder", id="f", label="f", path=str(self.folder), type="sendreceive", rescanIntervalS="0",
                                fsWatcherEnabled="false" if delay is None else "true", fsWatcherDelayS=str(delay or 10))
        for who in (self, other):
            xml.SubElement(folder, "device", id=who.id)
        gui = root.find("gui")
        gui.find("address").text = f"127.0.0.1:{self.gui}"
        gui.find("apikey").text = self.key
        options = root.find("options")
        for name, value in (("listenAddress", f"tcp://127.0.0.1:{self.port}"), ("globalAnnounceEnabled", "false"), ("localAnnounceEnabled", "false"),
                            ("relaysEnabled", "false"), ("natEnabled", "false"), ("crashReportingEnabled", "false"), ("urAccepted", "-1"),
                            ("autoUpgradeIntervalH", "0"), ("startBrowser", "false")):
            for old in options.findall(name):
                options.remove(old)
            xml.SubElement(options, name).text = value
        tree.write(path)

    def start(self):
        self.process = subprocess.Popen(["syncthing", "serve", f"--home={self.home}", "--no-browser", "--no-restart"], env=self.env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(self, target, method="GET", timeout=PATIENCE):
        request = urllib.request.Request(f"http://127.0.0.1:{self.gui}/rest/{target}", method=method, headers={"X-API-Key": self.key})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def wait_ready(self, other, end):
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError, KeyError):
                if self.ask("system/connections", timeout=5)["connections"][other.id]["connected"]:
                    return
            time.sleep(0.1)
        raise RuntimeError("the two syncthings do not find each other")

    def events(self, kinds, timeout):
        """What has happened since the last call; waits for something."""
        got = self.ask(f"events?since={self.seen}&events={kinds}&timeout={timeout}", timeout=timeout + 30)
        if got:
            self.seen = got[-1]["id"]
        return got or []

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=60)


class Pair:
    """a and b, each other's only peer."""

    def __init__(self, where, delay=None):
        self.delay = delay
        self.a, self.b = Instance(pathlib.Path(where) / "a"), Instance(pathlib.Path(where) / "b")

    def __enter__(self):
        self.a.configure(self.b, self.delay)
        self.b.configure(self.a, self.delay)
        try:
            for who in (self.a, self.b):
                who.start()
            end = time.monotonic() + 60
            self.a.wait_ready(self.b, end)
            self.b.wait_ready(self.a, end)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.a.stop()
        self.b.stop()

    def carry(self, name):
        """Have a look at a's folder, and wait until b has installed ${name}."""
        self.a.ask("db/scan?folder=f", "POST")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for event in self.b.events("ItemFinished", 30):
                if event["data"]["item"] == name:
                    if event["data"]["error"]:
                        raise RuntimeError(f"syncthing: {event['data']['error']}")
                    return
        raise RuntimeError(f"syncthing has not brought {name} in {PATIENCE} s")

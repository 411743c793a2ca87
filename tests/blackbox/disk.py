"""A disk whose power can be cut: an ext4 file system in a file, shut down without its journal being written (XFS_IOC_GOINGDOWN)."""
import fcntl
import functools
import os
import pathlib
import struct
import subprocess
import tempfile
import time

GOINGDOWN, NO_LOG_FLUSH = 0x8004587D, 2
SIZE = 768 << 20
PATIENCE = 30


def run(*command):
    subprocess.run([str(c) for c in command], check=True, capture_output=True)


class Disk:
    """An ext4 on ${folder}/image, mounted at ${folder}/${name}."""

    def __init__(self, folder, name):
        self.image, self.mounted = pathlib.Path(folder) / f"{name}.image", pathlib.Path(folder) / name
        with self.image.open("wb") as f:
            f.truncate(SIZE)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", self.image)
        self.mounted.mkdir(exist_ok=True)
        self.mount()

    def mount(self):
        run("mount", "-o", "loop", self.image, self.mounted)

    def cut_power(self):
        """Nothing reaches the disk from here on, and what was only in memory never will."""
        root = os.open(self.mounted, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(root, GOINGDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(root)

    def unmount(self):
        """Whoever used it is dead; the kernel may need a moment to notice."""
        end = time.monotonic() + PATIENCE
        while subprocess.run(["umount", str(self.mounted)], capture_output=True).returncode:
            assert time.monotonic() < end, f"{self.mounted} stays busy"
            time.sleep(0.02)

    def power_on(self):
        self.unmount()
        self.mount()

    def free(self):
        st = os.statvfs(self.mounted)
        return st.f_bavail * st.f_frsize

    def close(self):
        self.unmount()
        self.image.unlink()


@functools.cache
def why_not():
    """Why no power can be cut here, or None: asked by doing it."""
    if os.geteuid() != 0:
        return "mounting needs root"
    with tempfile.TemporaryDirectory() as folder:
        try:
            disk = Disk(folder, "probe")
        except (OSError, subprocess.CalledProcessError) as e:
            return f"no ext4 in a file can be mounted here: {getattr(e, 'stderr', None) or e}"
        try:
            (disk.mounted / "unsynced").write_bytes(b"x")
            disk.cut_power()
            disk.power_on()
            return "the cut lost nothing" if (disk.mounted / "unsynced").exists() else None
        except OSError as e:
            return f"the shutdown call is refused: {e}"
        finally:
            disk.close()

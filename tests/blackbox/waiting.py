"""Waiting for a condition: never for a time."""
import time


def wait_for(condition, otherwise="waited in vain", seconds=120):
    """Until `condition()` holds; after `seconds` without, the test fails with `otherwise`, a text or what makes one."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise() if callable(otherwise) else otherwise
        time.sleep(0.002)

"""Carries packets between a tun device in each of two network namespaces and holds each of them for some milliseconds:
delay.py NAMESPACE NAMESPACE MILLISECONDS. It ends with its input."""

import ctypes
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001


def tun(namespace):
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None).setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError("error: setns")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"delay0", IFF_TUN_NO_PI))
    return device


def packets(device):
    while True:
        try:
            yield os.read(device, 65536)
        except BlockingIOError:
            return


def main(one, other, milliseconds):
    devices = [tun(one), tun(other)]
    opposite = dict(zip(devices, reversed(devices)))
    held = deque()
    print("{}", flush=True)
    while True:
        wait = max(0, held[0][0] - time.monotonic()) if held else None
        ready, _, _ = select.select([0, *devices], [], [], wait)
        if 0 in ready:
            return
        due = time.monotonic() + int(milliseconds) / 1000
        for device in ready:
            held.extend((due, opposite[device], packet) for packet in packets(device))
        while held and held[0][0] <= time.monotonic():
            _, device, packet = held.popleft()
            try:
                os.write(device, packet)
            except OSError:
                pass  # the other device is not up yet


main(*sys.argv[1:])

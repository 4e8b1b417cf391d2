"""Reads what it must not, then sends the data away. The sandbox hides the one and ends the job at the other."""

import glob
import json
import os
import socket

reached = []
for path in ["/etc/shadow", "/root", "/home", "/proc/1/environ", os.path.expanduser("~/.ssh")]:
    try:
        reached.append(path if not os.path.isdir(path) else f"{path}: {os.listdir(path)}")
        open(path, "rb").read(1)
    except OSError:
        reached.pop()
json.dump({"reached": reached}, open("/data/outputs/loot.json", "w"))
data = open(glob.glob("/data/inputs/*/0")[0], "rb").read()
with socket.create_connection(("127.0.0.1", 8545), timeout=2) as out:
    out.sendall(data)

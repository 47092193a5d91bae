# The judge of a hostile script: a program of the host, outside the cage.
#
# Each function is a generator. It first yields what the script is to know, and may say `reached()` as soon as it
# sees it; it is then sent how the run looked from outside, and returns whether the script reached its goal.

import ctypes, fcntl, glob, json, os, re, select, socket, struct, subprocess, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = libc.shmat.restype = ctypes.c_long
SECRET = "secret-" + os.urandom(8).hex()
RUN = "run-" + os.urandom(8).hex()


def witness(goal):
    say(json.dumps({"RUN": RUN, **{name: str(value) for name, value in next(goal).items()}}))
    seen = json.loads(sys.stdin.read())
    try:
        goal.send(seen)
    except StopIteration as end:
        say("reached" if end.value else "not reached")


def say(word):
    print(word, flush=True)


def reached():
    say("reached")


def call(number, *args):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return libc.syscall(ctypes.c_long(number), *wide)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def read(path):
    with open(path, errors="replace") as file:
        return file.read()

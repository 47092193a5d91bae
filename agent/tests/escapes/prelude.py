import ctypes, glob, mmap, os, resource, signal, socket, struct, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
E = os.environ
LIKE_CHILD = 17  # SIGCHLD


def call(number, *args):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    done = libc.syscall(ctypes.c_long(number), *wide)
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


def hold():
    """Until the witness has seen it."""
    time.sleep(10)


def others():
    """Every process in sight but this one."""
    return [int(p[6:]) for p in glob.glob("/proc/[0-9]*") if p[6:] != str(os.getpid())]

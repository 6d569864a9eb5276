"""The last step before a supervised program: a script that turns itself into it. Run as a file, by `children`.

    python -I -S launcher.py PARENT STATUS PROGRAM ARGUMENT…

It asks the kernel to kill this process when the agent (process PARENT) dies, however it dies, and then executes the
program, which keeps that wish: see PR_SET_PDEATHSIG in prctl(2). (The kernel drops it for programs that gain
privileges by being executed: set-uid ones.) The descriptor STATUS is closed by a successful exec, and gets the error
number of a failed one. This can't be done between fork and exec of the agent itself: Python code there may deadlock.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def launch(parent: int, status: int, argv: list[str]) -> int:
    """Become the program. Returns, with the code to exit with, only if that failed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the agent died before the wish was made
        return 1
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    os.set_inheritable(status, False)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(status, str(error.errno).encode())
    return 127


if __name__ == "__main__":
    sys.exit(launch(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))

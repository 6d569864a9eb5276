"""What the kernel thinks of its own clock: adjtimex(2), only read, which needs no privilege."""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass

STA_UNSYNC = 0x0040  # <linux/timex.h>
STA_NANO = 0x2000
TIME_ERROR = 5


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("fraction", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),  # more than any kernel writes after that
    )


@dataclass(frozen=True, slots=True)
class KernelClock:
    """`synchronised`: something (NTP, PTP) keeps it right. `offset` is what is still being corrected, `error` the
    estimated error on top of it, both in seconds; neither means anything while it is not synchronised."""

    synchronised: bool
    offset: float
    error: float

    @property
    def off_by(self) -> float:
        return abs(self.offset) + self.error


def read_clock() -> KernelClock:
    """Ask the kernel. Raises OSError where it does not answer (a sandbox, another system than Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    adjtimex: Callable[..., int] | None = getattr(libc, "adjtimex", None)
    if adjtimex is None:
        raise OSError("this system has no adjtimex")
    answer = _Timex()
    state = adjtimex(ctypes.byref(answer))
    if state < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    unit = 1e-9 if answer.status & STA_NANO else 1e-6
    synchronised = state != TIME_ERROR and not answer.status & STA_UNSYNC
    return KernelClock(synchronised, answer.offset * unit, answer.esterror * 1e-6)

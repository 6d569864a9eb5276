"""The states of a host in which no restart helps."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.runtime.host_trouble import host_trouble


def meminfo(folder: Path, available: int) -> Path:
    file = folder / "meminfo"
    file.write_text(f"MemTotal:       16000000 kB\nMemFree:        100 kB\nMemAvailable:   {available} kB\n")
    return file


@pytest.mark.parametrize(
    ("available", "said"),
    [
        pytest.param(8_000_000, "", id="half is free"),
        pytest.param(400_000, "", id="little is free"),
        pytest.param(100_000, "out of memory: 98 MiB of 15625 MiB available", id="nothing to speak of"),
    ],
)
def test_memory(tmp_path: Path, available: int, said: str) -> None:
    assert host_trouble([], meminfo(tmp_path, available)) == said


@pytest.mark.parametrize(
    ("free", "said"),
    [
        pytest.param(500_000, "", id="half is free"),
        pytest.param(20_000, "", id="two per cent are free"),
        pytest.param(1_000, "out of disk: /data is 99.9% full, 4 MiB left", id="one in a thousand is free"),
        pytest.param(0, "out of disk: /data is 100.0% full, 0 MiB left", id="nothing is free"),
    ],
)
def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str) -> None:
    full = SimpleNamespace(f_blocks=1_000_000, f_bfree=free, f_bavail=free, f_frsize=4096)
    monkeypatch.setattr("os.statvfs", lambda _: full)
    assert host_trouble([Path("/data")], meminfo(tmp_path, 8_000_000)) == said


def test_what_cannot_be_read_is_no_trouble(tmp_path: Path) -> None:
    assert host_trouble([tmp_path / "gone"], tmp_path / "gone") == ""


def test_this_machine_can_be_asked() -> None:
    assert isinstance(host_trouble(), str)

"""The programs that the configuration names: a restart, a plugin, a child."""

from pathlib import Path

from bench.soak.services import Places

RESTART = """#!/bin/sh
echo "$2 $CODEBLUE_ORDER $CODEBLUE_SERVICE $(date +%s.%N)" >>"$1"
[ ! -e "$3" ] || exec sleep 30
"""
PLUGIN = """#!/bin/sh
read -r mode <"$1"
case "$mode" in
ok) echo fine; exit 0;;
bad) echo broken; exit 2;;
hang) exec sleep 30;;
esac
echo "cannot tell"; exit 3
"""
CHILD = '''"""Answers "ok"; SIGUSR1 makes it mute and deaf to SIGTERM. A file PREFIXsick keeps it from starting."""
import os, signal, socket, sys, time
address, port, prefix = sys.argv[1:]
if os.path.exists(prefix + "sick"):
    sys.exit("it can't start")
mute = []
def stubborn(*_):
    mute.append(True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, stubborn)
server = socket.create_server((address, int(port)))
with open(prefix + "starts", "a") as log:
    log.write(f"{os.getpid()} {time.time():.6f}\\n")
print("listening", flush=True)
held = []
while True:
    connection, _ = server.accept()
    if mute:
        held = held[-50:] + [connection]
        continue
    try:
        connection.sendall(b"ok\\n")
    except OSError:
        pass
    connection.close()
'''


def install(places: Places) -> None:
    """The programs that the configuration names."""
    (places.folder / "targets").mkdir(parents=True)
    for name, text in {"restart": RESTART, "plugin": PLUGIN, "child.py": CHILD}.items():
        path = places.folder / name
        path.write_text(text)
        path.chmod(0o755)


def stamps(path: Path, after: int) -> list[tuple[str, str, str, float]]:
    """What restarts wrote down, from that line on: target, order, service and time."""
    if not path.exists():
        return []
    rows = [line.split() for line in path.read_text().splitlines()[after:]]
    return [(row[0], row[1], row[2], float(row[3])) for row in rows if len(row) == 4]

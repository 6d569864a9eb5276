"""`python -m bench.hanging PORT`: takes every connection and never answers, until the client gives up."""

import resource
import selectors
import socket
import sys


def serve(port: int) -> None:
    """Runs until it is killed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    listener = socket.create_server(("", port), backlog=4096)
    listener.setblocking(False)
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.setblocking(False)
                waiting.register(connection, selectors.EVENT_READ)
            else:
                _read(waiting, key.fileobj)  # type: ignore[arg-type]


def _read(waiting: selectors.BaseSelector, connection: socket.socket) -> None:
    try:
        if connection.recv(4096):
            return
    except OSError:
        pass  # reset by a client that gave up: the same as its end
    waiting.unregister(connection)
    connection.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))

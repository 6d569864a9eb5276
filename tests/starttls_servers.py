"""Real servers of Debian that begin in the clear and offer TLS: Dovecot, vsftpd, slapd and PostgreSQL, each with its
files in a folder of its own, on loopback. They drop privileges, so they need root."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.servers import Pair, free_port

POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/lib/postgresql"))
NEEDED = ("/usr/sbin/dovecot", "/usr/sbin/slapd", "/usr/sbin/vsftpd", str(POSTGRES / "postgres"))
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")

Server = Callable[[Pair], "contextlib.AbstractContextManager[int]"]


def why_not() -> str:
    """Why these servers can't run here; empty if they can."""
    if os.geteuid() != 0:
        return "needs root: mail, FTP and database servers change their user"
    missing = [path for path in NEEDED if not Path(path).exists()]
    return f"needs {', '.join(missing)}: run tests/install-debian-packages" if missing else ""


@contextlib.contextmanager
def dovecot(pair: Pair, protocol: str) -> Iterator[int]:
    port = free_port()
    with _folder(pair) as (folder, cert, key):
        (folder / "conf").write_text(
            f"protocols = {protocol}\nlisten = 127.0.0.1\nbase_dir = {folder}/run\nstate_dir = {folder}/state\n"
            f"log_path = {folder}/log\nssl = yes\nssl_cert = <{cert}\nssl_key = <{key}\n"
            "passdb {\n  driver = static\n}\nuserdb {\n  driver = static\n}\n"
            f"service {protocol}-login {{\n  inet_listener {protocol} {{\n    port = {port}\n  }}\n"
            f"  inet_listener {protocol}s {{\n    port = 0\n  }}\n}}\n"
        )
        with _running(folder, port, "/usr/sbin/dovecot", "-F", "-c", str(folder / "conf")):
            yield port


@contextlib.contextmanager
def imap(pair: Pair) -> Iterator[int]:
    with dovecot(pair, "imap") as port:
        yield port


@contextlib.contextmanager
def pop3(pair: Pair) -> Iterator[int]:
    with dovecot(pair, "pop3") as port:
        yield port


@contextlib.contextmanager
def ftp(pair: Pair) -> Iterator[int]:
    port = free_port()
    with _folder(pair) as (folder, cert, key):
        (folder / "empty").mkdir()
        (folder / "conf").write_text(
            f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\n"
            f"ssl_enable=YES\nallow_anon_ssl=YES\nrsa_cert_file={cert}\nrsa_private_key_file={key}\nssl_ciphers=HIGH\n"
            f"secure_chroot_dir={folder}/empty\nvsftpd_log_file={folder}/log\n"
        )
        with _running(folder, port, "/usr/sbin/vsftpd", str(folder / "conf")):
            yield port


@contextlib.contextmanager
def ldap(pair: Pair) -> Iterator[int]:
    port = free_port()
    with _folder(pair) as (folder, cert, key):
        (folder / "conf").write_text(f"TLSCertificateFile {cert}\nTLSCertificateKeyFile {key}\npidfile {folder}/pid\n")
        url = f"ldap://127.0.0.1:{port}/"
        with _running(folder, port, "/usr/sbin/slapd", "-d", "0", "-h", url, "-f", str(folder / "conf")):
            yield port


@contextlib.contextmanager
def postgres(pair: Pair, *, tls: bool = True) -> Iterator[int]:
    port = free_port()
    with _folder(pair) as (folder, cert, key):
        data = folder / "data"
        for path in (folder, cert, key):
            shutil.chown(path, "postgres", "postgres")
        initdb = [*AS_POSTGRES, str(POSTGRES / "initdb"), "--no-sync", "--auth=trust", "-D", str(data)]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/", timeout=60)
        settings = {
            "ssl": "on" if tls else "off",
            "ssl_cert_file": str(cert),
            "ssl_key_file": str(key),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": str(port),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with _running(folder, port, *AS_POSTGRES, str(POSTGRES / "postgres"), "-D", str(data), *options):
            yield port


@contextlib.contextmanager
def _folder(pair: Pair) -> Iterator[tuple[Path, Path, Path]]:
    """A folder that other users may enter (those of pytest are closed to them), and the pair's files in it."""
    with tempfile.TemporaryDirectory(prefix="codeblue-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cert, key = folder / "cert.pem", folder / "key.pem"
        cert.write_bytes(Path(pair.cert).read_bytes())
        key.write_bytes(Path(pair.key).read_bytes())
        key.chmod(0o600)
        yield folder, cert, key


@contextlib.contextmanager
def _running(folder: Path, port: int, *argv: str) -> Iterator[None]:
    """The program, as soon as its port is open and until the end of the block."""
    with (folder / "output").open("wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/")
    try:
        ends = time.monotonic() + 30
        while not _open(port):
            said = [(folder / name).read_text() for name in ("output", "log") if (folder / name).exists()]
            assert process.poll() is None, said
            assert time.monotonic() < ends, said
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0

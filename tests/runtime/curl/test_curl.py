"""The probe engine against real servers, good and bad."""

import asyncio
import contextlib
import gc
import os
import resource
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.ports import HttpAnswer, HttpRequest, ResolveError
from agent.runtime.curl import CurlClient
from agent.runtime.resolver import ThreadResolver
from tests.servers import (
    Authority,
    Handler,
    Pair,
    answering,
    closing,
    drip,
    drip_header,
    endless_header,
    free_port,
    has_ipv6,
    huge,
    never_accepting,
    nginx,
    redirecting,
    resetting,
    self_signed,
    serve,
    silent,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Names:
    """A resolver that knows what it is told, and counts."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known
        self.asked: list[tuple[str, int]] = []

    async def resolve(self, host: str, *, family: int = 0, timeout: float) -> list[str]:
        self.asked.append((host, family))
        if host == "stuck":
            await asyncio.sleep(timeout)
            raise ResolveError("timeout", f"the name server did not answer for {host}")
        if host not in self.known:
            raise ResolveError("dns", f"{host} is not known to DNS")
        return self.known[host]


@pytest.fixture
def names() -> Names:
    return Names(photos=["127.0.0.1"], several=["127.0.0.9", "127.0.0.1"])


@pytest.fixture
async def client(names: Names) -> AsyncIterator[CurlClient]:
    client = CurlClient(names)
    yield client
    await client.close()


async def ask(client: CurlClient, handler: Handler, path: str = "/", **options: object) -> HttpAnswer:
    async with serve(handler) as port:
        return await client.fetch(HttpRequest(url=f"http://127.0.0.1:{port}{path}", **options))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- good answers


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    server = (
        f"server {{ listen {port}; "
        'location = /ok { default_type text/plain; add_header X-Two a; add_header X-Two b; return 200 "fine\\n"; } '
        "location = /echo { "
        'return 200 "$request_method $http_host $http_user_agent $http_x_a [$http_authorization]"; } '
        "location = /here { return 302 /ok; } location = /loop { return 302 /loop; } "
        "location = /bad { return 503; } }"
    )
    with nginx(tmp_path_factory.mktemp("site"), server):
        yield port


async def test_an_answer_has_status_headers_body_address_and_all_phases(client: CurlClient, site: int) -> None:
    answer = await client.fetch(HttpRequest(url=f"http://127.0.3.1:{site}/ok"))
    assert (answer.error, answer.status, answer.body) == ("", 200, b"fine\n")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["x-two"] == "a, b"
    assert (answer.address, answer.http_version, answer.truncated) == ("127.0.3.1", "1.1", False)
    assert list(answer.phases) == ["dns", "connect", "first_byte", "transfer"]
    assert all(seconds >= 0 for seconds in answer.phases.values())
    assert sum(answer.phases.values()) == pytest.approx(answer.total, abs=0.005)


async def test_an_error_status_is_an_answer_not_an_error(client: CurlClient, site: int) -> None:
    answer = await client.fetch(HttpRequest(url=f"http://127.0.0.1:{site}/bad"))
    assert (answer.error, answer.status) == ("", 503)


async def test_every_request_has_a_connection_of_its_own(client: CurlClient) -> None:
    peers = set()

    async def keeping_alive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername")[1])
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)
            await writer.drain()

    async with serve(keeping_alive) as port:
        for _ in range(5):
            assert (await client.fetch(HttpRequest(url=f"http://127.0.0.1:{port}/"))).body == b"ok"
    assert len(peers) == 5


async def test_method_headers_body_and_credentials_are_sent_and_leave_no_trace_on_the_next_request(
    client: CurlClient, site: int
) -> None:
    url = f"http://127.0.0.1:{site}/echo"
    plain = await client.fetch(HttpRequest(url=url))
    full = await client.fetch(
        HttpRequest(url=url, method="PUT", headers=["X-A: ä"], body=b"x", userpwd="ann:secret", timeout=2.0)
    )
    again = await client.fetch(HttpRequest(url=url))
    assert full.body == f"PUT 127.0.0.1:{site} codeblue/0.1.0 ä [Basic YW5uOnNlY3JldA==]".encode()
    assert plain.body == again.body == f"GET 127.0.0.1:{site} codeblue/0.1.0  []".encode()


async def test_a_head_request_waits_for_no_body(client: CurlClient, site: int) -> None:
    answer = await client.fetch(HttpRequest(url=f"http://127.0.0.1:{site}/ok", method="HEAD"))
    assert (answer.status, answer.body, answer.error) == (200, b"", "")


async def test_proxies_of_the_environment_are_ignored(
    client: CurlClient, site: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await client.fetch(HttpRequest(url=f"http://127.0.0.1:{site}/ok"))).status == 200


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")
async def test_ipv6_is_asked_and_the_family_is_kept(client: CurlClient, names: Names) -> None:
    names.known["both"] = ["::1"]
    async with serve(answering(OK), address="::1") as port:
        literal = await client.fetch(HttpRequest(url=f"http://[::1]:{port}/"))
        named = await client.fetch(HttpRequest(url=f"http://both:{port}/", family=6))
    assert (literal.status, literal.address) == (200, "::1")
    assert (named.status, named.address) == (200, "::1")
    assert names.asked == [("both", 6)]


# ------------------------------------------------------------------------------------------------- names


async def test_a_name_is_looked_up_anew_for_every_request(client: CurlClient, names: Names, site: int) -> None:
    for _ in range(2):
        assert (await client.fetch(HttpRequest(url=f"http://photos:{site}/ok"))).status == 200
    names.known["photos"] = ["127.0.0.66"]
    moved = await client.fetch(HttpRequest(url=f"http://photos:{site}/ok"))
    assert moved.address == "127.0.0.66"
    assert names.asked == [("photos", 0)] * 3


async def test_names_and_addresses_asked_at_once_do_not_disturb_each_other(
    client: CurlClient, names: Names, site: int
) -> None:
    names.known.update({f"name{number}": ["127.0.0.1"] for number in range(100)})
    hosts = [host for number in range(100) for host in (f"name{number}", f"127.0.0.{number + 1}")]
    answers = await asyncio.gather(*(client.fetch(HttpRequest(url=f"http://{host}:{site}/")) for host in hosts))
    assert [answer.error for answer in answers] == [""] * 200


async def test_an_unknown_name_is_dns(client: CurlClient) -> None:
    answer = await client.fetch(HttpRequest(url="http://nowhere/"))
    assert (answer.error, answer.message) == ("dns", "nowhere is not known to DNS")
    assert answer.total < 1


async def test_a_name_with_its_final_dot_is_asked_as_such(client: CurlClient, names: Names, site: int) -> None:
    names.known["photos."] = ["127.0.0.5"]
    answer = await client.fetch(HttpRequest(url=f"http://photos.:{site}/ok"))
    assert (answer.status, answer.address) == (200, "127.0.0.5")


async def test_any_of_several_addresses_will_do(client: CurlClient) -> None:
    async with serve(answering(OK)) as port:
        answer = await client.fetch(HttpRequest(url=f"http://several:{port}/"))
    assert (answer.status, answer.address) == (200, "127.0.0.1")


async def test_resolve_to_wins_over_dns_and_is_forgotten_afterwards(
    client: CurlClient, names: Names, site: int
) -> None:
    url = f"http://photos:{site}/echo"
    sent = await client.fetch(HttpRequest(url=url, resolve_to="127.0.0.7"))
    after = await client.fetch(HttpRequest(url=url))
    assert (sent.address, after.address) == ("127.0.0.7", "127.0.0.1")
    assert sent.body.startswith(f"GET photos:{site} ".encode())
    assert names.asked == [("photos", 0)]


async def test_a_name_that_hangs_delays_no_other(client: CurlClient, site: int) -> None:
    stuck = [asyncio.ensure_future(client.fetch(HttpRequest(url="http://stuck/", timeout=1.0))) for _ in range(50)]
    await asyncio.sleep(0)
    answer = await client.fetch(HttpRequest(url=f"http://photos:{site}/ok"))
    assert answer.status == 200
    assert answer.total < 0.5
    assert {done.error for done in await asyncio.gather(*stuck)} == {"timeout"}


# ------------------------------------------------------------------------------------------------- bad servers

BAD = [
    pytest.param(silent, "timeout", ["dns", "connect"], id="never answers"),
    pytest.param(drip, "timeout", ["dns", "connect", "first_byte", "transfer"], id="a body that drips"),
    pytest.param(drip_header, "timeout", ["dns", "connect", "first_byte", "transfer"], id="a header that drips"),
    pytest.param(endless_header, "protocol", None, id="a header without end"),
    pytest.param(answering(b"\x00\xff garbage \x00" * 50), "protocol", None, id="binary garbage"),
    pytest.param(answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "protocol", None, id="another protocol"),
    pytest.param(answering(b"HTTP/1.1 200 OK\r\nContent-Length: zero\r\n\r\n"), "protocol", None, id="a broken length"),
    pytest.param(resetting, "reset", None, id="resets"),
    pytest.param(closing, "reset", None, id="closes without an answer"),
    pytest.param(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "reset", None, id="half a body"),
]


@pytest.mark.parametrize(("handler", "error", "phases"), BAD)
async def test_a_bad_server_is_an_error_by_name(
    client: CurlClient, handler: Handler, error: str, phases: list[str] | None
) -> None:
    began = time.monotonic()
    answer = await ask(client, handler, timeout=0.3)
    assert (answer.error, bool(answer.message)) == (error, True)
    assert time.monotonic() - began < 1.5
    if phases is not None:
        assert list(answer.phases) == phases


async def test_a_closed_port_is_refused(client: CurlClient) -> None:
    answer = await client.fetch(HttpRequest(url=f"http://127.0.0.1:{free_port()}/"))
    assert (answer.error, answer.status) == ("refused", 0)


async def test_a_port_that_never_accepts_times_out_while_connecting(client: CurlClient) -> None:
    with never_accepting() as port:
        answer = await client.fetch(HttpRequest(url=f"http://127.0.0.1:{port}/", timeout=0.2))
    assert answer.error == "timeout"
    assert "connect" not in answer.phases


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
async def test_a_body_beyond_the_limit_is_cut_off_and_marked(client: CurlClient, chunked: bool) -> None:
    answer = await ask(client, huge(10_000_000, chunked=chunked), body_limit=100_000)
    assert (answer.status, answer.error, answer.truncated) == (200, "", True)
    assert len(answer.body) == 100_000


async def test_a_body_of_just_the_limit_is_whole(client: CurlClient) -> None:
    answer = await ask(client, huge(100_000), body_limit=100_000)
    assert (answer.truncated, len(answer.body), answer.error) == (False, 100_000, "")


async def test_huge_bodies_leave_memory_as_it_was(client: CurlClient) -> None:
    await ask(client, huge(10_000_000), body_limit=4096)
    before = resident()
    for _ in range(10):
        await ask(client, huge(10_000_000), body_limit=4096)
    gc.collect()
    assert resident() - before < 8_000_000


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_bad_servers_leave_no_descriptor_open(client: CurlClient) -> None:
    await ask(client, answering(OK))
    before = len(os.listdir("/proc/self/fd"))
    for handler in (silent, resetting, closing, huge(1_000_000)):
        await ask(client, handler, timeout=0.1, body_limit=10)
        await ask(client, handler, timeout=0.1, connect_only=True)
    await asyncio.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before


# ------------------------------------------------------------------------------------------------- redirects


async def test_a_redirect_is_an_answer_unless_redirects_are_followed(client: CurlClient, site: int) -> None:
    url = f"http://127.0.0.1:{site}/here"
    kept = await client.fetch(HttpRequest(url=url))
    followed = await client.fetch(HttpRequest(url=url, max_redirects=1))
    assert (kept.status, kept.redirects) == (302, 0)
    assert (followed.status, followed.redirects, followed.body) == (200, 1, b"fine\n")
    assert followed.url.endswith("/ok")
    assert followed.total >= followed.phases["connect"] > 0


async def test_a_redirect_loop_ends_at_the_limit(client: CurlClient, site: int) -> None:
    answer = await client.fetch(HttpRequest(url=f"http://127.0.0.1:{site}/loop", max_redirects=5))
    assert (answer.error, answer.redirects) == ("redirects", 5)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:1/x", "dict://x/"])
async def test_a_redirect_to_another_scheme_is_never_followed(client: CurlClient, location: str) -> None:
    answer = await ask(client, redirecting(location), max_redirects=5)
    assert (answer.error, answer.body) == ("scheme", b"")


async def test_redirects_share_one_timeout(client: CurlClient) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        await redirecting("/again")(reader, writer)

    began = time.monotonic()
    answer = await ask(client, slowly, max_redirects=20, timeout=0.35)
    assert answer.error == "timeout"
    assert time.monotonic() - began < 0.8


async def test_credentials_are_not_carried_to_another_origin(client: CurlClient) -> None:
    heard: list[bytes] = []

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await writer.drain()

    async with serve(listening) as port:
        headers = ["Authorization: Bearer secret", "X-A: b"]
        await ask(
            client, redirecting(f"http://127.0.0.1:{port}/"), headers=headers, max_redirects=1, userpwd="u:secret"
        )
    assert b"X-A: b" in heard[0]
    assert b"secret" not in heard[0]


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        pytest.param(302, b"GET", b"", id="302 turns a POST into a GET"),
        pytest.param(307, b"POST", b"payload", id="307 keeps method and body"),
    ],
)
async def test_a_redirected_post(client: CurlClient, status: int, method: bytes, body: bytes) -> None:
    heard: list[bytes] = []

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.write(OK)
        await writer.drain()

    async with serve(listening) as port:
        elsewhere = redirecting(f"http://127.0.0.1:{port}/", status)
        await ask(client, elsewhere, method="POST", body=b"payload", max_redirects=1)
    head, _, sent = heard[0].partition(b"\r\n\r\n")
    assert head.startswith(method + b" / ")
    assert sent == body


# ------------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def secure(client: CurlClient, cert: str, key: str, **options: object) -> HttpAnswer:
    async with serve(answering(OK), tls=Pair(cert, key).context()) as port:
        request = HttpRequest(url=f"https://127.0.0.1:{port}/", want_certificate=True, **options)  # type: ignore[arg-type]
        return await client.fetch(request)


async def test_a_verified_answer_comes_with_its_certificate_and_a_tls_phase(
    client: CurlClient, authority: Authority
) -> None:
    pair = authority.issue("127.0.0.1", days=30)
    answer = await secure(client, pair.cert, pair.key, ca_file=authority.file)
    assert (answer.error, answer.status, answer.body) == ("", 200, b"ok")
    assert answer.certificate_expires is not None
    assert abs(answer.certificate_expires - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=5)
    assert "127.0.0.1" in answer.certificate["names"]
    assert list(answer.phases) == ["dns", "connect", "tls", "first_byte", "transfer"]


@pytest.mark.parametrize(
    ("names", "days", "trusted", "problem"),
    [
        pytest.param(["127.0.0.1"], -3, True, "expired", id="expired"),
        pytest.param(["127.0.0.1"], 900, True, "not yet valid", id="from the future"),
        pytest.param(["photos.example"], 30, True, "name", id="another name"),
        pytest.param(["127.0.0.1"], 30, False, "untrusted", id="an authority that nobody knows"),
    ],
)
async def test_a_certificate_that_does_not_verify_is_still_reported(
    client: CurlClient, authority: Authority, names: list[str], days: float, trusted: bool, problem: str
) -> None:
    pair = authority.issue(*names, days=days)
    answer = await secure(client, pair.cert, pair.key, ca_file=authority.file if trusted else None)
    assert (answer.error, answer.status, answer.body) == ("certificate", 0, b"")
    assert answer.certificate["problem"] == problem
    assert answer.certificate_expires is not None
    assert names[0] in answer.certificate["names"]


async def test_a_self_signed_certificate_is_called_so(client: CurlClient, tmp_path: Path) -> None:
    pair = self_signed(tmp_path, "127.0.0.1")
    answer = await secure(client, pair.cert, pair.key)
    assert (answer.error, answer.certificate["problem"]) == ("certificate", "self-signed")


async def test_an_expired_certificate_passes_unverified_with_its_date(client: CurlClient, authority: Authority) -> None:
    pair = authority.issue("127.0.0.1", days=-3)
    answer = await secure(client, pair.cert, pair.key, verify=False)
    assert (answer.error, answer.status) == ("", 200)
    assert answer.certificate_expires is not None
    assert answer.certificate_expires < datetime.now(UTC)


async def test_a_certificate_renewed_or_expired_is_seen_on_the_very_next_request(
    client: CurlClient, authority: Authority
) -> None:
    """No session is resumed: a resumed one would show no certificate at all."""
    pair, old = authority.issue("127.0.0.1", days=30), authority.issue("127.0.0.1", days=-1)
    context = pair.context()
    async with serve(answering(OK), tls=context) as port:
        request = HttpRequest(url=f"https://127.0.0.1:{port}/", want_certificate=True, ca_file=authority.file)
        assert (await client.fetch(request)).error == ""
        assert (await client.fetch(request)).certificate_expires is not None
        context.load_cert_chain(old.cert, old.key)
        assert (await client.fetch(request)).error == "certificate"


async def test_the_server_name_is_asked_for_and_verified(client: CurlClient, authority: Authority) -> None:
    pair = authority.issue("photos.example")
    answer = await secure(client, pair.cert, pair.key, ca_file=authority.file, server_name="photos.example")
    assert (answer.error, answer.status) == ("", 200)


async def test_connect_only_ends_after_the_handshake(client: CurlClient, authority: Authority) -> None:
    pair = authority.issue("127.0.0.1")
    answer = await secure(client, pair.cert, pair.key, ca_file=authority.file, connect_only=True)
    assert (answer.error, answer.status) == ("", 0)
    assert answer.certificate_expires is not None
    assert answer.phases["tls"] > 0


async def test_a_port_without_tls_is_tls(client: CurlClient) -> None:
    async with serve(answering(OK)) as port:
        answer = await client.fetch(HttpRequest(url=f"https://127.0.0.1:{port}/", timeout=1.0))
    assert answer.error in ("tls", "timeout")


async def test_a_silent_port_times_out_in_the_handshake(client: CurlClient) -> None:
    async with serve(silent) as port:
        answer = await client.fetch(HttpRequest(url=f"https://127.0.0.1:{port}/", timeout=0.2))
    assert answer.error == "timeout"
    assert list(answer.phases) == ["dns", "connect"]


async def test_http_2_is_spoken_when_it_is_asked_for(client: CurlClient, authority: Authority, tmp_path: Path) -> None:
    pair, port = authority.issue("127.0.0.1"), free_port()
    tls = f"ssl_certificate {pair.cert}; ssl_certificate_key {pair.key};"
    with nginx(tmp_path, f"server {{ listen {port} ssl http2; {tls} return 200; }}"):
        url = f"https://127.0.0.1:{port}/"
        two = await client.fetch(HttpRequest(url=url, ca_file=authority.file, http_version="2"))
        one = await client.fetch(HttpRequest(url=url, ca_file=authority.file, http_version="1.1"))
    assert (two.status, two.http_version) == (200, "2")
    assert (one.status, one.http_version) == (200, "1.1")


# ------------------------------------------------------------------------------------------------- ourselves

LOCAL = [
    pytest.param({"ca_file": "/does/not/exist.pem"}, id="a CA file that is not there"),
    pytest.param({"client_cert": "/does/not/exist.pem"}, id="a client certificate that is not there"),
]


@pytest.mark.parametrize("options", LOCAL)
async def test_what_we_lack_ourselves_is_local(
    client: CurlClient, authority: Authority, options: dict[str, str]
) -> None:
    pair = authority.issue("127.0.0.1")
    assert (await secure(client, pair.cert, pair.key, **options)).error == "local"


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://127.0.0.1:99999/", "nonsense", "http://a b/"])
async def test_a_url_that_cannot_be_asked_is_local_and_never_raises(client: CurlClient, url: str) -> None:
    assert (await client.fetch(HttpRequest(url=url))).error in ("local", "dns")


async def test_no_descriptors_left_is_local(client: CurlClient, site: int) -> None:
    url = f"http://127.0.0.1:{site}/ok"
    await client.fetch(HttpRequest(url=url))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, hard))
    try:
        while True:
            try:
                taken.append(os.dup(0))
            except OSError:
                break
        answer = await client.fetch(HttpRequest(url=url))
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert answer.error == "local"
    assert (await client.fetch(HttpRequest(url=url))).status == 200


async def test_an_answer_that_came_while_our_loop_stood_still_is_no_timeout(client: CurlClient, site: int) -> None:
    probe = asyncio.ensure_future(client.fetch(HttpRequest(url=f"http://127.0.0.1:{site}/ok", timeout=0.2)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(0.6)  # noqa: ASYNC251 the stall is what is tested
    answer = await probe
    assert answer.error in ("", "local")


async def test_a_cancelled_request_frees_its_connection(client: CurlClient) -> None:
    closed = asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent(reader, writer)
        closed.set()

    async with serve(waiting) as port:
        probe = asyncio.ensure_future(client.fetch(HttpRequest(url=f"http://127.0.0.1:{port}/", timeout=30)))
        await asyncio.sleep(0.05)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        await asyncio.wait_for(closed.wait(), 2)


async def test_closing_ends_what_is_under_way_as_local(names: Names) -> None:
    client = CurlClient(names)
    async with serve(silent) as port:
        probe = asyncio.ensure_future(client.fetch(HttpRequest(url=f"http://127.0.0.1:{port}/", timeout=30)))
        await asyncio.sleep(0.05)
        await client.close()
        assert (await asyncio.wait_for(probe, 2)).error == "local"
        after = await client.fetch(HttpRequest(url=f"http://127.0.0.1:{port}/"))
        assert (after.error, after.message) == ("local", "the probe engine is closed")
    await client.close()


async def test_a_client_that_was_never_used_closes(names: Names) -> None:
    client = CurlClient(names)
    await client.close()
    assert (await client.fetch(HttpRequest(url="http://127.0.0.1:1/"))).error == "local"


async def test_many_bundles_of_authorities_in_turn_each_verify_their_own(client: CurlClient, tmp_path: Path) -> None:
    pairs = [(a := Authority(tmp_path, f"authority{n}"), a.issue("127.0.0.1")) for n in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serve(answering(OK), tls=pair.context())) for _, pair in pairs]
        for _ in range(2):
            for n, port in enumerate(ports):
                errors = []
                for authority, _pair in pairs:
                    request = HttpRequest(url=f"https://127.0.0.1:{port}/", ca_file=authority.file)
                    errors.append((await client.fetch(request)).error)
                assert errors == ["" if n == m else "certificate" for m in range(3)]


async def test_hanging_targets_delay_no_healthy_one(client: CurlClient, site: int) -> None:
    async with serve(silent) as port:
        hanging = [
            asyncio.ensure_future(client.fetch(HttpRequest(url=f"http://127.0.0.1:{port}/", timeout=1.0)))
            for _ in range(200)
        ]
        await asyncio.sleep(0.05)
        healthy = [client.fetch(HttpRequest(url=f"http://127.0.4.{i}:{site}/ok", timeout=1.0)) for i in range(1, 101)]
        answers = await asyncio.gather(*healthy)
        assert [answer.status for answer in answers] == [200] * 100
        assert {answer.error for answer in await asyncio.gather(*hanging)} == {"timeout"}


async def test_the_system_resolver_works_through_the_engine() -> None:
    client = CurlClient(ThreadResolver())
    async with serve(answering(OK)) as port:
        answer = await client.fetch(HttpRequest(url=f"http://LOCALHOST:{port}/", family=4))
    await client.close()
    assert (answer.status, answer.address) == (200, "127.0.0.1")

"""What config may say of an http check, and what it hears when it is wrong."""

import tracemalloc
from typing import Any

import pytest
from pydantic import ValidationError

from checks.http import HTTP
from checks.http_options import HttpOptions

REFUSED = [
    pytest.param({"url": "photos.internal/health"}, "starts with http:// or https://", id="no scheme"),
    pytest.param({"url": "ftp://photos/"}, "starts with http:// or https://", id="another scheme"),
    pytest.param({"url": "http:///x"}, "names no host", id="no host"),
    pytest.param({"url": "http://a b/"}, "no spaces", id="a space"),
    pytest.param({"url": "http://a:99999/"}, "'99999' is not a port", id="a port that cannot be"),
    pytest.param({"url": "http://a:x/"}, "'x' is not a port", id="a port that is no number"),
    pytest.param({"url": "http://a:0/"}, "'0' is not a port", id="port 0"),
    pytest.param({"url": "http://[::1/"}, "expected a URL such as https://", id="half an address"),
    pytest.param({"auth": {"bearer": ""}}, "at least 1", id="an empty token, which opens nothing"),
    pytest.param({"url": "http://u:p@a/"}, "write auth:", id="credentials in the URL"),
    pytest.param({"method": "G T"}, "not an HTTP method", id="a method with a space"),
    pytest.param({"headers": {"X A": "1"}}, "not a header name", id="a header name with a space"),
    pytest.param({"headers": {"X": "a\r\nEvil: 1"}}, "no line breaks", id="a header that smuggles another"),
    pytest.param({"auth": {"user": "ann"}}, "password", id="a user without a password"),
    pytest.param({"auth": {"user": "a", "password": "b", "bearer": "c"}}, "bearer", id="two kinds of credentials"),
    pytest.param({"auth": {"bearer": "x"}, "headers": {"authorization": "y"}}, "exclude each other", id="two of them"),
    pytest.param({"expect": {"status": "20"}}, "expected a status such as 200", id="half a status"),
    pytest.param({"expect": {"status": []}}, "expected a status such as 200", id="no status"),
    pytest.param({"expect": {"status": True}}, "expected a status such as 200", id="a boolean status"),
    pytest.param({"expect": {"regex": "("}}, "not a regular expression", id="a broken expression"),
    pytest.param({"expect": {"headers": {"X": "/(/"}}}, "not a regular expression", id="a broken header expression"),
    pytest.param({"expect": {"json": {"status": 1}}}, "starts with", id="a path without $"),
    pytest.param({"expect": {"json": {"$.a[*]": 1}}}, "not a JSON path that is understood", id="a wildcard"),
    pytest.param({"expect": {"json": {"$.a": "> many"}}}, "not a number", id="a comparison with a word"),
    pytest.param({"expect": {"latency": 5}}, "no unit", id="a duration without a unit"),
    pytest.param({"expect": {"latency": "0s"}}, "greater than", id="no time at all"),
    pytest.param({"expect": {"text": ""}}, "at least 1", id="an empty text, which is always there"),
    pytest.param({"expect": {"max_size": 2_000_000}}, "below body_limit", id="a size that is never read"),
    pytest.param({"redirects": True}, "how many are followed", id="a yes instead of a number"),
    pytest.param({"redirects": 21}, "less than or equal to 20", id="too many redirects"),
    pytest.param({"family": 5}, "4 or 6", id="an unknown family"),
    pytest.param({"client_key": "k.pem"}, "needs client_cert", id="a key without its certificate"),
    pytest.param({"expct": {}}, "Extra inputs are not permitted", id="an unknown key"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_a_wrong_option_is_refused_and_says_what_is_right(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("$", r"\$")):
        HttpOptions.model_validate({"url": "http://photos/", **options})


def test_secrets_are_not_in_what_options_show() -> None:
    options = HttpOptions.model_validate(
        {"url": "http://a/", "headers": {"X-Key": "hsecret"}, "auth": {"user": "ann", "password": "psecret"}}
    )
    assert "secret" not in repr(options) + str(options.model_dump()) + options.model_dump_json()


def test_numbers_from_yaml_are_read_as_versions_and_statuses() -> None:
    options = HttpOptions.model_validate(
        {"url": "http://a/", "http_version": 1.1, "family": 6, "expect": {"status": [200, "3xx"]}}
    )
    assert (options.http_version, options.family) == ("1.1", 6)
    assert options.expect is not None
    assert options.expect.status == ("200", "3xx")


def test_the_json_schema_can_be_made_and_names_what_config_writes() -> None:
    schema = HttpOptions.model_json_schema()
    assert schema["required"] == ["url"]
    assert "json" in schema["$defs"]["Expect"]["properties"]


def test_the_host_is_the_one_that_is_asked() -> None:
    assert HTTP.host is not None
    assert HTTP.host(HttpOptions(url="https://photos.internal:8443/x")) == "photos.internal"
    assert HTTP.host(HttpOptions(url="http://[::1]:80/")) == "::1"


def test_plain_options_take_less_than_two_kib_each() -> None:
    urls = [f"http://127.0.0.1:8080/{n}" for n in range(2000)]
    HttpOptions(url="http://warm/")
    tracemalloc.start()
    kept = [HttpOptions(url=url) for url in urls]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(kept) < 2048

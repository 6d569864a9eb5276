import hashlib
import hmac
import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent import __version__
from agent.core.commands import NoticeKind
from agent.signing import signature
from alerts.webhook_body import CLOUD_EVENT_TYPES, body, cloud_event, headers
from tests.alerts.builders import NOTE, OPENED, OPENED_AT, hostile


def test_the_body_is_as_documented(golden) -> None:
    golden("webhook_opened.json", json.loads(body(OPENED)))


def test_the_body_is_the_same_at_every_try() -> None:
    assert body(OPENED) == body(replace(OPENED))


@given(st.text(), st.text())
def test_any_text_becomes_json(text: str, key: str) -> None:
    read = json.loads(body(hostile(key=key, title=text, evidence={text: text}, runbook=text)))
    assert read["version"] == 1
    assert all(isinstance(value, str) for value in read["evidence"].values())


def test_a_note_that_belongs_to_no_incident_says_so_with_an_empty_one() -> None:
    assert json.loads(body(NOTE))["incident"] == ""


def test_a_receiver_can_verify_the_signature_with_three_lines() -> None:
    payload = body(OPENED)
    stamp, digest = (part.split("=", 1)[1] for part in signature(payload, "s3cr3t", OPENED_AT).split(","))
    assert stamp == "1772334725"
    assert digest == hmac.new(b"s3cr3t", f"{stamp}.".encode() + payload, hashlib.sha256).hexdigest()


def test_the_headers_of_one_try() -> None:
    found = headers(OPENED, b"{}", "", OPENED_AT)
    assert found == {
        "Content-Type": "application/json",
        "User-Agent": f"codeblue/{__version__}",
        "Idempotency-Key": "photos-api-20260301T031205.000Z/oncall/opened/1",
    }
    assert "X-Codeblue-Signature" in headers(OPENED, b"{}", "s3cr3t", OPENED_AT)


@given(st.text(min_size=1))
def test_any_key_fits_into_a_header(key: str) -> None:
    sent = headers(replace(OPENED, key=key), b"", "", OPENED_AT)["Idempotency-Key"]
    assert sent.isascii()
    assert sent.isprintable()
    assert " " not in sent


PAGE = replace(OPENED, severity="critical", labels={"team": "photos"}, person="alice", to="+49 30 1234")


class TestCloudEvents:
    def test_the_event_is_as_documented(self, golden) -> None:
        golden("webhook_cloudevent.json", json.loads(cloud_event(PAGE)))

    def test_its_data_is_the_body_of_the_other_format(self) -> None:
        assert json.loads(cloud_event(PAGE))["data"] == json.loads(body(PAGE))

    def test_every_kind_of_notice_has_a_type_of_its_own(self) -> None:
        assert set(CLOUD_EVENT_TYPES) == set(NoticeKind)
        assert len(set(CLOUD_EVENT_TYPES.values())) == len(NoticeKind)

    def test_an_attribute_that_would_be_empty_is_left_out(self) -> None:
        event = json.loads(cloud_event(replace(NOTE, facts={})))
        assert "incident" not in event
        assert "severity" not in event
        assert event["source"] == "/codeblue/"

    @given(st.text(min_size=1), st.text())
    def test_its_attributes_are_what_the_specification_allows(self, key: str, text: str) -> None:
        notice = hostile(key=key, service=text, incident=text, severity=text, facts={"Agent": text})
        event = json.loads(cloud_event(notice))
        attributes = {name: value for name, value in event.items() if name != "data"}
        assert all(name.isascii() and name.isalnum() and name.islower() for name in attributes)
        for value in attributes.values():
            assert value
            assert not any(ord(char) < 32 or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000 for char in value)

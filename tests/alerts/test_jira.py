"""The jira channel against a stand-in that behaves by Jira's documentation, as Cloud and as Data Center."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from agent.core.commands import Notice, NoticeKind
from agent.ports import DeliveryError, Receipt
from alerts.channels.jira import LAG, JiraChannel
from alerts.jira_options import JiraOptions
from tests.alerts.builders import NOTE, OPENED, OPENED_AT, REMINDER, RESOLVED, UPDATE, hostile
from tests.jira_projects import Field, Transition
from tests.jira_standin import MAIL, TOKEN, Issue, JiraStandIn

PAGE = replace(OPENED, severity="critical", labels={"team": "photos"})
ALICE = replace(PAGE, key=f"{PAGE.key}/a", channel="oncall/alice", to="acc-alice", person="alice")


@pytest.fixture(params=["cloud", "data center"])
async def jira(request: pytest.FixtureRequest) -> AsyncIterator[JiraStandIn]:
    async with JiraStandIn(cloud=request.param == "cloud") as made:
        yield made


@pytest.fixture
async def cloud() -> AsyncIterator[JiraStandIn]:
    async with JiraStandIn(cloud=True) as made:
        yield made


def channel(jira: JiraStandIn, *, made: datetime = OPENED_AT - timedelta(days=1), **options: Any) -> JiraChannel:
    given = {"url": jira.url, "user": MAIL if jira.cloud else "", "token": TOKEN, "project": "OPS", "timeout": "5s"}
    return JiraChannel("oncall", JiraOptions(**(given | options)), now=lambda: made)


async def refusal(sending: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await sending
    assert TOKEN not in str(caught.value)
    return caught.value


def only(jira: JiraStandIn) -> Issue:
    (issue,) = jira.issues
    return issue


def said(issue: Issue) -> list[str]:
    return [comment["body"] for comment in issue.comments]


class TestAnIncident:
    async def test_is_an_issue_that_is_commented_and_closed(self, jira: JiraStandIn) -> None:
        desk = channel(jira, issue_type="Incident", priority={"critical": "Highest"})
        await desk.verify()
        opening = await desk.send(PAGE, None)
        assert opening.data == {"issue": "OPS-1", "url": f"{jira.url}/browse/OPS-1"}
        fields = only(jira).fields
        assert fields["summary"] == "photos-api is down"
        assert (fields["issuetype"], fields["priority"]) == ({"name": "Incident"}, {"name": "Highest"})
        assert "connection refused by 127.0.0.1:8080" in fields["description"]
        assert "FATAL exit 74" in fields["description"]
        assert "Runbook: https://wiki.internal/photos?a=1&b=2" in fields["description"].split("{noformat}")[2]
        for notice in (UPDATE, REMINDER):
            await desk.send(notice, opening)
        assert [text.count("second restart") for text in said(only(jira))] == [1, 0]
        await desk.send(RESOLVED, opening)
        assert "photos-api is up again after 5m12s" in said(only(jira))[2]
        assert only(jira).status == "Done"

    async def test_a_note_is_an_issue_of_its_own(self, jira: JiraStandIn) -> None:
        desk = channel(jira)
        for _ in range(2):
            await desk.send(NOTE, None)
        assert only(jira).fields["summary"] == "photos-api: warning"

    async def test_updates_can_be_left_out(self, jira: JiraStandIn) -> None:
        desk = channel(jira, updates=False)
        opening = await desk.send(PAGE, None)
        assert (await desk.send(UPDATE, opening)).data == {"left_out": "updates: false"}
        assert said(only(jira)) == []

    async def test_what_follows_a_page_that_never_arrived_opens_one_issue_that_says_so(self, jira: JiraStandIn) -> None:
        desk = channel(jira)
        await desk.send(REMINDER, None)
        await desk.send(RESOLVED, None)
        assert "never arrived here" in only(jira).fields["description"]
        assert only(jira).status == "Done"
        assert len(said(only(jira))) == 1

    async def test_an_end_alone_is_an_issue_that_is_closed_at_once(self, jira: JiraStandIn) -> None:
        await channel(jira).send(RESOLVED, None)
        assert (only(jira).status, said(only(jira))) == ("Done", [])

    async def test_one_that_people_deleted_is_made_anew_once(self, jira: JiraStandIn) -> None:
        desk = channel(jira)
        opening = await desk.send(PAGE, None)
        jira.issues.clear()
        await desk.send(REMINDER, opening)
        await desk.send(RESOLVED, opening)
        assert "is gone" in only(jira).fields["description"]
        assert only(jira).status == "Done"


class TestPeople:
    async def test_a_page_to_a_person_is_assigned(self, jira: JiraStandIn) -> None:
        await channel(jira).send(ALICE, None)
        assert only(jira).fields["assignee"] == ({"accountId": "acc-alice"} if jira.cloud else {"name": "acc-alice"})

    async def test_all_who_are_asked_about_an_incident_share_its_issue(self, jira: JiraStandIn) -> None:
        desk = channel(jira, assignee="acc-bob")
        receipts = await asyncio.gather(desk.send(PAGE, None), desk.send(ALICE, None))
        assert {receipt.data["issue"] for receipt in receipts} == {"OPS-1"}
        assert said(only(jira)) == [], "it says the same as the description"
        assert "acc-alice" in only(jira).fields["assignee"].values()
        later = replace(ALICE, channel="oncall/bob", to="acc-bob", person="bob", at=ALICE.at + timedelta(minutes=5))
        await desk.send(later, None)
        assert (len(said(only(jira))), "acc-bob" in only(jira).fields["assignee"].values()) == (1, True)
        for end in (RESOLVED, replace(RESOLVED, channel="oncall/alice", key="x", to="acc-alice", person="alice")):
            await desk.send(end, receipts[0])
        assert len(said(only(jira))) == 2, "one end for all of them"

    async def test_a_person_whom_jira_does_not_take_is_no_reason_not_to_page(self, jira: JiraStandIn) -> None:
        desk = channel(jira)
        await desk.send(replace(ALICE, to="gone"), None)
        assert "assignee" not in only(jira).fields
        assert "User 'gone' cannot be assigned issues." in only(jira).fields["description"]
        await desk.send(replace(ALICE, to="gone", at=ALICE.at + timedelta(minutes=1), channel="oncall/g"), None)
        assert len(said(only(jira))) == 1


class TestRoutes:
    ROUTES = ({"match": {"team": ["db", "sto*"]}, "project": "DB", "issue_type": "Incident", "assignee": "acc-bob"},)

    @pytest.mark.parametrize(
        ("team", "project"), [("db", "DB"), ("storage", "DB"), ("web", "OPS"), ("", "OPS")], ids=str
    )
    async def test_labels_choose_the_project(self, cloud: JiraStandIn, team: str, project: str) -> None:
        desk = channel(cloud, routes=self.ROUTES)
        await desk.verify()
        await desk.send(replace(PAGE, labels={"team": team} if team else {}), None)
        assert only(cloud).project.key == project

    async def test_severity_chooses_the_priority(self, cloud: JiraStandIn) -> None:
        routes = [{"match": {"severity": "warning"}, "priority": "Medium"}]
        desk = channel(cloud, routes=routes, priority={"critical": "Highest"})
        await desk.send(replace(PAGE, severity="warning"), None)
        assert only(cloud).fields["priority"] == {"name": "Medium"}

    async def test_more_fields_are_sent_as_they_are(self, cloud: JiraStandIn) -> None:
        cloud.projects["OPS"].fields["customfield_1"] = Field("customfield_1", "Customer", required=True)
        desk = channel(cloud, fields={"customfield_1": {"value": "all"}}, labels=["pager"])
        await desk.verify()
        await desk.send(PAGE, None)
        assert only(cloud).fields["customfield_1"] == {"value": "all"}
        assert "pager" in only(cloud).labels


class TestTheEnd:
    async def test_a_transition_by_name_or_by_the_status_it_leads_to(self, jira: JiraStandIn) -> None:
        ways = [Transition("5", "Reject", "Won't Do"), Transition("6", "Finish", "Done")]
        jira.projects["OPS"].workflow["To Do"] = ways
        for number, (wanted, status) in enumerate((("finish", "Done"), ("Won't do", "Won't Do"), ("", "Won't Do"))):
            desk = channel(jira, close=wanted)
            incident = f"i{number}"
            opening = await desk.send(replace(PAGE, incident=incident), None)
            await desk.send(replace(RESOLVED, incident=incident), opening)
            assert jira.issues[-1].status == status

    async def test_a_resolution_where_its_screen_asks_for_one(self, jira: JiraStandIn) -> None:
        jira.projects["OPS"].workflow["To Do"] = [Transition("5", "Done", "Done", resolution=True)]
        desk = channel(jira, resolution="Fixed")
        opening = await desk.send(PAGE, None)
        await desk.send(RESOLVED, opening)
        assert (only(jira).status, only(jira).resolution) == ("Done", "Fixed")

    async def test_without_a_way_out_the_comment_says_so(self, jira: JiraStandIn) -> None:
        jira.projects["OPS"].workflow["To Do"] = [Transition("5", "Start", "In Progress")]
        desk = channel(jira)
        opening = await desk.send(PAGE, None)
        await desk.send(RESOLVED, opening)
        (text,) = said(only(jira))
        assert "OPS offers no transition that closes it: close it by hand." in text
        assert only(jira).status == "To Do"

    async def test_what_somebody_has_closed_already_stays_closed(self, jira: JiraStandIn) -> None:
        desk = channel(jira)
        opening = await desk.send(PAGE, None)
        only(jira).status = "Done"
        await desk.send(RESOLVED, opening)
        assert (only(jira).status, len(said(only(jira)))) == ("Done", 1)
        assert "by hand" not in said(only(jira))[0]

    async def test_a_transition_that_is_refused_is_said_with_jira_s_words(self, jira: JiraStandIn) -> None:
        jira.projects["OPS"].workflow["To Do"] = [Transition("5", "Done", "Done", resolution=True)]
        desk = channel(jira, resolution="Unheard of")
        opening = await desk.send(PAGE, None)
        error = await refusal(desk.send(RESOLVED, opening))
        assert (error.reason, error.retryable) == ("invalid", False)
        assert "resolution: Specify a valid value." in str(error)


class TestNeverTwiceNeverLost:
    @pytest.mark.parametrize(
        "lost",
        [{"drop": True}, {"status": 503}, {"status": 200, "body": "<html>"}],
        ids=["the connection is cut", "a proxy fails", "a proxy answers"],
    )
    async def test_an_answer_that_is_lost_makes_no_second_issue(self, jira: JiraStandIn, lost: dict[str, Any]) -> None:
        clock = [OPENED_AT + timedelta(minutes=1)]
        desk = channel(jira)
        desk._now = lambda: clock[0]
        jira.fail_next("POST issue", done=True, **lost)
        assert (await refusal(desk.send(PAGE, None))).retryable
        assert len(jira.issues) == 1
        clock[0] += LAG
        receipt = await desk.send(PAGE, None)
        assert (receipt.data["issue"], len(jira.issues), said(only(jira))) == ("OPS-1", 1, [])

    async def test_a_try_that_took_no_effect_is_made_good(self, jira: JiraStandIn) -> None:
        clock = [OPENED_AT + timedelta(minutes=1)]
        desk = channel(jira)
        desk._now = lambda: clock[0]
        jira.fail_next("POST issue", status=502)
        await refusal(desk.send(PAGE, None))
        clock[0] += LAG
        await desk.send(PAGE, None)
        assert len(jira.issues) == 1

    async def test_while_cloud_s_search_may_be_behind_nothing_is_made_again(self) -> None:
        async with JiraStandIn(cloud=True, lag=0.5) as jira:
            clock = [OPENED_AT + timedelta(minutes=1)]
            desk = channel(jira)
            desk._now = lambda: clock[0]
            jira.fail_next("POST issue", drop=True, done=True)
            await refusal(desk.send(PAGE, None))
            clock[0] += timedelta(seconds=2)
            error = await refusal(desk.send(PAGE, None))
            assert (error.retryable, error.retry_after) == (True, 8.0)
            await asyncio.sleep(0.6)
            assert (await desk.send(PAGE, None)).data["issue"] == "OPS-1"
            assert len(jira.issues) == 1

    async def test_a_page_that_a_life_before_has_sent_is_found(self, jira: JiraStandIn) -> None:
        await channel(jira).send(PAGE, None)
        later = channel(jira, made=OPENED_AT + timedelta(hours=1))
        assert (await later.send(PAGE, None)).data["issue"] == "OPS-1"
        assert (len(jira.issues), said(only(jira))) == (1, [])

    @pytest.mark.parametrize("notice", [UPDATE, REMINDER, RESOLVED], ids=lambda notice: notice.kind)
    async def test_a_comment_is_never_written_twice(self, jira: JiraStandIn, notice: Notice) -> None:
        desk = channel(jira)
        opening = await desk.send(PAGE, None)
        jira.fail_next("POST issue/OPS-1/comment", drop=True, done=True)
        assert (await refusal(desk.send(notice, opening))).retryable
        await channel(jira, made=OPENED_AT + timedelta(days=1)).send(notice, opening)
        assert len(said(only(jira))) == 1
        assert (only(jira).status == "Done") is (notice.kind is NoticeKind.RESOLVED)

    async def test_a_transition_whose_answer_is_lost_is_not_made_again(self, jira: JiraStandIn) -> None:
        desk = channel(jira)
        opening = await desk.send(PAGE, None)
        jira.fail_next("POST issue/OPS-1/transitions", drop=True, done=True)
        await refusal(desk.send(RESOLVED, opening))
        await desk.send(RESOLVED, opening)
        assert (only(jira).status, len(said(only(jira)))) == ("Done", 1)
        assert jira.count("POST issue/OPS-1/transitions") == 1

    async def test_one_who_has_no_patience_leaves_no_second_issue(self, jira: JiraStandIn) -> None:
        clock = [OPENED_AT + timedelta(minutes=1)]
        desk = channel(jira)
        desk._now = lambda: clock[0]
        jira.fail_next("POST issue", delay=1.0, done=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await desk.send(PAGE, None)
        clock[0] += LAG
        await desk.send(PAGE, None)
        assert len(jira.issues) == 1

    async def test_it_is_bounded_how_many_issues_are_remembered(
        self, cloud: JiraStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("alerts.channels.jira._REMEMBERED", 3)
        desk = channel(cloud)
        for number in range(5):
            await desk.send(replace(PAGE, incident=f"i{number}"), None)
        assert len(desk._issues) == 3


class TestRefusals:
    @pytest.mark.parametrize(
        ("how", "reason", "retryable", "text"),
        [
            pytest.param({"status": 401}, "auth", False, "answered 401", id="the token was revoked"),
            pytest.param({"status": 403, "error": "No."}, "auth", False, "answered 403: No.", id="forbidden"),
            pytest.param({"status": 404}, "not_found", False, "answered 404", id="not there"),
            pytest.param({"status": 400, "error": "Bad"}, "invalid", False, "answered 400: Bad", id="a bad request"),
            pytest.param({"status": 503}, "server", True, "answered 503", id="away"),
            pytest.param({"status": 409}, "server", True, "answered 409", id="somebody else writes"),
            pytest.param(
                {"status": 302, "location": "http://127.0.0.1/login"}, "redirect", False, "check url", id="a login page"
            ),
        ],
    )
    async def test_what_an_answer_means(
        self, jira: JiraStandIn, how: dict[str, Any], reason: str, retryable: bool, text: str
    ) -> None:
        jira.fail_next("POST issue", **how)
        error = await refusal(channel(jira).send(PAGE, None))
        assert (error.reason, error.retryable) == (reason, retryable)
        assert text in str(error)

    async def test_a_limit_is_kept_as_long_as_jira_says_and_leaves_no_doubt(self, jira: JiraStandIn) -> None:
        desk = channel(jira)
        jira.fail_next("POST issue", status=429, retry_after="7")
        error = await refusal(desk.send(PAGE, None))
        assert (error.reason, error.retryable, error.retry_after) == ("rate_limited", True, 7.0)
        await desk.send(PAGE, None)
        assert len(jira.issues) == 1

    async def test_a_field_that_is_missing_is_said_with_jira_s_words(self, jira: JiraStandIn) -> None:
        jira.projects["OPS"].fields["customfield_1"] = Field("customfield_1", "Customer", required=True)
        error = await refusal(channel(jira).send(PAGE, None))
        assert (error.reason, error.retryable) == ("invalid", False)
        assert "customfield_1: Customer is required." in str(error)

    @pytest.mark.parametrize("field", ["priority", "labels", "assignee"])
    async def test_a_field_that_a_page_can_do_without_is_left_out(self, jira: JiraStandIn, field: str) -> None:
        del jira.projects["OPS"].fields[field]
        desk = channel(jira, priority={"critical": "Highest"}, assignee="acc-bob")
        await desk.send(PAGE, None)
        assert field not in only(jira).fields
        assert f"Field '{field}' cannot be set" in only(jira).fields["description"]

    async def test_a_jira_that_is_not_there_is_tried_again(self) -> None:
        async with JiraStandIn() as jira:
            desk = channel(jira)
        assert (await refusal(desk.send(PAGE, None))).reason == "network"
        assert (await refusal(desk.send(PAGE, None))).retryable


class TestProofAtTheStart:
    async def test_a_wrong_token(self, jira: JiraStandIn) -> None:
        error = await refusal(channel(jira, token="wrong").verify())
        assert (error.reason, error.retryable) == ("auth", False)
        assert "check url, user and token" in str(error)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            pytest.param({"project": "NOPE"}, "there is no project NOPE that this user sees", id="project"),
            pytest.param({"issue_type": "Bug"}, "no issue type 'Bug': it has Incident, Task", id="issue type"),
            pytest.param(
                {"routes": [{"match": {"team": "x"}, "project": "GONE"}]}, "no project GONE", id="a route's project"
            ),
        ],
    )
    async def test_what_is_not_there(self, jira: JiraStandIn, options: dict[str, Any], text: str) -> None:
        error = await refusal(channel(jira, **options).verify())
        assert (error.reason, error.retryable) == ("not_found", False)
        assert text in str(error)

    async def test_what_is_not_allowed(self, jira: JiraStandIn) -> None:
        jira.permissions -= {"CREATE_ISSUES", "ADD_COMMENTS"}
        error = await refusal(channel(jira).verify())
        assert "this user may not create issues or add comments" in str(error)

    async def test_a_field_that_the_type_needs(self, jira: JiraStandIn) -> None:
        jira.projects["OPS"].fields["customfield_1"] = Field("customfield_1", "Customer", required=True)
        error = await refusal(channel(jira).verify())
        assert "Task in OPS needs Customer (customfield_1): say what under `fields`" in str(error)

    async def test_a_type_without_labels(self, jira: JiraStandIn) -> None:
        del jira.projects["OPS"].fields["labels"]
        assert "no field Labels" in str(await refusal(channel(jira).verify()))

    async def test_a_jira_that_is_away_is_no_wrong_token(self, jira: JiraStandIn) -> None:
        jira.fail_next("GET myself", status=503)
        assert (await refusal(channel(jira).verify())).retryable


class TestWhatComesFromOutside:
    @pytest.mark.parametrize("kind", [NoticeKind.OPENED, NoticeKind.REMINDER, NoticeKind.RESOLVED])
    async def test_is_text_and_nothing_else(self, jira: JiraStandIn, kind: NoticeKind) -> None:
        attack = hostile(kind, evidence={"x": "{noformat}[~accountid:acc-bob] {code}|h1. !http://evil/x.png!"})
        desk = channel(jira)
        opening = Receipt(data={"issue": (await desk.send(PAGE, None)).data["issue"]})
        await desk.send(attack, opening if kind is not NoticeKind.OPENED else None)
        texts = [*said(only(jira)), only(jira).fields["description"]]
        for text in texts:
            outside = "".join(text.split("{noformat}")[::2])
            assert text.count("{noformat}") == 2
            assert "evil" not in outside
            assert "[~" not in outside

    async def test_of_any_length_fits(self, jira: JiraStandIn) -> None:
        desk = channel(jira)
        huge = {f"log {n}": "😀 line of a log\n" * 2_000 for n in range(8)}
        opening = await desk.send(replace(PAGE, title="x\n" * 500, evidence=huge), None)
        await desk.send(replace(UPDATE, evidence=huge), opening)
        assert "more" in only(jira).fields["description"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"url": "example.atlassian.net"}, "expected an address", id="no scheme"),
        pytest.param({"url": "https://j?x=1"}, "without a query", id="a query"),
        pytest.param({"token": ""}, "at least 1", id="an empty token"),
        pytest.param({"labels": ["a b"]}, "is no label", id="a blank in a label"),
        pytest.param({"fields": {"summary": "x"}}, "is set by codeblue itself", id="a field of ours"),
        pytest.param({"routes": [{"match": {}}]}, "at least 1", id="a route without a match"),
        pytest.param({"routes": [{"match": {"a": "b"}, "prio": "x"}]}, "Extra inputs", id="an unknown key in a route"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], expected: str) -> None:
    given = {"url": "https://j.internal", "token": "s3cr3t", "project": "OPS"}
    with pytest.raises(ValidationError, match=expected):
        JiraOptions(**(given | options))


def test_the_clock_of_a_channel_is_the_real_one_by_default() -> None:
    made = JiraChannel("oncall", JiraOptions(url="https://j.internal", token="x", project="OPS"))
    assert abs((made._made - datetime.now(UTC)).total_seconds()) < 60

"""Incidents of the real agent as issues in Jira: one each, over a kill in the worst moment, closed at the end."""

from tests.endtoend.agent import wait_for
from tests.endtoend.around import Jira, Service
from tests.endtoend.conftest import MakeAgent


def test_a_kill_while_the_issue_is_being_made_makes_no_second_one_and_it_is_closed_at_the_end(
    make_agent: MakeAgent, web: Service, jira: Jira
) -> None:
    agent = make_agent(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["tickets"]}],
            "channels": {"tickets": jira.channel},
        }
    )
    agent.start()
    agent.wait_until_ready()
    jira.fail_next(method="POST issue", done=True, delay=2.0)
    web.status = 503
    wait_for(jira.issues, 15)
    agent.kill()
    with agent.running():
        wait_for(lambda: "has the page" in str(agent.timeline("web")), 30)
        web.status = 200
        wait_for(lambda: jira.issues()[0]["status"] == "Done", 20)
    (issue,) = jira.issues()
    assert issue["summary"] == "web is down"
    assert len([text for text in issue["comments"] if "up again" in text or "recovered" in text]) == 1


def test_a_token_that_does_not_work_is_refused_at_the_start(make_agent: MakeAgent, web: Service, jira: Jira) -> None:
    agent = make_agent(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["tickets"]}],
            "channels": {"tickets": {**jira.channel, "token": "revoked"}},
        }
    )
    agent.start()
    assert agent.process is not None
    assert agent.process.wait(20) == 2
    assert "check url, user and token" in agent.log
    assert "revoked" not in agent.log

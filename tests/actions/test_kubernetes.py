"""Rolling a deployment out anew. There is no cluster here: all of it runs against a stand-in for the API server."""

import logging
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydantic import ValidationError

from agent.actions.kubernetes import KUBERNETES, KubernetesOptions, KubernetesRestart
from agent.core.commands import Outcome
from agent.ports import ActionOutcome
from tests.actions.orders import ORDER, NoChildren
from tests.kubernetes_standin import DEPLOYMENT, PODS, TOKEN, ApiServer, deployment, kubernetes, pod
from tests.servers import Authority, free_port

BEGUN = deployment(generation=2, observed=2, replicas=4, updated=1, progress="ReplicaSetUpdated")
ROLLED = deployment(generation=2, observed=2)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def api(authority: Authority) -> Iterator[ApiServer]:
    with kubernetes(authority.issue("localhost").context()) as api:
        yield api


@pytest.fixture
def account(tmp_path: Path, authority: Authority) -> dict[str, str]:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return {"token_file": str(tmp_path / "token"), "ca_file": authority.file}


def write(file: str, text: str) -> None:
    Path(file).write_text(text)


async def restart(api_url: str, account: dict[str, str], *, look: float = 3.0, **options: Any) -> ActionOutcome:
    written = {"deployment": "photos", "namespace": "shop", "api_url": api_url, "timeout": "5s", **account, **options}
    made = KubernetesOptions.model_validate(written)
    return await KubernetesRestart(made, NoChildren(), look=look, poll=0.01).perform(ORDER)


async def test_a_restart_is_an_annotation_and_done_when_every_replica_is_new(
    api: ApiServer, account: dict[str, str]
) -> None:
    api.steps = [deployment(generation=2), BEGUN, BEGUN, ROLLED]
    outcome = await restart(api.url, account)
    assert (outcome.outcome, outcome.detail) == (
        Outcome.DONE,
        "photos: 3 of 3 replicas available, 3 up to date",
    )
    annotation = {"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"}
    assert api.patches == [{"spec": {"template": {"metadata": {"annotations": annotation}}}}]
    assert len(api.steps) == 1  # it was followed to its last step


async def test_the_pods_and_the_last_lines_of_the_worst_one_are_evidence(
    api: ApiServer, account: dict[str, str]
) -> None:
    api.now = deployment(available=2)
    api.pods = [pod("photos-1"), pod("photos-2", ready=False, restarts=5, waiting="CrashLoopBackOff", exit_code=3)]
    api.steps = [ROLLED]
    outcome = await restart(api.url, account)
    assert outcome.evidence == {
        "deployment": "photos: 2 of 3 replicas available, 3 up to date",
        "pods": "photos-2: Running, not ready (CrashLoopBackOff), 5 restarts, last end: exit code 3 (Error)\n"
        "photos-1: Running",
        "log of photos-2": "last lines of the life before",
    }
    assert f"GET {PODS}/photos-2/log?container=web&tailLines=20&timestamps=true&previous=true" in api.asked


async def test_scaling_adds_replicas_to_the_version_that_was_looked_at_and_waits_for_them(
    api: ApiServer, account: dict[str, str]
) -> None:
    api.steps = [deployment(generation=2, observed=1, wanted=5), deployment(generation=2, observed=2, wanted=5,
                 replicas=5, updated=5, available=5)]  # fmt: skip
    outcome = await restart(api.url, account, verb="scale", by=2, up_to=6)
    assert (outcome.outcome, outcome.detail) == (Outcome.DONE, "photos: 5 of 5 replicas available, 5 up to date")
    assert api.patches == [{"metadata": {"resourceVersion": "714"}, "spec": {"replicas": 5}}]


async def test_scaling_never_goes_beyond_its_limit(api: ApiServer, account: dict[str, str]) -> None:
    api.steps = [deployment(generation=2, observed=2, wanted=4, replicas=4, updated=4, available=4)]
    await restart(api.url, account, verb="scale", by=9, up_to=4)
    assert api.patches[0]["spec"] == {"replicas": 4}
    outcome = await restart(api.url, account, verb="scale", by=9, up_to=4)
    assert outcome.outcome is Outcome.FAILED
    assert "4 are the most that it may have" in outcome.detail
    assert len(api.patches) == 1


async def test_a_deployment_that_somebody_scaled_meanwhile_is_not_added_to(
    api: ApiServer, account: dict[str, str]
) -> None:
    api.refuse["PATCH"] = 409
    outcome = await restart(api.url, account, verb="scale", up_to=9)
    assert outcome.outcome is Outcome.FAILED
    assert "409" in outcome.detail


def test_scaling_without_a_limit_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs up_to"):
        KubernetesOptions.model_validate({"deployment": "photos", "verb": "scale"})


async def test_an_account_that_may_not_look_at_pods_restarts_all_the_same(
    api: ApiServer, account: dict[str, str]
) -> None:
    api.refuse[PODS], api.steps = 403, [ROLLED]
    outcome = await restart(api.url, account)
    assert outcome.outcome is Outcome.DONE
    assert outcome.evidence["pods"] == "the Kubernetes API says 403: refused with 403"


@pytest.mark.parametrize(
    ("now", "ended", "why"),
    [
        pytest.param(BEGUN, Outcome.LATER, "a rollout is in progress", id="rollout in progress: it is waited for"),
        pytest.param(deployment(paused=True), Outcome.REFUSED, "its rollout is paused by an operator", id="paused"),
        pytest.param(
            deployment(wanted=0, replicas=0, updated=0, available=0),
            Outcome.REFUSED,
            "it is scaled to 0",
            id="scaled to 0",
        ),
    ],
)
async def test_a_deployment_that_somebody_works_on_is_left_alone(
    api: ApiServer, account: dict[str, str], now: dict[str, Any], ended: Outcome, why: str
) -> None:
    api.now = now
    outcome = await restart(api.url, account)
    assert outcome.outcome is ended
    assert outcome.detail.startswith("photos: ")
    assert why in outcome.detail
    assert api.patches == []


@pytest.mark.parametrize(
    ("then", "why"),
    [
        pytest.param(
            deployment(generation=2, observed=2, available=0, progress="ProgressDeadlineExceeded"),
            "its last rollout is stuck",
            id="stuck",
        ),
        pytest.param(
            deployment(generation=2, observed=2, updated=1, paused=True), "paused by an operator", id="paused"
        ),
        pytest.param(404, "the rollout was begun, but: the Kubernetes API says 404", id="deleted"),
    ],
)
async def test_a_rollout_that_does_not_go_on_has_failed(
    api: ApiServer, account: dict[str, str], then: dict[str, Any] | int, why: str
) -> None:
    api.steps = [BEGUN, then]
    outcome = await restart(api.url, account)
    assert outcome.outcome is Outcome.FAILED
    assert why in outcome.detail


async def test_an_api_that_stumbles_during_the_rollout_is_asked_again(api: ApiServer, account: dict[str, str]) -> None:
    api.steps = [500, 429, BEGUN, 503, ROLLED]
    assert (await restart(api.url, account)).outcome is Outcome.DONE
    assert len(api.patches) == 1


async def test_a_rollout_that_takes_too_long_is_a_timeout(api: ApiServer, account: dict[str, str]) -> None:
    api.steps = [BEGUN]
    began = monotonic()
    outcome = await restart(api.url, account, timeout="300ms")
    assert (outcome.outcome, outcome.detail) == (
        Outcome.TIMEOUT,
        "the rollout was not done within 300ms and goes on; photos: 3 of 3 replicas available, 1 up to date, "
        "3 old ones left",
    )
    assert monotonic() - began < 2


async def test_a_patch_that_is_not_answered_is_a_timeout(api: ApiServer, account: dict[str, str]) -> None:
    api.hang = {"PATCH"}
    outcome = await restart(api.url, account, timeout="300ms")
    assert outcome.outcome is Outcome.TIMEOUT
    assert outcome.detail.endswith("did not answer within 0.3 s; the rollout may have begun")


async def test_an_api_that_hangs_is_a_timeout(api: ApiServer, account: dict[str, str]) -> None:
    api.hang = {"GET"}
    began = monotonic()
    outcome = await restart(api.url, account, look=0.3)
    assert (outcome.outcome, outcome.detail) == (
        Outcome.TIMEOUT,
        "not restarted: the Kubernetes API did not answer within 0.3 s",
    )
    assert monotonic() - began < 2


@pytest.mark.parametrize(
    ("refused", "status"),
    [("PATCH", 403), ("PATCH", 409), ("PATCH", 422), (DEPLOYMENT, 404), (DEPLOYMENT, 403), (DEPLOYMENT, 500)],
)
async def test_what_the_api_refuses_is_told(api: ApiServer, account: dict[str, str], refused: str, status: int) -> None:
    api.refuse[refused] = status
    outcome = await restart(api.url, account)
    assert outcome.outcome is Outcome.FAILED
    assert f"the Kubernetes API says {status}: refused with {status}" in outcome.detail


async def test_the_token_is_read_anew_each_time(api: ApiServer, account: dict[str, str]) -> None:
    api.steps = [ROLLED]
    write(account["token_file"], "an-old-one")
    assert "says 401" in (await restart(api.url, account)).detail
    write(account["token_file"], TOKEN)
    assert (await restart(api.url, account)).outcome is Outcome.DONE


async def test_a_server_that_the_authority_does_not_vouch_for_gets_no_token(
    account: dict[str, str], tmp_path: Path
) -> None:
    with kubernetes(Authority(tmp_path, "stranger").issue("localhost").context()) as stranger:
        outcome = await restart(stranger.url, account)
    assert (outcome.outcome, outcome.detail) == (
        Outcome.FAILED,
        "not restarted: the Kubernetes API has no TLS that can be trusted",
    )
    assert stranger.asked == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        pytest.param({"token_file": "/nowhere"}, "token_file /nowhere can't be read: No such file", id="no token"),
        pytest.param({"token_file": "/dev/null"}, "token_file /dev/null holds no token", id="an empty token"),
        pytest.param({"ca_file": "/nowhere"}, "there is no certificate at ca_file /nowhere", id="no certificate"),
        pytest.param({"api_url": ""}, "the agent runs in no pod", id="no address"),
    ],
)
async def test_what_is_missing_on_this_side_is_told(
    account: dict[str, str], options: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    written = {"api_url": "https://localhost:1", **account, **options}
    outcome = await restart(written.pop("api_url"), written)
    assert outcome.outcome is Outcome.FAILED
    assert why in outcome.detail


async def test_in_a_pod_the_clusters_own_api_is_asked(
    api: ApiServer, account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "localhost")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", api.url.rpartition(":")[2])
    api.steps = [ROLLED]
    assert (await restart("", account)).outcome is Outcome.DONE


async def test_an_api_that_is_not_there_is_told_and_no_token_gets_out(
    account: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = await restart(f"https://localhost:{free_port()}", account)
    assert (outcome.outcome, outcome.detail) == (
        Outcome.FAILED,
        "not restarted: the Kubernetes API can't be reached (ConnectionError)",
    )
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        pytest.param({"deployment": "../secrets"}, "is no name of a Kubernetes object", id="a path"),
        pytest.param({"deployment": "photos", "namespace": "Shop"}, "is no name of a Kubernetes object", id="capitals"),
        pytest.param({"deployment": "photos", "api_url": "10.0.0.1:6443"}, "expected an address", id="no scheme"),
        pytest.param({"namespace": "shop"}, "Field required", id="no deployment"),
    ],
)
def test_options_that_can_not_work_are_refused(written: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        KUBERNETES.options.model_validate(written)

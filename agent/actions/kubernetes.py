"""The kubernetes action: rolls a deployment out anew or gives it more replicas, unless a rollout is under way or an
operator has paused it."""

import asyncio
import re
from datetime import UTC, timedelta
from time import monotonic
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlencode

from annotated_types import Gt
from pydantic import AfterValidator, Field, model_validator

from agent.actions.refusal import Refusal
from agent.core.commands import Outcome, Restart
from agent.core.durations import format_duration
from agent.durations import Duration
from agent.kubernetes_api import ApiServer, KubernetesApi, NotAnswered
from agent.ports import ActionOutcome, ActionType, ChildProcesses
from agent.rollouts import Deployment, Pod, parse_deployment, parse_pods

LOOK = 3.0  # seconds that each look may take
POLL = 1.0  # seconds between looks at a rollout
LINES = 20
ANNOTATION = "kubectl.kubernetes.io/restartedAt"  # what `kubectl rollout restart` sets
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def _object_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a Kubernetes object: expected something like photos-api")
    return text


ObjectName = Annotated[str, AfterValidator(_object_name)]


class KubernetesOptions(ApiServer):
    """A deployment and how it is rolled out. The service account needs the verbs get and patch on this deployment,
    and, for the evidence, list on pods and get on pods/log."""

    deployment: ObjectName = Field(description="The deployment's name", examples=["photos-api"])
    namespace: ObjectName = Field(default="default", description="Its namespace")
    verb: Literal["restart", "scale"] = Field(
        default="restart", description="Roll it out anew, or give it more replicas, which an autoscaler would take back"
    )
    by: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="scale: how many replicas are added")
    up_to: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="scale: how many there may be then; needed"
    )
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(minutes=2), description="How long the rollout may take; it goes on after that"
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.verb == "scale" and self.up_to is None:
            raise ValueError("verb: scale needs up_to: how many replicas there may be")
        return self


class KubernetesRestart:
    """`kubectl rollout restart` followed by `kubectl rollout status`, with the state of the pods and the last lines of
    the worst one taken before. The annotation is the time of the order, so the same order twice is one rollout. Scaling
    names the version that was looked at, so that what somebody else changed meanwhile is not added to."""

    def __init__(
        self,
        options: KubernetesOptions,
        children: ChildProcesses,  # noqa: ARG002 - ActionType.build
        look: float = LOOK,
        poll: float = POLL,
    ) -> None:
        self._options = options
        self._api = KubernetesApi(options)
        self._look = look
        self._poll = poll
        self._pods = f"/api/v1/namespaces/{options.namespace}/pods"
        self._path = f"/apis/apps/v1/namespaces/{options.namespace}/deployments/{options.deployment}"

    async def perform(self, order: Restart) -> ActionOutcome:
        """Look, then restart and follow the rollout: `timeout` + 3 * `LOOK` seconds at most."""
        try:
            before = _deployment(await self._api.get(self._path, self._look))
        except NotAnswered as trouble:
            outcome = Outcome.TIMEOUT if trouble.reason == "timeout" else Outcome.FAILED
            return ActionOutcome(outcome=outcome, detail=f"not restarted: {trouble}")
        evidence = {"deployment": before.describe()} | await self._evidence(before)
        if why := before.refusal():
            no = Refusal(why, passing=before.rolling and not before.held)
            return ActionOutcome(outcome=no.outcome, detail=f"{before.describe()}: {why}", evidence=evidence)
        if self._options.verb == "scale" and before.wanted >= (self._options.up_to or 0):
            detail = f"not scaled: {before.describe()}: {self._options.up_to} are the most that it may have"
            return ActionOutcome(outcome=Outcome.FAILED, detail=detail, evidence=evidence)
        outcome, detail = await self._change(order, before)
        return ActionOutcome(outcome=outcome, detail=detail, evidence=evidence)

    def _wanted(self, order: Restart, before: Deployment) -> dict[str, Any]:
        if self._options.verb == "scale":
            replicas = min(before.wanted + self._options.by, self._options.up_to or 0)
            return {"metadata": {"resourceVersion": before.version}, "spec": {"replicas": replicas}}
        at = order.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: at}}}}}

    async def _change(self, order: Restart, before: Deployment) -> tuple[Outcome, str]:
        ends = monotonic() + self._options.timeout.total_seconds()
        try:
            if self._options.verb == "scale":  # the evidence took its time, and every change of its state is a version
                before = _deployment(await self._api.get(self._path, self._look))
            change = self._wanted(order, before)
            path = f"{self._path}?fieldManager=codeblue"
            asked = _deployment(await self._api.merge(path, change, self._options.timeout.total_seconds()))
        except NotAnswered as trouble:
            if trouble.reason != "timeout":
                return Outcome.FAILED, str(trouble)
            return Outcome.TIMEOUT, f"{trouble}; the rollout may have begun"
        return await self._follow(asked, ends)

    async def _follow(self, asked: Deployment, ends: float) -> tuple[Outcome, str]:
        """Until the rollout that was asked for is done, stuck, stopped by somebody, or the time is up. An API that does
        not answer for a while is asked again."""
        last, trouble = asked, ""
        while monotonic() < ends:
            try:
                last, trouble = _deployment(await self._api.get(self._path, self._look)), ""
            except NotAnswered as failure:
                if failure.reason in ("auth", "forbidden", "not_found"):
                    return Outcome.FAILED, f"the rollout was begun, but: {failure}"
                trouble = f"; {failure}"
            if not trouble:
                if last.rolled_out and last.observed >= asked.generation:
                    return Outcome.DONE, last.describe()
                if last.stuck or last.paused or last.deleted:
                    return Outcome.FAILED, f"the rollout does not go on: {last.describe()}: {last.refusal()}"
            await asyncio.sleep(max(0.0, min(self._poll, ends - monotonic())))
        waited = format_duration(self._options.timeout)
        return Outcome.TIMEOUT, f"the rollout was not done within {waited} and goes on; {last.describe()}{trouble}"

    async def _evidence(self, deployment: Deployment) -> dict[str, str]:
        """What can be learned about the pods: the account may not be allowed to look."""
        if not deployment.selector:
            return {}
        try:
            query = urlencode({"labelSelector": deployment.selector, "limit": "100"})
            async with asyncio.timeout(self._look):
                pods = parse_pods(await self._api.get(f"{self._pods}?{query}", self._look))
                log = await self._log(pods[0]) if pods else ""
        except NotAnswered as trouble:
            return {"pods": str(trouble)}
        except TimeoutError:
            return {}
        found = {"pods": "\n".join(pod.describe() for pod in pods)}
        return found | ({f"log of {pods[0].name}": log} if log else {})

    async def _log(self, pod: Pod) -> str:
        """The last lines of the worst pod; of its container's life before, where it waits to be started again."""
        query = {"container": pod.container, "tailLines": str(LINES), "timestamps": "true"}
        if pod.waiting and pod.restarts:
            query["previous"] = "true"
        try:
            return (await self._api.text(f"{self._pods}/{quote(pod.name)}/log?{urlencode(query)}", self._look)).strip()
        except NotAnswered as trouble:
            return str(trouble)


def _deployment(said: Any) -> Deployment:
    try:
        return parse_deployment(said)
    except ValueError:
        raise NotAnswered("api", f"the Kubernetes API gave no deployment: {str(said)[:60]}") from None


KUBERNETES = ActionType(
    name="kubernetes",
    options=KubernetesOptions,
    build=KubernetesRestart,
    short="deployment",
    about="Rolls a Kubernetes deployment out anew or scales it, unless it is being rolled out, paused or scaled to 0.",
)

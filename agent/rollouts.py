"""What Kubernetes says of a Deployment and its pods (apps/v1, kubernetes.io/docs/reference), read into facts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.subprocesses import describe_exit

_NEW = frozenset({"NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated"})
_STUCK = "ProgressDeadlineExceeded"
_PODS = 20  # that are described


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment's state. `generation` counts the changes to what is wanted, `observed` is the last that its
    controller has seen; `progress` is the reason of its condition Progressing."""

    name: str
    generation: int
    observed: int
    wanted: int
    replicas: int = 0
    updated: int = 0
    available: int = 0
    paused: bool = False
    deleted: bool = False
    progress: str = ""
    progress_message: str = ""
    selector: str = ""
    version: str = ""  # what a change must name so that it is refused if somebody else was quicker

    @property
    def stuck(self) -> bool:
        return self.progress == _STUCK and self.observed >= self.generation

    @property
    def rolled_out(self) -> bool:
        """Whether the last change has reached every replica and all of them are available: the rule of
        `kubectl rollout status`."""
        return (
            self.observed >= self.generation
            and self.updated >= self.wanted
            and self.replicas <= self.updated
            and self.available >= self.updated
        )

    @property
    def rolling(self) -> bool:
        """Whether a rollout is under way. Replicas that died after their rollout was done do not make it one."""
        if self.observed < self.generation or self.updated < self.wanted or self.replicas > self.updated:
            return True
        return self.progress in _NEW and self.available < self.updated

    @property
    def held(self) -> bool:
        """Whether it does not go on by itself: somebody has to do something."""
        return self.deleted or self.paused or self.wanted == 0 or self.stuck

    def refusal(self) -> str:
        """Why a deployment in this state is not restarted; empty when it may be."""
        if self.deleted:
            return "it is being deleted"
        if self.paused:
            return "its rollout is paused by an operator"
        if self.wanted == 0:
            return "it is scaled to 0 by an operator"
        if self.stuck:
            return f"its last rollout is stuck ({self.progress_message or _STUCK}): undo it or repair it"
        return "a rollout is in progress" if self.rolling else ""

    def describe(self) -> str:
        """One line for people: "photos: 2 of 3 replicas available, 3 up to date"."""
        extra = f", {self.replicas - self.updated} old ones left" if self.replicas > self.updated else ""
        paused = ", paused" if self.paused else ""
        return (
            f"{self.name}: {self.available} of {self.wanted} replicas available, {self.updated} up to date"
            f"{extra}{paused}"
        )


def parse_deployment(said: Any) -> Deployment:
    """Read a Deployment object. Raises ValueError for something else."""
    if not isinstance(said, Mapping) or said.get("kind") != "Deployment":
        raise ValueError("no Deployment")
    metadata, spec, status = (_part(said, name) for name in ("metadata", "spec", "status"))
    progress = next((c for c in _items(status, "conditions") if c.get("type") == "Progressing"), {})
    wanted = spec.get("replicas")
    return Deployment(
        name=str(metadata.get("name")),
        generation=_figure(metadata, "generation"),
        observed=_figure(status, "observedGeneration"),
        wanted=wanted if isinstance(wanted, int) else 1,
        replicas=_figure(status, "replicas"),
        updated=_figure(status, "updatedReplicas"),
        available=_figure(status, "availableReplicas"),
        paused=bool(spec.get("paused")),
        deleted=bool(metadata.get("deletionTimestamp")),
        progress=str(progress.get("reason") or ""),
        progress_message=" ".join(str(progress.get("message") or "").split())[:300],
        selector=",".join(_requirements(_part(spec, "selector"))),
        version=str(metadata.get("resourceVersion") or ""),
    )


def _requirements(selector: Mapping[str, Any]) -> Iterable[str]:
    """A label selector as the query parameter labelSelector has it."""
    for key, value in _part(selector, "matchLabels").items():
        yield f"{key}={value}"
    for item in _items(selector, "matchExpressions"):
        wanted = ",".join(map(str, item.get("values") or ()))
        key = str(item.get("key"))
        match item.get("operator"):
            case "In":
                yield f"{key} in ({wanted})"
            case "NotIn":
                yield f"{key} notin ({wanted})"
            case "Exists":
                yield key
            case "DoesNotExist":
                yield f"!{key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod, by its container that is worst off."""

    name: str
    phase: str
    container: str = ""
    ready: bool = True
    restarts: int = 0
    waiting: str = ""  # why, as "CrashLoopBackOff"
    last_end: str = ""

    def describe(self) -> str:
        """One line for people: "photos-7d9-x: Running, not ready (CrashLoopBackOff), 5 restarts, last end: …"."""
        more = [] if self.ready else ["not ready" + (f" ({self.waiting})" if self.waiting else "")]
        if self.restarts:
            more.append(f"{self.restarts} {'restart' if self.restarts == 1 else 'restarts'}")
        if self.last_end:
            more.append(f"last end: {self.last_end}")
        return f"{self.name}: " + ", ".join([self.phase, *more])


def parse_pods(said: Any) -> Sequence[Pod]:
    """Read a PodList; the worst first, at most 20."""
    pods = [_pod(item) for item in _items(said, "items")]
    return sorted(pods, key=lambda pod: (pod.ready, -pod.restarts, pod.name))[:_PODS]


def _pod(item: Mapping[str, Any]) -> Pod:
    status = _part(item, "status")
    containers = _items(status, "containerStatuses")
    name, phase = str(_part(item, "metadata").get("name")), str(status.get("phase"))
    if not containers:
        return Pod(name=name, phase=phase, ready=False, waiting=str(status.get("reason") or ""))
    worst = min(containers, key=lambda one: (bool(one.get("ready")), -_figure(one, "restartCount")))
    ended = _part(_part(worst, "lastState"), "terminated")
    reason = str(ended.get("reason") or "")
    end = describe_exit(_figure(ended, "exitCode")) + (f" ({reason})" if reason else "") if ended else ""
    return Pod(
        name=name,
        phase=phase,
        container=str(worst.get("name")),
        ready=bool(worst.get("ready")),
        restarts=_figure(worst, "restartCount"),
        waiting=str(_part(_part(worst, "state"), "waiting").get("reason") or ""),
        last_end=end,
    )


def _part(said: Any, name: str) -> Mapping[str, Any]:
    part = said.get(name) if isinstance(said, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _items(said: Any, name: str) -> Sequence[Mapping[str, Any]]:
    items = said.get(name) if isinstance(said, Mapping) else None
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _figure(said: Mapping[str, Any], name: str) -> int:
    figure = said.get(name)
    return figure if isinstance(figure, int) else 0

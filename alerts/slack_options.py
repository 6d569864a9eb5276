"""The options of a Slack channel."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from annotated_types import Gt
from pydantic import Field, SecretStr, field_validator

from agent.durations import Duration
from agent.ports import Options

EVERYONE = "everyone"
_WHO = re.compile(r"[^\s<>]{1,80}")

Who = Annotated[list[str], Field(max_length=200)]


class May(Options):
    """Who may do what from Slack. An entry is a user's id (U0123ABCD), the name of one of `people`, a user group (its
    id S0123ABCD, or @handle), or "everyone": whoever reads the channel, and each of `people`, wherever they say it.
    Nobody of another workspace is among everyone. What nobody may do has no button."""

    ack: Who = Field(default=[EVERYONE], description="Who may acknowledge: users, people, user groups or everyone")
    silence: Who = Field(default=[EVERYONE], description="Who may silence")
    restart: Who = Field(default=[], description="Who may order a restart; nobody, unless it is said here")
    approve: Who = Field(default=[], description="Who may approve a restart; nobody, unless it is said here")
    status: Who = Field(default=[EVERYONE], description="Who may ask how things are, and who is on call")

    @field_validator("*", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        who = [value] if isinstance(value, str) else value
        for entry in who if isinstance(who, list) else []:
            if not isinstance(entry, str) or not _WHO.fullmatch(entry):
                raise ValueError('expected user ids (U…), names of people, user groups (S… or "@handle"), or everyone')
        return who


def _is_a_name(who: str) -> bool:
    """Whether it can only be one of config's people, whose names are in small letters."""
    return who != EVERYONE and not who.startswith("@") and not re.fullmatch(r"[UWS][A-Z0-9]+", who)


class SlackOptions(Options):
    """`channel` is a name ("#oncall") or, better, an id ("C0123456789"), which survives a renaming. `timeout` is for
    one call of the API. A proxy is taken from the environment (HTTPS_PROXY, NO_PROXY)."""

    token: SecretStr = Field(description="The app's bot token, xoxb-…; it needs the scope chat:write")
    channel: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s<>]+$")] = Field(
        description='Where it posts: a name such as "#oncall" or, better, an id such as C0123456789, which survives a '
        "renaming. Quote the name: # begins a comment"
    )
    app_token: SecretStr | None = Field(
        default=None,
        description="The app-level token, xapp-…, with the scope connections:write: buttons and /codeblue work over "
        "Socket Mode, without a port that Slack could reach",
    )
    signing_secret: SecretStr | None = Field(
        default=None,
        description="The app's signing secret: buttons and /codeblue work over HTTP, posted by Slack to "
        "/slack/interactive and /slack/command of this agent",
    )
    may: May = Field(default=May(), description="Who may do what with buttons and /codeblue")
    api_url: str = Field(default="https://slack.com/api/", description="Where Slack's API is")
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=10), description="How long one call of the API may take"
    )

    @field_validator("token", "app_token", "signing_secret")
    @classmethod
    def _like_a_token(cls, token: SecretStr | None) -> SecretStr | None:
        text = token.get_secret_value() if token is not None else "-"
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("expected a bot token (xoxb-…), an app token (xapp-…), a signing secret, without blanks")
        return token

    @field_validator("app_token")
    @classmethod
    def _of_the_app(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not token.get_secret_value().startswith("xapp-"):
            raise ValueError("expected an app-level token (xapp-…): the bot token belongs into token")
        return token

    @field_validator("api_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("expected an address such as https://slack.com/api/")
        return url

    def people(self) -> Mapping[tuple[str, ...], Sequence[str]]:
        lists = {name: getattr(self.may, name) for name in type(self.may).model_fields}
        return {("may", name): [who for who in listed if _is_a_name(who)] for name, listed in lists.items()}

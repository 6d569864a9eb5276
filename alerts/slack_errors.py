"""What Slack's refusals mean for a page, and what a person can do about them. Pure.

Source: the error tables of chat.postMessage, chat.update and auth.test at docs.slack.dev/reference/methods. An error
that is not listed here is permanent: the fallback channel is asked at once, instead of after ten tries.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from agent.ports import DeliveryError

_AUTH = "make a new token and put it in the config"
_SCOPE = "give the app the scope chat:write and install it again"
_USER = "check the person's Slack user id"
_ALLOW = "ask the workspace's owners to let the app post"

# error: (reason, remedy)
PERMANENT: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("invalid_auth", "not_authed", "token_revoked", "token_expired"), ("auth", _AUTH)),
        **dict.fromkeys(("account_inactive", "not_allowed_token_type"), ("auth", _AUTH)),
        **dict.fromkeys(("missing_scope", "no_permission"), ("auth", _SCOPE)),
        **dict.fromkeys(("access_denied", "team_access_not_granted", "ekm_access_denied"), ("auth", _ALLOW)),
        **dict.fromkeys(("enterprise_is_restricted", "two_factor_setup_required"), ("auth", _ALLOW)),
        **dict.fromkeys(("restricted_action", "restricted_action_read_only_channel"), ("auth", _ALLOW)),
        **dict.fromkeys(("restricted_action_non_threadable_channel", "posting_to_channel_denied"), ("auth", _ALLOW)),
        "channel_not_found": ("not_found", "check the channel's name, and invite the app if it is private"),
        **dict.fromkeys(("user_not_found", "user_disabled", "user_not_visible", "cannot_dm_bot"), ("not_found", _USER)),
        "messages_tab_disabled": ("not_found", "switch the app's messages tab on, so that it can write to people"),
        "not_in_channel": ("not_found", "invite the app to the channel"),
        "is_inactive": ("not_found", "choose another channel"),
        "is_archived": ("archived", "unarchive the channel or choose another"),
    }
)
TRANSIENT: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("ratelimited", "rate_limited", "message_limit_exceeded"), "rate_limited"),
        **dict.fromkeys(("internal_error", "fatal_error", "service_unavailable"), "server"),
        **dict.fromkeys(("team_added_to_org", "org_login_required"), "server"),  # the workspace is being moved
        "request_timeout": "timeout",
    }
)
UNLIKED = frozenset({"msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format", "no_text"})
UNLIKED_METADATA = frozenset(
    {"invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app"}
)
GONE = frozenset({"message_not_found", "thread_not_found"})
FIXED = frozenset({"cant_update_message", "edit_window_closed", "block_mismatch"})

_CODE = re.compile(r"[a-z][a-z0-9_]{1,60}")


class SlackRefused(Exception):
    """Slack answered, but did not do it. `code` is its error, "http_503" where there was none, never anything longer:
    what a broken server echoes may hold the token. `retry_after` is in seconds."""

    def __init__(self, code: object, status: int, retry_after: float | None = None) -> None:
        self.code = code if isinstance(code, str) and _CODE.fullmatch(code) else f"http_{status}"
        super().__init__(self.code)
        self.status = status
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        return self.code in TRANSIENT or self.status in (408, 429) or self.status >= 500 or self.code == "http_200"

    def delivery_error(self, channel: str) -> DeliveryError:
        """The same in the channel contract's terms, with the remedy."""
        if self.retryable:
            reason = "rate_limited" if self.status == 429 else TRANSIENT.get(self.code, "server")
            message = f"Slack can't take it now: {self.code}"
            return DeliveryError(reason, message, retryable=True, retry_after=self.retry_after)
        reason, remedy = PERMANENT.get(self.code, ("invalid", ""))
        if 300 <= self.status < 400:
            reason, remedy = "redirect", "check api_url"
        message = f"Slack refused the message to {channel}: {self.code}" + (f": {remedy}" if remedy else "")
        return DeliveryError(reason, message, retryable=False)

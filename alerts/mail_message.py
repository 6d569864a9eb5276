"""A notice as a mail: what it says, and the headers by which a reader groups the mails of one incident. Pure."""

import hashlib
from typing import TYPE_CHECKING

from agent.core.commands import Notice, NoticeKind
from agent.core.plain_text import one_line
from agent.ports import Receipt
from agent.signing import plain_key
from alerts.rendering import plain_text, title

if TYPE_CHECKING:
    from email.message import EmailMessage

_STATES = {
    NoticeKind.OPENED: "DOWN",
    NoticeKind.REMINDER: "STILL DOWN",
    NoticeKind.UPDATE: "update",
    NoticeKind.RESOLVED: "RESOLVED",
    NoticeKind.NOTE: "note",
}
_LOUD = frozenset({NoticeKind.OPENED, NoticeKind.REMINDER})


def mail(notice: Notice, opening: Receipt | None, sender: str, to: str) -> "EmailMessage":
    """The whole mail, the same at every try.

    All mails of one incident have one subject, that of its page, since Gmail and Outlook only group mails by that; what
    has become of it stands in the sender's name, which a telephone shows first. `References` names the page and a root
    that all of them share, so that they are grouped even where the page never arrived. `Message-ID` is made of the
    notice's key: a mail that was sent twice is shown once.
    """
    from email.headerregistry import Address
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import format_datetime

    domain = sender.rpartition("@")[2] or "localhost"
    subject = (opening.data.get("subject", "") if opening else "") or title(notice)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(f"codeblue {'DRILL' if notice.drill else _STATES[notice.kind]}", addr_spec=sender)
    message["To"] = to
    follows = notice.incident and notice.kind is not NoticeKind.OPENED
    message["Subject"] = f"Re: {subject}" if follows and opening else subject
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = _id(notice.key, domain)
    if notice.incident:
        page = opening.data.get("message_id", "") if opening else ""
        known = [_id(f"{notice.incident}/{notice.channel}", domain), page]
        message["References"] = " ".join(filter(None, known))
        if follows:
            message["In-Reply-To"] = page or known[0]
        message["X-Codeblue-Incident"] = plain_key(notice.incident)
    message["X-Codeblue-Key"] = plain_key(notice.key)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    message["X-Auto-Response-Suppress"] = "All"
    if notice.kind in _LOUD:
        message["Importance"] = "high"
        message["X-Priority"] = "1"
    message.set_content(f"{plain_text(notice)}\n")
    return message


def receipt(message: "EmailMessage", opening: Receipt | None) -> Receipt:
    """What the later mails of the incident have to know of this one."""
    subject = (opening.data.get("subject", "") if opening else "") or one_line(str(message["Subject"]))
    return Receipt(data={"message_id": str(message["Message-ID"]), "subject": subject})


def _id(text: str, domain: str) -> str:
    return f"<{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:32]}@{domain}>"

"""Command lines without the secrets that people write into them."""

import re
from collections.abc import Sequence
from pathlib import PurePath

HIDDEN = "***"

_NAME = (
    r"[\w.-]*(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|(?:api|access|auth|private|secret|account|"
    r"encryption|signing|license)[-_.]?key|authorization|bearer|cookie|dsn|signature)[\w.-]*"
)
_OPTION = re.compile(rf"--?{_NAME}|-H|--header", re.IGNORECASE)  # its value is the next argument
_ASSIGNED = re.compile(
    rf"((?:^|[?&;:,\s\"'{{])\"?(?:--?)?(?:-D)?{_NAME}\"?\s*[=:]\s*\"?)([^&;,\s\"'}}]+)", re.IGNORECASE
)
_HEADER = re.compile(r"((?:authorization|cookie|[\w-]*(?:key|token|secret)[\w-]*)\s*:).+", re.IGNORECASE)
_USERINFO = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_KNOWN = re.compile(
    r"\b(?:xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|gh[a-z]_\w{16,}|glpat-[\w-]{16,}|sk-[\w-]{16,}|AKIA[0-9A-Z]{16}|"
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)"
)
_LETTERS = {  # programs whose option of one letter is a secret
    "mysql": "-p", "mysqldump": "-p", "mysqladmin": "-p", "mariadb": "-p", "mariadb-dump": "-p", "sshpass": "-p",
    "redis-cli": "-a", "curl": "-u", "ldapsearch": "-w", "mongosh": "-p", "mongo": "-p", "smbclient": "-U",
}  # fmt: skip


def redact_arguments(arguments: Sequence[str]) -> list[str]:
    """The same arguments with *** for what is or may be a secret: the value of an option or of a key=value whose name
    says so, the password of a URL, headers, JSON members, and tokens that are known by their form."""
    letter = _LETTERS.get(PurePath(arguments[0]).name, "") if arguments else ""
    shown: list[str] = []
    hide_next = False
    for argument in arguments:
        if hide_next and not argument.startswith("--"):
            shown.append(_header(argument) if shown[-1] in ("-H", "--header") else HIDDEN)
            hide_next = False
            continue
        hide_next = bool(_OPTION.fullmatch(argument)) or (argument == letter != "")
        if letter and argument.startswith(letter) and argument != letter:
            shown.append(f"{letter}{HIDDEN}")
        else:
            shown.append(redact_text(argument))
    return shown


def redact_text(text: str) -> str:
    """The same for a piece of text whose arguments can't be told apart any more."""
    text = _USERINFO.sub(rf"\1{HIDDEN}@", text)
    text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
    return _KNOWN.sub(HIDDEN, text)


def redact_line(line: str) -> str:
    """A command line that was joined with blanks."""
    return " ".join(redact_arguments(line.split(" ")))


def _header(argument: str) -> str:
    return _HEADER.sub(rf"\1 {HIDDEN}", redact_text(argument))

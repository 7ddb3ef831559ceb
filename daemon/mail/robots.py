"""Signs that a program sent a mail: nobody answers those. Pure.

Sources: RFC 3834 2 and 5, RFC 6522 (multipart/report), RFC 8098 (receipts),
RFC 6047 (calendars), RFC 2919 (List-Id). X-Auto-Response-Suppress is no sign:
Outlook puts it on people's mail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from daemon.mail import headers
from daemon.mail.headers import Field
from daemon.mail.plain import fold, plain

_LOCAL_PART = re.compile(
    r"(?:mailer-?daemon|no[-_.]?reply|do[-_.]?not[-_.]?reply|n[aã]o[-_.]?respond[ae]r?)(?:[-_.+].*)?"
)
_TYPES = re.compile(
    r"multipart/report|message/(?:delivery-status|disposition-notification|global-delivery-status"
    r"|global-disposition-notification)|text/calendar"
)
_PRECEDENCE = frozenset(("bulk", "junk", "list", "auto_reply", "auto-reply"))
_MARKS = ("x-autoreply", "x-auto-reply", "x-autorespond", "x-autoresponder", "x-failed-recipients")
_SUBJECTS = re.compile(
    r"(?:(?:RE|RES|ENC|FWD?) ?: ?)*"
    r"(?:RESPOSTA AUTOMATICA|AUTOMATIC REPLY|RESPUESTA AUTOMATICA|AUTO(?:-| )?REPLY|OUT OF (?:THE )?OFFICE"
    r"|FORA DO ESCRITORIO|AUSENCIA(?: TEMPORARIA)?"
    r"|LID[AO]|NAO LID[AO]|READ|NOT READ|CONFIRMACAO DE LEITURA|READ RECEIPT"
    r"|ACEIT[AO]|RECUSAD[AO]|PROVISORI[AO]|CANCELAD[AO]|CONVITE"
    r"|ACCEPTED|DECLINED|TENTATIVE(?:LY ACCEPTED)?|CANCELL?ED|INVITATION) ?:"
)


def sign(block: Sequence[Field], sender: str, subject: str, parts: Sequence[str] = ()) -> str:
    """Why a program seems to have sent it (for the log, in English); "" if a person did."""
    if sender and _LOCAL_PART.fullmatch(sender.rpartition("@")[0]):
        return "its sender takes no answers"
    for field in block:
        why = _mark(field.name, headers.text_of(field.value).strip().lower())
        if why:
            return why
    if any(_TYPES.match(part) for part in parts):
        return "it is a report, a receipt or an invitation"
    if _SUBJECTS.match(fold(plain(subject[:400]))):
        return "its subject is an automatic reply's"
    return ""


def _mark(name: str, value: str) -> str:
    word = re.split(r"[\s;(]", value, maxsplit=1)[0]
    if name == "auto-submitted" and word != "no":
        return "Auto-Submitted"
    if name == "precedence" and word in _PRECEDENCE:
        return "Precedence"
    if name == "list-id":
        return "List-Id"
    if name in _MARKS:
        return "it is marked as an automatic reply or a bounce"
    if name == "return-path" and re.fullmatch(r"<\s*>", value):
        return "an empty return path"
    if name == "content-type" and _TYPES.match(word):
        return "it is a report, a receipt or an invitation"
    if name == "content-class" and "calendarmessage" in value:
        return "it is an invitation"
    return ""

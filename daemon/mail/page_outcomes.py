"""What the answer to each outcome says: from what was found or done to a page, in pt_BR and en. Pure.

`say` gives the sentence for a reason, from the tables of reasons.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Final

from daemon.jobs.model import ExtensionMoved, Failure, IpChecked, Jail, NothingFound, RecordingsSent, Request
from daemon.mail.page import Block, Button, Call, Calls, Facts, Items, Notice, Page, Text
from daemon.mail.pages import asked, page_of
from daemon.mail.phrases import length, many, minute, moment, pick, size, weekday
from daemon.recordings.model import LeftOut

Say = Callable[[Failure], str]
"""The sentence for a code, in the reader's language."""

MOST_LEFT_OUT: Final = 10
"""Recordings that could not be given, one by one; of more only the counts are told."""
_NAME: Final = re.compile(r"(?<!\d)(\d{2,15})-(\d{2,15})-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(?!\d)")


def recordings(request: Request, found: RecordingsSent, shown: int, zone: tzinfo, say: Say) -> Page:
    """RAMAIS found something; the first `shown` recordings are listed, the ZIP has all."""
    lang, count = request.language, len(found.rows)
    counted = _recordings(count, lang)
    until = minute(found.expires, zone)
    blocks: list[Block] = [
        Text(
            pick(
                lang,
                f"{counted}. Os links funcionam até {until}; depois, basta pedir de novo.",
                f"{counted}. The links work until {until}; after that, just ask again.",
            )
        ),
        *asked(request),
        Calls(
            heads=(
                pick(lang, "Data e ligação", "Date and call"),
                pick(lang, "Duração", "Length"),
            ),
            play=pick(lang, "Tocar", "Play"),
            rows=tuple(
                Call(
                    moment(row.started, zone), f"{row.origin} → {row.destiny}", length(row.seconds), row.link
                )
                for row in found.rows[:shown]
            ),
        ),
    ]
    if shown < count:
        blocks.append(
            Notice(
                pick(
                    lang,
                    f"Aqui estão as {shown} primeiras. Todas as {count} estão no ZIP abaixo, "
                    f"com a lista completa no arquivo index.csv.",
                    f"These are the first {shown}. All {count} are in the ZIP below, "
                    f"with the complete list in its file index.csv.",
                )
            )
        )
    if found.bundle:
        weight = size(found.bundle_bytes, lang).replace(" ", "\u00a0")
        label = pick(lang, "Baixar todas em um ZIP", "Download all as one ZIP")
        blocks.append(Button(f"{label} ({weight})", found.bundle))
    blocks += _left_out(found.left_out, say, lang, in_zip=bool(found.bundle))
    if found.rate:
        blocks.append(
            Text(
                pick(
                    lang,
                    f"As gravações foram convertidas para MP3 a {found.rate} kbit/s.",
                    f"The recordings were converted to MP3 at {found.rate} kbit/s.",
                ),
                quiet=True,
            )
        )
    return page_of(request, pick(lang, "As suas gravações", "Your recordings"), counted, blocks)


def nothing(request: Request, found: NothingFound, say: Say) -> Page:
    """RAMAIS found nothing; what is near is offered."""
    lang = request.language
    said = (
        pick(lang, "Nenhuma gravação pôde ser entregue.", "No recording could be given.")
        if found.left_out
        else pick(
            lang,
            "Não há gravações destes ramais neste período.",
            "There are no recordings of these extensions in this time.",
        )
    )
    blocks: list[Block] = [Notice(said), *asked(request)]
    if found.near.days:
        blocks.append(
            Items(
                pick(lang, "Há gravações destes ramais em outros dias:", "On other days there are some:"),
                tuple(f"{weekday(day, lang)}: {_recordings(n, lang)}" for day, n in found.near.days),
            )
        )
    if found.near.extensions:
        blocks.append(
            Items(
                pick(
                    lang,
                    "No mesmo período, há gravações de outros ramais do mesmo cliente:",
                    "In the same time other extensions of the same client have some:",
                ),
                tuple(
                    f"{pick(lang, 'ramal', 'extension')} {name}: {_recordings(n, lang)}"
                    for name, n in found.near.extensions
                ),
            )
        )
    blocks += _left_out(found.left_out, say, lang, in_zip=False)
    title = pick(lang, "Nenhuma gravação encontrada", "No recordings found")
    return page_of(request, title, said, blocks)


def ip_checked(request: Request, found: IpChecked, zone: tzinfo) -> Page:
    """CHECKIP: first the verdict, then each jail that says something."""
    lang = request.language
    lifted = [jail for jail in found.jails if jail.lifted]
    banned = [jail for jail in found.jails if jail.banned and not jail.lifted]
    if banned:
        said = pick(lang, f"O IP {found.ip} continua bloqueado.", f"{found.ip} is still banned.")
    elif lifted:
        said = pick(
            lang,
            f"O IP {found.ip} estava bloqueado e foi liberado.",
            f"{found.ip} was banned and is free now.",
        )
    else:
        said = pick(lang, f"O IP {found.ip} não está bloqueado.", f"{found.ip} is not banned.")
    blocks: list[Block] = [
        Notice(said) if banned else Text(said),
        Facts(
            (
                ("IP", found.ip),
                (pick(lang, "Servidor", "Server"), found.server),
                (pick(lang, "Filtros verificados", "Jails looked into"), str(len(found.jails))),
            )
        ),
    ]
    for jail in (*banned, *lifted):
        blocks.append(Facts(_jail(jail, zone, lang)))
    clean = [jail.name for jail in found.jails if not jail.banned and not jail.lifted]
    if clean and (banned or lifted):
        names = ", ".join(clean)
        blocks.append(Text(pick(lang, f"Sem bloqueio em: {names}.", f"Not banned in: {names}."), quiet=True))
    if not banned and not lifted:
        blocks.append(
            Text(
                pick(
                    lang,
                    "Se o telefone ainda não registra, confira o usuário, a senha e a rede do local.",
                    "If the phone still does not register, check its user, its password and its network.",
                )
            )
        )
    return page_of(request, pick(lang, "Verificação de IP", "IP check"), said, blocks)


def _jail(jail: Jail, zone: tzinfo, lang: str) -> tuple[tuple[str, str], ...]:
    state = pick(lang, "liberado agora", "lifted now") if jail.lifted else pick(lang, "bloqueado", "banned")
    rows = [(pick(lang, "Filtro", "Jail"), f"{jail.name}: {state}")]
    if jail.since is not None:
        rows.append((pick(lang, "Bloqueado desde", "Banned since"), moment(jail.since, zone)))
    if jail.until is not None and not jail.lifted:
        rows.append((pick(lang, "Até", "Until"), moment(jail.until, zone)))
    if jail.why:
        rows.append((pick(lang, "Motivo", "Reason"), jail.why[:300]))
    return tuple(rows)


def moved(request: Request, done: ExtensionMoved) -> Page:
    """MACCHANGE is done."""
    lang = request.language
    said = pick(
        lang,
        f"O ramal {done.extension} agora é do telefone {done.mac_new}.",
        f"Extension {done.extension} now belongs to the phone {done.mac_new}.",
    )
    hint = (
        pick(
            lang,
            "O telefone foi avisado e busca a nova configuração sozinho, em um ou dois minutos.",
            "The phone was told and fetches its new configuration by itself, in a minute or two.",
        )
        if done.notified
        else pick(
            lang,
            "Não foi possível avisar o telefone: desligue-o e ligue-o para que busque a configuração.",
            "The phone could not be told: switch it off and on, so that it fetches its configuration.",
        )
    )
    return page_of(
        request,
        pick(lang, "Troca de telefone concluída", "Extension moved"),
        said,
        [
            Text(said),
            Facts(
                (
                    (pick(lang, "Ramal", "Extension"), done.extension),
                    (pick(lang, "Servidor", "Server"), done.server),
                    (pick(lang, "MAC anterior", "Old MAC"), done.mac_old),
                    (pick(lang, "MAC novo", "New MAC"), done.mac_new),
                )
            ),
            Text(hint) if done.notified else Notice(hint),
        ],
    )


def _recordings(number: int, lang: str) -> str:
    if lang == "pt_BR":
        return many(number, "gravação", "gravações")
    return many(number, "recording", "recordings")


def _left_out(left_out: Sequence[LeftOut], say: Say, lang: str, *, in_zip: bool) -> list[Block]:
    """Why something is missing, by reason; the calls themselves while they are few."""
    if not left_out:
        return []
    counted = _recordings(len(left_out), lang)
    calls = [call_of(each.name) for each in left_out]
    if len(left_out) <= MOST_LEFT_OUT and all(calls):
        told = zip(calls, left_out, strict=True)
        points = list(dict.fromkeys(f"{call}: {say(Failure(each.reason))}" for call, each in told))
    else:
        reasons = Counter(each.reason for each in left_out)
        points = [f"{_recordings(n, lang)}: {say(Failure(code))}" for code, n in reasons.most_common()]
    blocks: list[Block] = [
        Items(
            pick(
                lang,
                f"Não foi possível incluir {counted}:",
                f"{counted} could not be included:",
            ),
            tuple(points),
        )
    ]
    if in_zip:
        blocks.append(
            Text(
                pick(
                    lang,
                    "A lista do que falta, com o motivo de cada uma, está dentro do ZIP.",
                    "The list of what is missing, with the reason of each, is inside the ZIP.",
                ),
                quiet=True,
            )
        )
    return blocks


def call_of(name: str) -> str:
    """The call of a recording's file name, for people; "" where the name does not tell.

    >>> call_of("internal-1121-1122-20251027-081205-1761562800.42.wav")
    '27/10/2025 08:12:05, 1121 → 1122'
    """
    found = _NAME.search(name)
    if found is None:
        return ""
    origin, destiny, year, month, day, hour, minute_, second = found.groups()
    return f"{day}/{month}/{year} {hour}:{minute_}:{second}, {origin} → {destiny}"

"""What each answer says: from a record to a page, in pt_BR and en. Pure.

Who reads this works at a condominium's desk and wants to know three things:
did it work, where is it, what do I do now. So: the result first, then what is
missing, then how to ask again. `sentence` and `say` come from the tables of
reasons (daemon.mail.reasons).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Final

from daemon.jobs.model import ExtensionMoved, Failure, IpChecked, Jail, NothingFound, RecordingsSent, Request
from daemon.mail.page import Block, Button, Call, Calls, Example, Facts, Items, Notice, Page, Text
from daemon.mail.phrases import length, many, minute, moment, pick, size, weekday
from daemon.recordings.model import LeftOut

Say = Callable[[Failure], str]
"""The sentence for a code, in the reader's language."""

MOST_LEFT_OUT: Final = 10
"""Recordings that could not be given, one by one; of the others only the count is told."""
_NAME: Final = re.compile(r"(?<!\d)(\d{2,15})-(\d{2,15})-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(?!\d)")
EXAMPLES: Final = {
    "RAMAIS": "RAMAIS=1121,1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00",
    "CHECKIP": "[TOKEN] CHECKIP=203.0.113.7 SERVER=gv1p",
    "MACCHANGE": "[TOKEN] MACCHANGE=1121 MACATUAL=00:11:22:33:44:55 MACFUTURO=66:77:88:99:AA:BB SERVER=gv1p",
    "": "AJUDA",
}


def queued(request: Request, place: int) -> Page:
    """The request waits; `place` 1 is the next, 0: it is being worked on."""
    lang = request.language
    if place <= 0:
        state = pick(lang, "Já estamos trabalhando nele.", "It is being worked on.")
    elif place == 1:
        state = pick(lang, "Ele é o próximo da fila.", "It is the next one in the queue.")
    else:
        state = pick(lang, f"Ele é o {place}º da fila.", f"It is number {place} in the queue.")
    return _page(
        request,
        pick(lang, "Recebemos o seu pedido", "Your request was received"),
        state,
        [
            Text(
                pick(lang, f"Recebemos o seu pedido. {state}", f"Your request was received. {state}")
                + pick(
                    lang,
                    " A resposta chegará por e-mail assim que estiver pronta; não é preciso pedir de novo.",
                    " The answer comes by mail as soon as it is ready; there is no need to ask again.",
                )
            ),
            *_asked(request),
        ],
    )


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
        *_asked(request),
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
        label = pick(lang, "Baixar todas em um ZIP", "Download all as one ZIP")
        blocks.append(Button(f"{label} ({size(found.bundle_bytes, lang)})", found.bundle))
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
    return _page(request, pick(lang, "As suas gravações", "Your recordings"), counted, blocks)


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
    blocks: list[Block] = [Notice(said), *_asked(request)]
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
    blocks += _again(request)
    title = pick(lang, "Nenhuma gravação encontrada", "No recordings found")
    return _page(request, title, said, blocks)


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
    return _page(request, pick(lang, "Verificação de IP", "IP check"), said, blocks)


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
            "Não foi possível avisar o telefone: desligue-o e ligue-o de novo para buscar a configuração.",
            "The phone could not be told: switch it off and on, so that it fetches its configuration.",
        )
    )
    return _page(
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


def refused(request: Request, sentence: str) -> Page:
    """The subject, quoted, the mistake and the right form."""
    lang = request.language
    return _page(
        request,
        pick(lang, "Não entendemos ou não podemos atender o pedido", "The request can't be accepted"),
        sentence,
        [
            Notice(sentence),
            Text(pick(lang, "O assunto do seu e-mail foi:", "The subject of your mail was:")),
            Example((request.subject[:400] or pick(lang, "(sem assunto)", "(no subject)"),)),
            *_again(request),
        ],
    )


def failed(request: Request, sentence: str) -> Page:
    """It was accepted and could not be done."""
    lang = request.language
    return _page(
        request,
        pick(lang, "O pedido não pôde ser concluído", "The request could not be carried out"),
        sentence,
        [
            Notice(sentence),
            *_asked(request),
            Text(
                pick(
                    lang,
                    f"Nada ficou pela metade. Se pedir ajuda, informe o código {request.request_id}.",
                    f"Nothing was left half done. When you ask for help, give the code {request.request_id}.",
                ),
                quiet=True,
            ),
        ],
    )


def helping(request: Request, commands: Sequence[str], max_extensions: int, max_days: int) -> Page:
    """How to ask; `commands` is what the reader may ask for."""
    lang = request.language
    title = pick(lang, "Como fazer um pedido", "How to ask")
    blocks: list[Block] = [
        Text(
            pick(
                lang,
                "Envie um e-mail para este endereço com o pedido no assunto. O texto do e-mail não é lido.",
                "Write a mail to this address with the request as its subject. The text is not read.",
            )
        )
    ]
    what = {
        "RAMAIS": pick(
            lang,
            f"Gravações de um ou mais ramais (no máximo {max_extensions} ramais e {max_days} dias):",
            f"Recordings of extensions ({max_extensions} extensions and {max_days} days at most):",
        ),
        "CHECKIP": pick(
            lang,
            "Ver se um IP está bloqueado em um servidor, e liberá-lo:",
            "Whether an IP is banned on a server, and lifting it:",
        ),
        "MACCHANGE": pick(
            lang,
            "Passar um ramal de um telefone para outro:",
            "Moving an extension from one phone to another:",
        ),
    }
    for command in commands:
        if command in what:
            blocks += [Text(what[command]), Example((EXAMPLES[command],))]
    if {"CHECKIP", "MACCHANGE"} & set(commands):
        blocks.append(
            Text(
                pick(
                    lang,
                    "TOKEN é o seu código pessoal de 8 caracteres, entre colchetes e no começo do assunto. "
                    "Não o passe a ninguém.",
                    "TOKEN is your personal code of 8 characters, in brackets in front of the subject. "
                    "Give it to nobody.",
                )
            )
        )
    blocks.append(
        Items(
            pick(lang, "Bom saber:", "Good to know:"),
            (
                pick(
                    lang,
                    "Maiúsculas, minúsculas e acentos tanto faz; a ordem também.",
                    "Capitals, accents and the order do not matter.",
                ),
                pick(
                    lang,
                    "Faixas de ramais são aceitas: RAMAIS=1121-1125.",
                    "Ranges are understood: RAMAIS=1121-1125.",
                ),
                pick(
                    lang,
                    "Sem hora, INICIO começa às 00:00 e FIM termina às 23:59.",
                    "Without a time INICIO is 00:00 and FIM is 23:59.",
                ),
            ),
        )
    )
    return _page(request, title, title, blocks)


def alert(language: str, title: str, facts: Sequence[tuple[str, str]], mend: str) -> Page:
    """To the admin: what happened, the facts, what to do."""
    foot = pick(language, "Aviso automático do ARIMONITOR.", "Automatic notice of ARIMONITOR.")
    foot += pick(
        language,
        " Para cada tipo de aviso, no máximo um e-mail por hora.",
        " Of each kind at most one mail an hour is sent.",
    )
    blocks: list[Block] = [Notice(title), Facts(tuple(facts))]
    if mend:
        blocks.append(Text(pick(language, "O que fazer: ", "What to do: ") + mend))
    return Page(
        language, pick(language, "Aviso do ARIMONITOR", "Notice of ARIMONITOR"), title, tuple(blocks), foot
    )


def _page(request: Request, title: str, preview: str, blocks: Sequence[Block]) -> Page:
    lang = request.language
    foot = pick(
        lang,
        "Mensagem automática do ARIMONITOR. Para saber como pedir, envie um e-mail com o assunto AJUDA.",
        "Automatic message of ARIMONITOR. To learn how to ask, send a mail with the subject HELP.",
    )
    if request.request_id:
        foot += " " + pick(lang, f"Pedido {request.request_id}.", f"Request {request.request_id}.")
    return Page(lang, title, preview, tuple(blocks), foot)


def _asked(request: Request) -> list[Block]:
    """What was understood, so that a wrong date is seen at once."""
    lang, given = request.language, request.parameters
    rows: list[tuple[str, str]] = []
    if ramais := given.get("ramais", ""):
        many_ = "," in ramais
        label = pick(lang, "Ramais" if many_ else "Ramal", "Extensions" if many_ else "Extension")
        rows.append((label, ramais.replace(",", ", ")))
    if given.get("inicio") or given.get("fim"):
        to = pick(lang, "até", "to")
        label = pick(lang, "Período", "Time")
        rows.append((label, f"{given.get('inicio', '?')} {to} {given.get('fim', '?')}"))
    if given.get("ip"):
        rows.append(("IP", given["ip"]))
    if given.get("ramal"):
        rows.append((pick(lang, "Ramal", "Extension"), given["ramal"]))
    if given.get("mac_atual"):
        rows.append((pick(lang, "MAC atual", "Old MAC"), given["mac_atual"]))
    if given.get("mac_futuro"):
        rows.append((pick(lang, "MAC novo", "New MAC"), given["mac_futuro"]))
    if request.server:
        rows.append((pick(lang, "Servidor", "Server"), request.server))
    return [Facts(tuple(rows))] if rows else []


def _again(request: Request) -> list[Block]:
    form = EXAMPLES.get(request.command, "") or EXAMPLES["RAMAIS"]
    lang = request.language
    return [
        Text(pick(lang, "A forma certa é, por exemplo:", "The right form is, for example:")),
        Example((form,)),
    ]


def _recordings(number: int, lang: str) -> str:
    if lang == "pt_BR":
        return many(number, "gravação", "gravações")
    return many(number, "recording", "recordings")


def _left_out(left_out: Sequence[LeftOut], say: Say, lang: str, *, in_zip: bool) -> list[Block]:
    """Why something is missing, by reason; the calls themselves while they are few."""
    if not left_out:
        return []
    counted = _recordings(len(left_out), lang)
    reasons = Counter(each.reason for each in left_out)
    points = [f"{_recordings(n, lang)}: {say(Failure(code))}" for code, n in reasons.most_common()]
    if len(left_out) <= MOST_LEFT_OUT:
        calls = dict.fromkeys(call for each in left_out if (call := call_of(each.name)))
        points += [pick(lang, f"ligação de {call}", f"call of {call}") for call in calls]
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

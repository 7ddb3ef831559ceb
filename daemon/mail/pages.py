"""What the simpler answers say: from a request to a page, in pt_BR and en. Pure.

Who reads this works at a condominium's desk and wants to know three things:
did it work, where is it, what do I do now. So: the result first, then what is
missing, then how to ask again. `sentence` comes from the tables of reasons
(daemon.mail.reasons). What an outcome says is in page_outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.jobs.model import Request
from daemon.mail.page import Block, Example, Facts, Items, Notice, Page, Text
from daemon.mail.phrases import pick
from daemon.mail.reasons import FORMS


def queued(request: Request, place: int) -> Page:
    """The request waits; `place` 1 is the next, 0: it is being worked on."""
    lang = request.language
    if place <= 0:
        state = pick(lang, "O seu pedido já está sendo atendido.", "It is being worked on.")
    elif place == 1:
        state = pick(lang, "O seu pedido é o próximo da fila.", "It is the next one in the queue.")
    else:
        state = pick(lang, f"O seu pedido é o {place}º da fila.", f"It is number {place} in the queue.")
    return page_of(
        request,
        pick(lang, "Recebemos o seu pedido", "Your request was received"),
        state,
        [
            Text(
                state
                + pick(
                    lang,
                    " A resposta chegará por e-mail assim que estiver pronta; não é preciso pedir de novo.",
                    " The answer comes by mail as soon as it is ready; there is no need to ask again.",
                )
            ),
            *asked(request),
        ],
    )


def away(request: Request) -> Page:
    """The request is accepted, and the machine that has to do it is away."""
    lang = request.language
    state = pick(
        lang,
        "O servidor onde estão as gravações está fora do ar no momento."
        if request.command == "RAMAIS"
        else "O servidor que atende este pedido está fora do ar no momento.",
        "The server with the recordings is away at the moment."
        if request.command == "RAMAIS"
        else "The server that carries this out is away at the moment.",
    )
    return page_of(
        request,
        pick(lang, "Recebemos o seu pedido", "Your request was received"),
        state,
        [
            Text(
                state
                + pick(
                    lang,
                    " O pedido está guardado e será atendido quando ele voltar; não é preciso pedir de novo.",
                    " Your request is kept, and carried out when it is back; there is no need to ask again.",
                )
            ),
            *asked(request),
        ],
    )


def refused(request: Request, sentence: str, forms: Sequence[str]) -> Page:
    """The subject, quoted, the mistake and the right forms."""
    lang = request.language
    right: list[Block] = []
    if forms:
        right = [Text(pick(lang, "A forma certa é:", "The right form is:")), Example(tuple(forms))]
    return page_of(
        request,
        pick(lang, "Não foi possível aceitar o pedido", "The request can't be accepted"),
        sentence,
        [
            Notice(sentence),
            Text(pick(lang, "O assunto do seu e-mail foi:", "The subject of your mail was:")),
            Example((request.subject[:400] or pick(lang, "(sem assunto)", "(no subject)"),)),
            *right,
        ],
    )


def failed(request: Request, sentence: str) -> Page:
    """It was accepted and could not be done."""
    lang = request.language
    return page_of(
        request,
        pick(lang, "O pedido não pôde ser concluído", "The request could not be carried out"),
        sentence,
        [
            Notice(sentence),
            *asked(request),
            Text(
                pick(
                    lang,
                    f"Se pedir ajuda, informe o código {request.request_id}.",
                    f"When you ask for help, give the code {request.request_id}.",
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
            blocks += [Text(what[command]), Example((FORMS[command],))]
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
                    "Tanto faz escrever com maiúsculas ou acentos; a ordem também não importa.",
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
    return page_of(request, title, title, blocks)


def alert(language: str, title: str, facts: Sequence[tuple[str, str]], mend: str) -> Page:
    """To the admin: what happened, the facts, what to do."""
    foot = pick(language, "Aviso automático do ARIMONITOR.", "Automatic notice of ARIMONITOR.")
    foot += pick(
        language,
        " No máximo um e-mail por hora para cada tipo de aviso.",
        " At most one mail of each kind is sent in an hour.",
    )
    blocks: list[Block] = [Notice(title[:1].upper() + title[1:]), Facts(tuple(facts))]
    if mend:
        blocks.append(Text(pick(language, "O que fazer: ", "What to do: ") + mend))
    return Page(
        language, pick(language, "Aviso do ARIMONITOR", "Notice of ARIMONITOR"), title, tuple(blocks), foot
    )


def page_of(request: Request, title: str, preview: str, blocks: Sequence[Block]) -> Page:
    """A page with the foot of every answer."""
    lang = request.language
    foot = pick(
        lang,
        "Mensagem automática do ARIMONITOR. Para saber como pedir, envie um e-mail com o assunto AJUDA.",
        "Automatic message of ARIMONITOR. To learn how to ask, send a mail with the subject HELP.",
    )
    if request.request_id:
        foot += " " + pick(lang, f"Pedido {request.request_id}.", f"Request {request.request_id}.")
    return Page(lang, title, preview, tuple(blocks), foot)


def asked(request: Request) -> list[Block]:
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

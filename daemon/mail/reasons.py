"""Why not, in the words of whoever asked: Brazilian Portuguese and English. Pure.

One sentence or two for each code of a Failure. The names in a sentence are
pieces of what was typed, without tokens; whoever shows it escapes it.
"""

from __future__ import annotations

from daemon.jobs import reasons as jobs
from daemon.jobs.model import Failure

FORM_OF = "form_of"
"""The name of a failure's right form: a command, or "" for all of them."""

FORMS: dict[str, str] = {
    "RAMAIS": "RAMAIS=1121,1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00",
    "CHECKIP": "[TOKEN] CHECKIP=203.0.113.7 SERVER=gv1p",
    "MACCHANGE": "[TOKEN] MACCHANGE=1121 MACATUAL=00:11:22:33:44:55 MACFUTURO=66:77:88:99:AA:BB SERVER=gv1p",
}

_TOKENS = {
    "token-missing": (
        "Este pedido precisa do seu token: 8 dígitos entre colchetes, no início do assunto, como [XXXXXXXX].",
        "This request needs your token: 8 digits in brackets in front of the subject, such as [XXXXXXXX].",
    ),
    "token-wrong": (
        "O token informado não é válido para o seu endereço de e-mail. Confira os 8 dígitos.",
        "The token is not one of your mail address. Please check its 8 digits.",
    ),
    "token-expired": (
        "O seu token venceu. Peça um novo ao administrador.",
        "Your token has expired. Please ask the administrator for a new one.",
    ),
    "two-tokens": (
        "Há mais de um token no assunto. Deixe apenas o seu.",
        "There is more than one token in the subject. Please leave only yours.",
    ),
    "token-form": (
        "O que está entre colchetes parece um token, mas um token tem exatamente 8 dígitos (0 a 9 e A a F).",
        "What is in brackets looks like a token, but a token has exactly 8 digits (0 to 9 and A to F).",
    ),
    "token-brackets": (
        "O token deve estar entre colchetes, no início do assunto, como [XXXXXXXX].",
        "The token must be in square brackets in front of the subject, such as [XXXXXXXX].",
    ),
    "token-place": (
        "O token deve estar no início do assunto, antes do comando.",
        "The token must be in front of the subject, before the command.",
    ),
}

_TRUST = {
    "too-many-mails": (
        "Recebemos mais de {most} e-mails seus em uma hora. Este e os próximos não serão atendidos; "
        "por favor, espere uma hora e envie de novo.",
        "We received more than {most} mails of yours within an hour. This one and the next ones will not be "
        "served; please wait an hour and send it again.",
    ),
    "too-many-mails-in-all": (
        "O serviço recebeu mais de {most} pedidos em uma hora. Por favor, espere uma hora e envie de novo.",
        "The service received over {most} requests within an hour. Please wait an hour and send it again.",
    ),
    "command-not-allowed": (
        "O seu endereço não tem permissão para o comando {command}. Se precisar, fale com o administrador.",
        "Your address may not use the command {command}. If you need it, please talk to the administrator.",
    ),
    "extensions-not-allowed": (
        "O seu endereço não tem permissão para estes ramais: {extensions}.",
        "Your address may not ask for these extensions: {extensions}.",
    ),
    "server-not-allowed": (
        "O seu endereço não tem permissão para o servidor {server}; pode usar: {allowed}.",
        "Your address may not use the server {server}; it may use: {allowed}.",
    ),
    "source-not-allowed": (
        "Com o seu endereço não se pode usar AUDIOS_FROM={source}; os seus servidores são: {allowed}.",
        "Your address may not use AUDIOS_FROM={source}; your servers are: {allowed}.",
    ),
    "sender-unknown": (
        "{sender} não está na lista de quem pode fazer pedidos (mail.whitelist).",
        "{sender} is not on the list of those who may ask (mail.whitelist).",
    ),
    "help-is-no-request": (
        "AJUDA só tem resposta por e-mail.",
        "HELP is answered by mail only.",
    ),
    "two-subjects": (
        "A mensagem tem mais de uma linha de assunto. Por favor, envie de novo com uma só.",
        "The mail has more than one subject line. Please send it again with only one.",
    ),
}

_GRAMMAR = {
    "too-long": (
        "O assunto é longo demais: o máximo é de {most} caracteres.",
        "The subject is too long: {most} characters at most.",
    ),
    "no-command": (
        "Falta o comando no assunto: RAMAIS=, CHECKIP= ou MACCHANGE= (ou AJUDA).",
        "The subject has no command: RAMAIS=, CHECKIP= or MACCHANGE= (or HELP).",
    ),
    "no-equals": (
        "Falta o sinal de igual depois de {command}.",
        "An equals sign is missing after {command}.",
    ),
    "two-commands": (
        "Há dois comandos no assunto, {one} e {two}. Envie um e-mail para cada um.",
        "There are two commands in the subject, {one} and {two}. Please send one mail for each.",
    ),
    "key-of-another-command": (
        "{key}= não se usa com o comando {command}.",
        "{key}= does not go with the command {command}.",
    ),
    "unknown-key": (
        "“{key}=” não é conhecido.",
        "“{key}=” is not known.",
    ),
    "glued": (
        "Falta um espaço em “{value}”.",
        "A space is missing in “{value}”.",
    ),
    "stray-words": (
        "Não se entende “{value}” no assunto. Deixe apenas o pedido.",
        "“{value}” in the subject is not understood. Please leave only the request.",
    ),
    "trailing-words": (
        "Não se entende “{value}” no assunto. Deixe apenas o pedido.",
        "“{value}” in the subject is not understood. Please leave only the request.",
    ),
    "open-quote": (
        "As aspas depois de {key}= não foram fechadas.",
        "The quote after {key}= is not closed.",
    ),
    "empty-value": (
        "Falta o valor depois de {key}=.",
        "There is no value after {key}=.",
    ),
    "two-values": (
        "{key} aparece com dois valores diferentes: “{one}” e “{two}”.",
        "{key} is there with two different values: “{one}” and “{two}”.",
    ),
    "missing-key": (
        "Falta {key}= no assunto.",
        "{key}= is missing in the subject.",
    ),
    "no-extension": (
        "Não há nenhum ramal depois de RAMAIS=.",
        "There is no extension after RAMAIS=.",
    ),
    "bad-extension": (
        "“{value}” não é um ramal: um ramal tem de 3 a 8 dígitos.",
        "“{value}” is no extension: an extension has 3 to 8 digits.",
    ),
    "bad-range": (
        "“{value}” não é um intervalo de ramais: escreva do menor ao maior, como 1121-1125.",
        "“{value}” is no range of extensions: write it from the lowest to the highest, such as 1121-1125.",
    ),
    "too-many-extensions": (
        "São {count} ramais; o máximo por pedido é {most}. Divida em mais de um pedido.",
        "These are {count} extensions; {most} fit in one request. Please split it.",
    ),
    "bad-date": (
        "“{value}”, em {key}, não é uma data e hora que entendemos. Escreva como 27/10/2025 08:00.",
        "“{value}” in {key} is no date and time that we understand. Write it like 27/10/2025 08:00.",
    ),
    "impossible-date": (
        "“{value}”, em {key}, é uma data que não existe.",
        "“{value}” in {key} is a date that does not exist.",
    ),
    "bad-time": (
        "A hora de “{value}”, em {key}, não se entende. Escreva como 08:00.",
        "The time of “{value}” in {key} is not understood. Write it like 08:00.",
    ),
    "impossible-time": (
        "A hora de “{value}”, em {key}, não existe: vai de 00:00 a 24:00.",
        "The time of “{value}” in {key} does not exist: it goes from 00:00 to 24:00.",
    ),
    "am-pm": (
        "Em {key}, escreva a hora de 00:00 a 23:59, sem AM e PM (“{value}”).",
        "In {key}, write the time from 00:00 to 23:59, without AM and PM (“{value}”).",
    ),
    "between-date-and-time": (
        "Em {key}, entre a data e a hora deve haver apenas um espaço (“{value}”).",
        "In {key}, only a space goes between the date and the time (“{value}”).",
    ),
    "end-before-begin": (
        "O fim ({end}) é anterior ao início ({begin}).",
        "The end ({end}) is before the begin ({begin}).",
    ),
    "too-many-days": (
        "De {begin} a {end} são mais de {most} dias, o máximo por pedido. Divida em mais de um pedido.",
        "From {begin} to {end} is more than {most} days, the most in one request. Please split it.",
    ),
    "in-the-future": (
        "O período pedido ainda não chegou: começa em {begin}.",
        "The time asked for is still to come: it begins on {begin}.",
    ),
    "bad-audios-from": (
        "AUDIOS_FROM pode ser audio ou s3, não “{value}”.",
        "AUDIOS_FROM is audio or s3, not “{value}”.",
    ),
    "server-unknown": (
        "O servidor “{value}” não é conhecido.",
        "The server “{value}” is not known.",
    ),
    "server-contradicts": (
        "SERVER={server} não combina com AUDIOS_FROM={source}: as gravações desse servidor estão em {its}.",
        "SERVER={server} contradicts AUDIOS_FROM={source}: that server's recordings are in {its}.",
    ),
}

_NETWORK = {
    "bad-ip": (
        "“{value}” não é um endereço IP (IPv4 ou IPv6).",
        "“{value}” is no IP address (IPv4 or IPv6).",
    ),
    "ip-port": (
        "Informe apenas o endereço IP, sem a porta (“{value}”).",
        "Please give the IP address only, without a port (“{value}”).",
    ),
    "ip-mask": (
        "Informe um só endereço IP, sem máscara (“{value}”).",
        "Please give one IP address only, without a mask (“{value}”).",
    ),
    "ip-leading-zero": (
        "“{value}” tem zeros à esquerda, que podem ser lidos de duas maneiras. Escreva sem eles.",
        "“{value}” has leading zeros, which can be read in two ways. Please write it without them.",
    ),
    "ip-unspecified": (
        "“{value}” não é o endereço de ninguém. Informe o IP público do cliente.",
        "“{value}” is nobody's address. Please give the client's public IP.",
    ),
    "ip-loopback": (
        "“{value}” é o endereço interno de cada máquina. Informe o IP público do cliente.",
        "“{value}” is every machine's own address. Please give the client's public IP.",
    ),
    "ip-link-local": (
        "“{value}” só vale dentro da rede do cliente. Informe o IP público do cliente.",
        "“{value}” holds within the client's network only. Please give the client's public IP.",
    ),
    "ip-multicast": (
        "“{value}” é um endereço de grupo (multicast). Informe o IP público do cliente.",
        "“{value}” is the address of a group (multicast). Please give the client's public IP.",
    ),
    "ip-private": (
        "“{value}” é um endereço privado, da rede interna. Informe o IP público do cliente.",
        "“{value}” is a private address, of an inner network. Please give the client's public IP.",
    ),
    "ip-reserved": (
        "“{value}” é um endereço reservado. Informe o IP público do cliente.",
        "“{value}” is a reserved address. Please give the client's public IP.",
    ),
    "bad-mac": (
        "“{value}”, em {key}, não é um MAC: são 12 dígitos (0 a 9 e A a F), como 00:11:22:33:44:55.",
        "“{value}” in {key} is no MAC: these are 12 digits (0 to 9 and A to F), such as 00:11:22:33:44:55.",
    ),
    "mac-zero": (
        "O MAC de {key} só tem zeros; não é de nenhum telefone.",
        "The MAC of {key} has zeros only; it is no phone's.",
    ),
    "mac-broadcast": (
        "O MAC de {key} é o de todos os aparelhos (broadcast); não é de nenhum telefone.",
        "The MAC of {key} is everybody's (broadcast); it is no phone's.",
    ),
    "mac-multicast": (
        "O MAC de {key}, “{value}”, é de um grupo (multicast); não é de nenhum telefone.",
        "The MAC of {key}, “{value}”, is a group's (multicast); it is no phone's.",
    ),
    "same-macs": (
        "MACATUAL e MACFUTURO são o mesmo MAC ({value}).",
        "MACATUAL and MACFUTURO are the same MAC ({value}).",
    ),
}

REASONS: dict[str, tuple[str, str]] = {**_TOKENS, **_TRUST, **_GRAMMAR, **_NETWORK}

_UNKNOWN = (
    "O pedido não pôde ser atendido ({code}). Por favor, fale com o administrador.",
    "The request could not be served ({code}). Please talk to the administrator.",
)
_RIGHT_FORM = ("A forma certa é:", "The right form is:")
_OR = (" ou ", " or ")


def sentence(failure: Failure, language: str) -> str:
    """What the requester is told: the mistake, and the right form where there is one."""
    told = mistake(failure, language)
    if FORM_OF not in failure.names:
        return told
    at = 1 if language == "en" else 0
    return f"{told} {_RIGHT_FORM[at]} {form(failure.names[FORM_OF], language)}"


def mistake(failure: Failure, language: str) -> str:
    """The mistake alone. `language` is pt_BR or en. A code that nobody wrote down is told as itself."""
    known = REASONS.get(failure.code) or jobs.REASONS.get(failure.code) or _UNKNOWN
    told = known[1 if language == "en" else 0]
    return told.format_map(_Names(failure.names, code=failure.code))


class _Names(dict[str, str]):
    """What a sentence names. What is missing is left out: an answer without a name is better than none."""

    def __missing__(self, name: str) -> str:
        return "…"


def right_forms(failure: Failure) -> tuple[str, ...]:
    """The right form of what was meant; of each command where that is not known; () where it is no mend."""
    command = failure.names.get(FORM_OF)
    if command is None:
        return ()
    return (FORMS[command],) if command in FORMS else tuple(FORMS.values())


def form(command: str, language: str) -> str:
    """The right form of a command, as one would type it; of all of them for ""."""
    at = 1 if language == "en" else 0
    return FORMS[command] if command in FORMS else _OR[at].join(FORMS.values())

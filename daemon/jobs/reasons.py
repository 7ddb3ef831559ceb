"""Why work could not be done, for the one who asked: code -> (pt_BR, en), with the names in braces. Pure.

The names are those of RequestError; daemon.mail.reasons makes the sentence.
"""

from __future__ import annotations

from daemon.recordings.reasons import REASONS as RECORDINGS

_COMMANDS: dict[str, tuple[str, str]] = {
    # commands that need a server
    "which-server": (
        "É preciso dizer em qual servidor: acrescente SERVER= com um destes: {servers}.",
        "Which server is meant is not clear: add SERVER= with one of these: {servers}.",
    ),
    "server-not-known": (
        "O servidor {server} não é conhecido. Servidores: {servers}.",
        "The server {server} is not known. Servers: {servers}.",
    ),
    "server-without-ssh": (
        "O servidor {server} não está configurado para este comando.",
        "The server {server} is not set up for this command.",
    ),
    "server-refused": (
        "O servidor {server} não aceitou a nossa conexão ou não nos deu permissão; nada foi alterado"
        " nele. O administrador precisa verificar.",
        "The server {server} did not accept our connection or gave us no permission; nothing was"
        " changed there. The administrator must see to it.",
    ),
    "server-command": (
        "O comando {program} não funcionou no servidor {server}. O administrador precisa verificar.",
        "The command {program} did not work on the server {server}. The administrator must see to it.",
    ),
    # CHECKIP
    "ip-invalid": (
        "O endereço IP não é válido: {ip}.",
        "The IP address is not valid: {ip}.",
    ),
    "jail-unknown": (
        "O servidor {server} não tem a jail {jail} do fail2ban. O administrador precisa verificar.",
        "The server {server} has no fail2ban jail {jail}. The administrator must see to it.",
    ),
    # MACCHANGE
    "extension-invalid": (
        "O ramal não é válido: {extension}. São de 3 a 8 dígitos.",
        "The extension is not valid: {extension}. It has 3 to 8 digits.",
    ),
    "mac-invalid": (
        "O endereço MAC não é válido: {mac}.",
        "The MAC address is not valid: {mac}.",
    ),
    "mac-same": (
        "MACATUAL e MACFUTURO são o mesmo endereço: {mac}.",
        "MACATUAL and MACFUTURO are the same address: {mac}.",
    ),
    "mac-without-file": (
        "O servidor {server} não tem arquivo de provisionamento do telefone {mac}. Confira MACATUAL.",
        "The server {server} has no provisioning file of the phone {mac}. Check MACATUAL.",
    ),
    "mac-of-another": (
        "O arquivo de provisionamento do telefone {mac} não é do ramal {extension}.",
        "The provisioning file of the phone {mac} does not belong to the extension {extension}.",
    ),
    "mac-taken": (
        "O servidor {server} já tem um arquivo de provisionamento do telefone {mac}. Confira MACFUTURO.",
        "The server {server} already has a provisioning file of the phone {mac}. Check MACFUTURO.",
    ),
    "changed-meanwhile": (
        "Os arquivos de provisionamento do ramal {extension} foram alterados por outra pessoa durante a"
        " troca, que foi abandonada. Confira com o administrador.",
        "The provisioning files of the extension {extension} were changed by somebody else during the"
        " move, which was given up. See the administrator.",
    ),
    "move-unclear": (
        "A troca foi iniciada por um servidor que caiu, e não se sabe até onde ela foi. O administrador"
        " precisa conferir os arquivos dos telefones {mac_old} e {mac_new} no servidor {server}.",
        "The move was begun by a machine that was lost, and how far it came is not known. The"
        " administrator must see to the files of the phones {mac_old} and {mac_new} on the server {server}.",
    ),
    "request-id-invalid": (
        "O pedido tem um identificador inválido.",
        "The request has an invalid id.",
    ),
    # the queue
    "out-of-tries": (
        "O pedido foi tentado {tries} vezes e não pôde ser concluído. O administrador foi avisado; "
        "você pode enviá-lo de novo mais tarde.",
        "The request was tried {tries} times and could not be completed. The administrator knows; "
        "you may send it again later.",
    ),
    "cancelled": (
        "O pedido foi cancelado pelo administrador.",
        "The request was cancelled by the administrator.",
    ),
    "no-work": (
        "Este servidor não está preparado para este comando. O administrador foi avisado.",
        "This server is not set up for this command. The administrator knows.",
    ),
    "impossible": (
        "O pedido não pôde ser atendido. O administrador foi avisado e sabe o motivo.",
        "The request could not be carried out. The administrator knows, and why.",
    ),
    "undeliverable": (
        "A resposta não pôde ser entregue.",
        "The answer could not be delivered.",
    ),
}

REASONS: dict[str, tuple[str, str]] = {**RECORDINGS, **_COMMANDS}
"""Those of the recordings too."""

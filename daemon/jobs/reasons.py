"""Why work could not be done, in words: code -> (Brazilian Portuguese, English). Pure.

The same shape as daemon.mail.reasons, which looks into this table too.
"""

from __future__ import annotations

REASONS: dict[str, tuple[str, str]] = {
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

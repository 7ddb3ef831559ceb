"""What a requester is told about recordings: code -> (pt_BR, en). Pure.

REASONS are whole sentences of a refused request (RequestError), LEFT_OUT the
few words beside a recording that could not be included.
"""

from __future__ import annotations

from typing import Final

REASONS: Final[dict[str, tuple[str, str]]] = {
    "too-many-recordings": (
        "Foram encontradas {found} gravações, e o limite por pedido é {limit}. "
        "Peça um período menor ou menos ramais.",
        "{found} recordings were found, and a request may have {limit}. "
        "Ask for a shorter time or fewer extensions.",
    ),
    "too-many-bytes": (
        "As {found} gravações encontradas somam {size}, e o limite por pedido é {limit}. "
        "Peça um período menor ou menos ramais.",
        "The {found} recordings that were found are {size} together, and a request may have {limit}. "
        "Ask for a shorter time or fewer extensions.",
    ),
    "recordings-not-here": (
        "Este sistema não tem gravações em {source}. Avise o administrador.",
        "This system has no recordings in {source}. Please tell the administrator.",
    ),
    "recordings-refused": (
        "As gravações não podem ser lidas ou preparadas agora: o administrador precisa corrigir o sistema.",
        "The recordings can't be read or prepared now: the administrator has to mend the system.",
    ),
}

LEFT_OUT: Final[dict[str, tuple[str, str]]] = {
    "gone": ("foi removida durante a busca", "was removed meanwhile"),
    "unreadable": ("não pode ser lida", "can't be read"),
    "outside": (
        "aponta para fora das pastas de gravações",
        "is a link that leaves the folders of recordings",
    ),
    "empty": ("está vazia", "is empty"),
    "unfinished": ("ainda não terminou ou foi interrompida", "is not finished or was broken off"),
    "growing": ("ainda está sendo gravada", "is still being recorded"),
    "broken": ("está danificada", "is damaged"),
    "codec": ("está em um formato que não pode ser convertido", "is of a format that can't be converted"),
    "converting": ("não pôde ser convertida para MP3", "could not be made an MP3"),
}


def left_out(code: str, language: str) -> str:
    """The few words for a code; the code itself where there are none."""
    words = LEFT_OUT.get(code)
    return words[0 if language.startswith("pt") else 1] if words else code

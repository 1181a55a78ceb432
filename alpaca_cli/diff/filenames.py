"""Names of files that a stranger gave: which stay in their folder on every system, and which hold weights."""

from __future__ import annotations

import re
import unicodedata

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".ckpt", ".h5", ".msgpack", ".onnx", ".ot")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def is_safe(name: str) -> bool:
    """Whether a relative name with / stays in its folder, on every system, and hides nothing."""
    parts = name.split("/")
    return (
        name.isprintable()
        and not set(name) & set('\\:*?"<>|')
        and len(parts) <= 4
        and all(part and part[0] != "." and part[-1] not in ". " and len(part.encode()) <= 250 for part in parts)
        and not any(_DEVICE.fullmatch(part) for part in parts)
    )


def folded(name: str) -> str:
    """A file name as the systems see it that see the fewest differences."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_weights(name: str) -> bool:
    """Whether files of this name hold weights."""
    return name.lower().endswith(_WEIGHTS)

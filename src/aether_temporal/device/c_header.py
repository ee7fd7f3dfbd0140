"""A blob as a C header, for firmware without slots."""

from __future__ import annotations

import re

from aether_temporal.blob_tools import describe_model
from aether_temporal.errors import InvalidArgumentError

__all__ = ["c_header"]

# Of C17 and C++20, where the header may be included.
# fmt: off
_KEYWORDS = frozenset((
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char",
    "char8_t", "char16_t", "char32_t", "class", "compl", "concept", "const", "consteval", "constexpr", "constinit",
    "const_cast", "continue", "co_await", "co_return", "co_yield", "decltype", "default", "delete", "do", "double",
    "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if",
    "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or",
    "or_eq", "private", "protected", "public", "register", "reinterpret_cast", "requires", "restrict", "return",
    "short", "signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch", "template", "this",
    "thread_local", "throw", "true", "try", "typedef", "typeid", "typename", "union", "unsigned", "using", "virtual",
    "void", "volatile", "wchar_t", "while", "xor", "xor_eq",
))
# fmt: on

_PER_LINE = 16


def c_header(blob: bytes, name: str, source: str = "") -> str:
    """A header with the blob as `static const unsigned char NAME[]`, aligned so that the core uses it in place.

    name: a C identifier that is no keyword. source: where the blob came from, for the comment. BlobError,
    InvalidArgumentError.
    """
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name in _KEYWORDS:
        raise InvalidArgumentError.of("name", "a C identifier that is no keyword", repr(name))
    guard = f"{name.upper()}_RVNE_H"
    rows = [blob[at : at + _PER_LINE] for at in range(0, len(blob), _PER_LINE)]
    body = "\n".join("    " + ", ".join(f"0x{byte:02X}" for byte in row) + "," for row in rows)
    comment = "\n".join(f" * {line}".rstrip() for line in _contents(blob, source))
    return f"""/*
{comment}
 */
#ifndef {guard}
#define {guard}

#if defined(__GNUC__)
#define {guard}_ALIGNED __attribute__((aligned(16)))
#elif defined(__cplusplus)
#define {guard}_ALIGNED alignas(16)
#else
#define {guard}_ALIGNED _Alignas(16)
#endif

{guard}_ALIGNED static const unsigned char {name}[{len(blob)}] = {{
{body}
}};

#endif
"""


def _plain(text: str) -> str:
    """Text that cannot end or extend the comment."""
    kept = "".join(c if c.isprintable() and ord(c) < 127 else "?" for c in text)
    return kept.replace("*/", "* /").replace("/*", "/ *").rstrip("\\")


def _contents(blob: bytes, source: str) -> list[str]:
    what = describe_model(blob)
    header, memory, settings = what["header"], what["memory"], what["settings"]
    lines = [
        f"RVNE weight blob{f' {_plain(source)}' if source else ''}: {len(blob)} bytes, CRC-32 {what['crc32']}.",
        f"{header['input_dim']} features in, {header['n_classes']} classes out, {header['n_layers']} layers, "
        f"{header['n_q_heads']} query and {header['n_kv_heads']} key/value heads of dim {header['head_dim']}, "
        f"{header['dtype']} matrices.",
        f"A stream of {memory['context']} frames takes {memory['ram_32_bit']} bytes of RAM on a 32-bit chip "
        f"({memory['dtype']} cache).",
    ]
    if settings is not None and settings["class_names"]:
        lines.append(_plain(f"Classes: {', '.join(settings['class_names'])}."))
    return [*lines, "Made by `aether device pack`; the bytes are the blob's own."]

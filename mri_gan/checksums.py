"""CRC-32 as everywhere, by ISA-L in a ninth of zlib's time; zlib where ISA-L is not built."""

from __future__ import annotations

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]

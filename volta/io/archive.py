"""Zip archives, as far as files of weights are ones: where the members lie in a mapped file.

Python's `zipfile` hands out copies; a mapped array needs the offset of its bytes. Every record is
read from the central directory and checked against the member's own header.

The format: PKWARE, "APPNOTE.TXT: .ZIP file format specification", 6.3.10, sections 4.3 and 4.5,
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import struct
import zlib
from typing import Any, Final, NamedTuple

from volta.io.reading import OF_ITEM, Cursor, Source, broken, charge, plain

__all__ = ["Member", "members_of", "padding"]

END: Final = b"PK\x05\x06"
END_64: Final = b"PK\x06\x06"
LOCATOR_64: Final = b"PK\x06\x07"
CENTRAL: Final = b"PK\x01\x02"
LOCAL: Final = b"PK\x03\x04"
END_SIZE: Final = 22
MAX_COMMENT: Final = 0xFFFF
STORED, DEFLATED = 0, 8
ENCRYPTED: Final = 1
ZIP64: Final = 1  # tag of the extra field that holds 64-bit sizes
# Deflate cannot do better: 258 bytes from 2 bits (zlib's technical page, "Maximum Compression
# Factor", https://zlib.net/zlib_tech.html). A member that claims more is a lie.
MAX_RATIO: Final = 1032


class Member(NamedTuple):
    """A file in the archive: its bytes in the mapped file, and what they become."""

    name: str
    buffer: Any
    start: int
    stored_size: int
    size: int
    deflated: bool
    checksum: int

    def contents(self) -> bytes:
        """All bytes, checked against the checksum."""
        charge(self.stored_size + self.deflated * self.size)
        data = bytes(self.buffer[self.start : self.start + self.stored_size])
        if self.deflated:
            data = self._inflated(data)
        self._compare(zlib.crc32(data))
        return data

    def check(self) -> None:
        """Compare the bytes of a stored member with its checksum, without a copy."""
        with memoryview(self.buffer) as whole:
            self._compare(zlib.crc32(whole[self.start : self.start + self.size]))

    def _compare(self, found: int) -> None:
        if found != self.checksum:
            broken(
                "the members of an archive must have their checksums",
                f"{found:08x} instead of {self.checksum:08x} for {plain(self.name)}",
                "The file is damaged: fetch it again.",
            )

    def beginning(self, size: int) -> bytes:
        """At most `size` first bytes, unchecked."""
        data = bytes(self.buffer[self.start : self.start + min(self.stored_size, size)])
        if not self.deflated:
            return data
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size)
        except zlib.error as error:
            broken("the members of an archive must inflate", f"{error} for {plain(self.name)}")

    def _inflated(self, data: bytes) -> bytes:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            inflated = stream.decompress(data, self.size + 1)
        except zlib.error as error:
            broken("the members of an archive must inflate", f"{error} for {plain(self.name)}")
        if len(inflated) != self.size or not stream.eof or stream.unused_data:
            got = f"{len(inflated)} bytes or more instead of {self.size} for {plain(self.name)}"
            broken("the members of an archive must have their sizes", got)
        return inflated


def members_of(source: Source) -> dict[str, Member]:
    """Members of a zip archive by name, checked not to overlap."""
    buffer = source.buffer
    count, size, start = _central_directory(buffer)
    cursor = Cursor(buffer, start, start + size)
    members: dict[str, Member] = {}
    for _ in range(count):
        charge(2 * OF_ITEM)
        member = _member(cursor, buffer)
        if member.name in members:
            broken("the members of an archive must have names of their own", plain(member.name))
        members[member.name] = member
    if cursor.place != cursor.end:
        got = f"{cursor.end - cursor.place} bytes more"
        broken("the directory of an archive must end with its last record", got)
    _check_apart(members, start)
    return members


def padding(start: int, name: str) -> bytes:
    """Extra field that moves a member's bytes to a multiple of 64, where they can be mapped.

    PyTorch's own writer does the same. `start` is where the member's header begins.
    """
    count = -(start + 30 + len(name.encode()) + 4) % 64
    return b"FB" + struct.pack("<H", count) + b"Z" * count


def _central_directory(buffer: Any) -> tuple[int, int, int]:
    """Count of the records, and size and start of them all."""
    size = len(buffer)
    tail = bytes(buffer[max(0, size - END_SIZE - MAX_COMMENT) :])
    found = tail.rfind(END)
    if found < 0 or found + END_SIZE > len(tail):
        broken("an archive must end with its directory", f"{size} bytes", "It is cut short.")
    end = size - len(tail) + found
    cursor = Cursor(buffer, end + 4)
    disks = cursor.take(4, "the archive's end")
    here, count = cursor.integer(2, "the archive's end"), cursor.integer(2, "the archive's end")
    length, start = cursor.integer(4, "the archive's end"), cursor.integer(4, "the archive's end")
    if end >= 20 and buffer[end - 20 : end - 16] == LOCATOR_64:
        end = int.from_bytes(buffer[end - 12 : end - 4], "little")
        cursor = Cursor(buffer, 0, size)
        cursor.skip(end, "the archive's 64-bit end")
        if cursor.take(4, "the archive's 64-bit end") != END_64:
            broken("the 64-bit end of an archive must be where its locator says", f"byte {end}")
        cursor.skip(12, "the archive's 64-bit end")
        disks = cursor.take(8, "the archive's 64-bit end")
        here, count, length, start = (
            cursor.integer(8, "the archive's 64-bit end") for _ in range(4)
        )
    if any(disks) or here != count:
        broken("an archive must be in one piece", f"{here} of {count} members")
    if start + length > end:
        got = f"{length} bytes at byte {start}, which end after byte {end}"
        broken("the directory of an archive must lie before its end", got)
    return count, length, start


def _member(cursor: Cursor, buffer: Any) -> Member:
    if cursor.take(4, "a record of the archive's directory") != CENTRAL:
        got = f"another record at byte {cursor.place - 4}"
        broken("the directory of an archive must list its members", got)
    cursor.skip(4, "a record")
    flags, method = cursor.integer(2, "a record"), cursor.integer(2, "a record")
    cursor.skip(4, "a record")
    checksum, stored_size, size = (cursor.integer(4, "a record") for _ in range(3))
    name_size, extra_size, comment_size = (cursor.integer(2, "a record") for _ in range(3))
    cursor.skip(8, "a record")
    start = cursor.integer(4, "a record")
    name = cursor.text(name_size, "a member's name")
    extra = Cursor(cursor.take(extra_size, "a record"))
    cursor.skip(comment_size, "a record")
    size, stored_size, start = _in_64_bits(extra, size, stored_size, start)
    if method not in (STORED, DEFLATED) or flags & ENCRYPTED:
        got = f"method {method}, flags {flags} for {plain(name)}"
        broken("the members of an archive must be stored or deflated", got)
    local = Cursor(buffer, 0, len(buffer))
    local.skip(start, "a member")
    if local.take(4, "a member") != LOCAL:
        broken("a member must be where the directory says", f"byte {start} for {plain(name)}")
    local.skip(22, "a member")
    local_name, local_extra = local.integer(2, "a member"), local.integer(2, "a member")
    if local.take(local_name, "a member") != name.encode():
        broken("a member must have its name in the directory", plain(name))
    local.skip(local_extra, "a member")
    begin = local.skip(stored_size, f"member {plain(name)}")
    limit = stored_size * MAX_RATIO if method == DEFLATED else stored_size
    if size > limit or (method == STORED and size != stored_size):
        got = f"{size} bytes from {stored_size} for {plain(name)}"
        broken("a member must have as many bytes as the directory says", got)
    return Member(name, buffer, begin, stored_size, size, method == DEFLATED, checksum)


def _in_64_bits(extra: Cursor, *fields: int) -> list[int]:
    """Size, stored size and start, those of all ones replaced by what the extra field has."""
    values = list(fields)
    while extra.end - extra.place >= 4:
        tag, length = extra.integer(2, "an extra field"), extra.integer(2, "an extra field")
        field = Cursor(extra.take(length, "an extra field"))
        if tag == ZIP64:
            values = [
                field.integer(8, "a 64-bit size") if value == 0xFFFFFFFF else value
                for value in values
            ]
    return values


def _check_apart(members: dict[str, Member], directory: int) -> None:
    end = 0
    for member in sorted(members.values(), key=lambda member: member.start):
        if member.start - len(member.name.encode()) - 30 < end:
            broken("members must not overlap", f"{plain(member.name)} at byte {member.start}")
        end = member.start + member.stored_size
    if end > directory:
        broken("members must lie before the directory", f"bytes up to {end} of {directory}")

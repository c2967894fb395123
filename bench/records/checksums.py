"""One line of a run on the disk: a JSON document with two checksums, so that no byte changes unnoticed.

`sum` is over the line itself; `after` is the sum of the line before it, or of the header before the first line, so that
a line that is missing, moved or put in shows, too. SHA-256, of which 64 bits are kept: meant against accidents.
"""

import re
from hashlib import sha256
from typing import NamedTuple

TAIL = re.compile(rb',"after":"([0-9a-f]{16})","sum":"([0-9a-f]{16})"\}\n?\Z')

LONGEST_TAIL = 80
"""More bytes than the checksums of a line take."""


class Line(NamedTuple):
    """A line that is whole.

    Args:
        document: the JSON document without its checksums.
        after: checksum of what stands before it.
        checksum: its own.
    """

    document: bytes
    after: str
    checksum: str


def checksum(text: bytes) -> str:
    """Return 16 hexadecimal digits that change with any byte."""
    return sha256(text).hexdigest()[:16]


def seal(document: str, *, after: str) -> tuple[bytes, str]:
    """Return a JSON object as a line, and the line's checksum.

    Args:
        document: a JSON object without line breaks, not empty.
        after: checksum of the line before it.
    """
    body = f'{document[:-1]},"after":"{after}"'.encode()
    own = checksum(body)
    return body + f',"sum":"{own}"}}\n'.encode(), own


def unseal(line: bytes) -> Line:
    """Take the checksums off a line.

    Raises:
        ValueError: if there are none, or the line was altered.
    """
    tail = TAIL.search(line, max(0, len(line) - LONGEST_TAIL))
    if tail is None:
        raise ValueError("cut, or no record: it does not end in its checksum")
    if checksum(line[: tail.end(1) + 1]) != tail[2].decode():
        raise ValueError("altered: its checksum is another one")
    return Line(line[: tail.start()] + b"}", tail[1].decode(), tail[2].decode())

"""Lines: what is sealed is read back, and no byte of it changes unnoticed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.checksums import checksum, seal, unseal

DOCUMENTS = st.dictionaries(st.text(), st.integers() | st.text() | st.booleans(), min_size=1).map(json.dumps)


@given(document=DOCUMENTS, before=st.binary())
def test_a_sealed_document_is_read_back_with_what_stands_before_it(document: str, before: bytes) -> None:
    line, own = seal(document, after=checksum(before))
    read = unseal(line)
    assert read.document.decode() == document
    assert (read.after, read.checksum) == (checksum(before), own)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line) == json.loads(document) | {"after": read.after, "sum": own}


@given(document=DOCUMENTS, place=st.integers(0), byte=st.integers(1, 255))
def test_any_altered_byte_is_noticed(document: str, place: int, byte: int) -> None:
    line = bytearray(seal(document, after=checksum(b""))[0])
    line[place % (len(line) - 1)] ^= byte  # the line break is the store's
    with pytest.raises(ValueError, match=r"altered|no record"):
        unseal(bytes(line))


@given(document=DOCUMENTS, keep=st.integers(0))
def test_a_line_that_was_cut_is_no_record(document: str, keep: int) -> None:
    line, _ = seal(document, after=checksum(b""))
    with pytest.raises(ValueError, match="cut"):
        unseal(line[: keep % (len(line) - 1)])


@given(st.binary())
def test_anything_else_is_no_record(line: bytes) -> None:
    with pytest.raises(ValueError, match="no record"):
        unseal(line)

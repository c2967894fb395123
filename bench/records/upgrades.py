"""Read what an older seqsum wrote: the one place that knows what records once looked like.

Schema 3 had one limit of silence, failures of no kind, and lines without checksums.
Schema 2 is protocol 1: one fit of each process without turns, which becomes a process with one turn. Its numbers stay
those of protocol 1, which are not put into one table with newer ones.
"""

from typing import Any

OLDEST_SCHEMA = 2
Document = dict[str, Any]


def upgrade_header(header: Document) -> Document:
    """Return a header as the newest schema writes it."""
    if header.get("schema_version") == 2:
        header = _header_of_schema_3(header)
    if header.get("schema_version") == 3:
        header = _header_of_schema_4(header)
    return header


def _header_of_schema_3(header: Document) -> Document:
    sweep = dict(header["sweep"])
    timing = dict(sweep["timing"])
    threads = {"one": 1}.get(timing.pop("threads"), "default")
    timing |= {
        "rounds": 1,
        "control": "none",
        "warmup_s": 0.0,
        "slice_epochs": timing.pop("steady_epochs"),
        "slice_s": timing.pop("steady_s"),
    }
    del timing["most_epochs"]
    return header | {"schema_version": 3, "sweep": sweep | {"timing": timing, "threads": [threads]}}


def _header_of_schema_4(header: Document) -> Document:
    timing = dict(header["sweep"]["timing"])
    limits = dict.fromkeys(("import_s", "build_s", "first_epoch_s", "turn_s", "rest_s"), timing.pop("limit_s"))
    return header | {"schema_version": 4, "sweep": header["sweep"] | {"timing": timing, "limits": limits}}


def upgrade_record(record: Document, schema: int, sweep: Document) -> Document:
    """Return a record of an older schema as the newest one writes it.

    Args:
        record: what stands in a line.
        schema: the one it was written in.
        sweep: that of the upgraded header.
    """
    if schema == 2:
        record = _record_of_schema_3(record, sweep)
    if record["kind"] == "failure":
        record = record | {"twin": False, "fault": "unknown", "exit_code": None, "printed": []}
    return record


def _record_of_schema_3(record: Document, sweep: Document) -> Document:
    if "speed" in (record["kind"], record.get("trial")):
        record = record | {"cell": record["cell"] | {"threads": sweep["threads"][0]}}
    if record["kind"] == "speed":
        warmup_epochs, epochs_s = record.pop("warmup_epochs"), record.pop("epochs_s")
        turn = {
            "round": 0,
            "begun_at_s": 0.0,
            "epochs_s": epochs_s[1 + warmup_epochs :],
            "warmup_epochs": 0,
            "others_cpu_s": record.pop("others_cpu_s"),
            "steal_s": 0.0,
            "involuntary_switches": 0,
        }
        record |= {"twin": False, "start_epochs_s": epochs_s[: 1 + warmup_epochs], "slices": [turn], "witness": None}
    return record

"""Read what an older seqsum wrote: the one place that knows what records once looked like.

Schema 2 is protocol 1: one fit of each process without turns, which becomes a process with one turn. Its numbers stay
those of protocol 1, which are not put into one table with newer ones.
"""

from typing import Any

OLDEST_SCHEMA = 2
Document = dict[str, Any]


def upgrade_header(header: Document) -> Document:
    """Return a header as the newest schema writes it."""
    if header.get("schema_version") != 2:
        return header
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


def upgrade_record(record: Document, sweep: Document) -> Document:
    """Return a record of schema 2 as the newest schema writes it.

    Args:
        record: what stands in a line.
        sweep: that of the upgraded header.
    """
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

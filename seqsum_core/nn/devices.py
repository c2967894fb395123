"""Several devices in one training: each gets a share of the rows of every step. Imports Keras."""

import keras

from seqsum_core.settings import require


def share_rows(device: str, *, count: int, batches: tuple[int, ...]) -> None:
    """Let what is built from here on train data-parallel, each device with a copy of the weights.

    Args:
        device: "cpu" or "gpu".
        count: of devices; 1 changes nothing.
        batches: the numbers of rows that steps have.

    Raises:
        ValueError: if Keras cannot share rows on this backend, there are fewer devices, or rows would be left over.
    """
    if count == 1:
        return
    backend = keras.backend.backend()
    require(
        backend == "jax",
        f"`devices` above 1 needs keras.distribution, which Keras {keras.__version__} has on jax only.",
        backend,
        "Use jax.",
    )
    found = keras.distribution.list_devices(device)
    require(len(found) >= count, f"`devices` must be at most those that are here, {len(found)}.", count, "Use fewer.")
    for rows in batches:
        require(
            rows % count == 0,
            f"`devices` must share every batch equally, also that of {rows} rows.",
            count,
            "Use another number, or batch size.",
        )
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found[:count]))

"""Put the weights of single models into the matrices of `Replicas`, and take them out again. NumPy only.

A single model's weights are those of `get_weights()`: kernel (F, gates * U), recurrent kernel (U, gates * U) and bias
of each recurrent layer, then the Dense kernel (U, 1) and bias (1,). A replica's matrix has a row for each gate's unit,
and a column for each unit, feature and the bias.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqsum_core.settings import NetworkSettings
from seqsum_core.start import GATES

Weights = Sequence[NDArray[np.floating]]


def layer_shapes(model: str, network: NetworkSettings, *, features: int) -> list[list[tuple[int, int]]]:
    """Return the shapes of the matrices of each recurrent layer, without the replica axis.

    A GRU has two: its reset gate multiplies what comes from the state, not what comes from the input.
    """
    units = network.units
    widths = [features, *[units] * (network.layers - 1)]
    rows = GATES[model] * units
    if model == "gru":
        return [[(rows, units + 1), (rows, inputs + 1)] for inputs in widths]
    return [[(rows, units + inputs + 1)] for inputs in widths]


def pack(model: str, replicas: Sequence[Weights], network: NetworkSettings) -> list[NDArray[np.floating]]:
    """Return the matrices of all replicas, each with the leading axis (S,)."""
    matrices = [_pack_replica(model, weights, network) for weights in replicas]
    return [np.stack(parts) for parts in zip(*matrices, strict=True)]


def _pack_replica(model: str, weights: Weights, network: NetworkSettings) -> list[NDArray[np.floating]]:
    matrices = []
    order = _gate_rows(model, network.units)
    for layer in range(network.layers):
        kernel, recurrent, bias = weights[3 * layer : 3 * layer + 3]
        if model == "gru":
            matrices += [np.vstack([recurrent, bias[1]]).T, np.vstack([kernel, bias[0]]).T]
        else:
            matrices.append(np.vstack([recurrent, kernel, bias]).T[order])
    return [*matrices, np.vstack(list(weights[-2:])).T]


def unpack(model: str, matrices: Weights, network: NetworkSettings) -> list[list[NDArray[np.floating]]]:
    """Return the weights of each replica; the inverse of `pack`."""
    replicas = range(len(matrices[0]))
    return [_unpack_replica(model, [matrix[replica] for matrix in matrices], network) for replica in replicas]


def _unpack_replica(model: str, matrices: Weights, network: NetworkSettings) -> list[NDArray[np.floating]]:
    units, weights = network.units, []
    keras_order = np.argsort(_gate_rows(model, units))
    for layer in range(network.layers):
        if model == "gru":
            state, inputs = (matrix.T for matrix in matrices[2 * layer : 2 * layer + 2])
            weights += [inputs[:-1], state[:-1], np.stack([inputs[-1], state[-1]])]
        else:
            columns = matrices[layer][keras_order].T
            weights += [columns[units:-1], columns[:units], columns[-1]]
    dense = matrices[-1].T
    return [np.ascontiguousarray(weight) for weight in (*weights, dense[:-1], dense[-1])]


def _gate_rows(model: str, units: int) -> NDArray[np.intp]:
    """Return Keras' rows in this order: an LSTM's sigmoid gates stand together, i f o g, not i f g o."""
    gates = [0, 1, 3, 2] if model == "lstm" else list(range(GATES[model]))
    return np.concatenate([np.arange(gate * units, (gate + 1) * units) for gate in gates])

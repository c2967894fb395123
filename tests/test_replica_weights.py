"""Weights go into the replicas' matrices and come out as they were."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqsum_core.nn.replica_weights import layer_shapes, pack, unpack
from seqsum_core.settings import MODELS, NetworkSettings
from seqsum_core.start import GATES


def draw(model: str, network: NetworkSettings, seed: int) -> list[np.ndarray]:
    random, width = np.random.default_rng(seed), GATES[model] * network.units
    shapes: list[tuple[int, ...]] = []
    for layer in range(network.layers):
        inputs = 1 if layer == 0 else network.units
        shapes += [(inputs, width), (network.units, width), (2, width) if model == "gru" else (width,)]
    return [random.normal(size=shape) for shape in [*shapes, (network.units, 1), (1,)]]


@given(st.sampled_from(MODELS), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))
def test_unpacking_undoes_packing(model: str, units: int, layers: int, replicas: int) -> None:
    network = NetworkSettings(units=units, layers=layers)
    weights = [draw(model, network, seed) for seed in range(replicas)]
    for before, after in zip(weights, unpack(model, pack(model, weights, network), network), strict=True):
        assert [one.tolist() for one in after] == [one.tolist() for one in before]


@given(st.sampled_from(MODELS), st.integers(1, 5), st.integers(1, 3))
def test_matrices_have_the_shapes_that_the_model_makes_room_for(model: str, units: int, layers: int) -> None:
    network = NetworkSettings(units=units, layers=layers)
    *matrices, dense = pack(model, [draw(model, network, 0)] * 2, network)
    wanted = [(2, *shape) for layer in layer_shapes(model, network) for shape in layer]
    assert [one.shape for one in matrices] == wanted and dense.shape == (2, 1, units + 1)

"""Train one seed after another in plain PyTorch: the loop that someone writes who leaves Keras.

torch.nn's fused recurrent layers, its Linear and its RMSprop, batches sliced from tensors. The start is
PyTorch's own, so losses are alike, not equal, to those of Keras: an LSTM here has two biases, for one.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from seqsum_core.settings import NetworkSettings, TrainingSettings
from seqsum_core.task import Sequences, Split, batch_order

LAYERS = {"simple_rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
OPTIMIZERS = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
AS_IN_KERAS = {"rmsprop": {"alpha": 0.9, "eps": 1e-7}, "adam": {"eps": 1e-7}, "sgd": {}}


class Network(nn.Module):  # type: ignore[misc]
    """Recurrent layers and a Linear: (batch, timesteps, 1) in, (batch,) out."""

    def __init__(self, model: str, network: NetworkSettings) -> None:
        super().__init__()
        self.recurrent = LAYERS[model](1, network.units, network.layers, batch_first=True)
        self.dense = nn.Linear(network.units, 1)

    def forward(self, digits: torch.Tensor) -> torch.Tensor:
        """Read the digits, return the sum."""
        outputs, _ = self.recurrent(digits)
        return self.dense(outputs[:, -1]).squeeze(1)


def train_seeds(
    model: str,
    data: Split,
    training: TrainingSettings,
    *,
    seeds: Sequence[int],
    network: NetworkSettings,
    device: str,
    report: Callable[[str], None] = lambda _: None,
) -> list[float]:
    """Train each seed for all epochs, with a validation after each.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        data: fitted and validation rows.
        training: optimizer, batch size and epochs; never stops early.
        seeds: of the start and the batch order.
        network: units and layers; PyTorch's layers know no mask.
        device: "cpu" or "gpu".
        report: told each seed that begins.

    Returns:
        The last val_loss of each seed.
    """
    place = torch.device("cuda" if device == "gpu" else "cpu")
    fitted, validation = (_tensors(rows, place) for rows in (data.fitted, data.validation))
    losses = []
    for seed in seeds:
        report(f"fit, seed {seed}")
        torch.manual_seed(seed)
        net = Network(model, network).to(place)
        optimizer = OPTIMIZERS[training.optimizer](
            net.parameters(), lr=training.learning_rate, **AS_IN_KERAS[training.optimizer]
        )
        for order in batch_order(len(data.fitted), epochs=training.epochs, seed=seed):
            for rows in torch.from_numpy(order).to(place).split(training.batch_size):
                optimizer.zero_grad()
                nn.functional.mse_loss(net(fitted[0][rows]), fitted[1][rows]).backward()
                optimizer.step()
            with torch.no_grad():
                loss = float(nn.functional.mse_loss(net(validation[0]), validation[1]))
        losses.append(loss)
    return losses


def _tensors(rows: Sequences, place: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(rows.inputs()).to(place), torch.from_numpy(rows.targets()).squeeze(1).to(place)

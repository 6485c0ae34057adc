"""From hyperparameters to a network."""

from __future__ import annotations

from smdown.networks.base import Network
from smdown.networks.cnn import CNN
from smdown.networks.config import CNNConfig, DNNConfig, LSTMConfig, NetworkConfig
from smdown.networks.dnn import DNN
from smdown.networks.lstm import LSTM


def build_network(config: NetworkConfig, n_fine: int, n_sequence: int, n_layers: int) -> Network:
    """Return a fresh network.

    Parameters
    ----------
    config : NetworkConfig
        Kind and sizes.
    n_fine, n_sequence, n_layers : int
        Number of fine drivers, of sequence drivers and of layers to predict.
    """
    match config:
        case DNNConfig():
            return DNN(config, n_fine, n_sequence, n_layers)
        case CNNConfig():
            return CNN(config, n_fine, n_sequence, n_layers)
        case LSTMConfig():
            return LSTM(config, n_fine, n_sequence, n_layers)

"""Every name the book uses up to its chapter on blocks is there."""

import pytest

from d2lblocks import autograd, gluon, init, np, npx
from d2lblocks.gluon import nn

NAMES = """
np: arange array abs dot ones log zeros concatenate exp zeros_like cos cosh expand_dims eye float32 int32 int64 linspace
    meshgrid ones_like sin sinh stack tanh maximum ndarray reshape argmax matmul
np.random: normal rand randn uniform
np.linalg: norm
npx: set_np sigmoid batch_dot gpu num_gpus relu cpu load save softmax waitall
nn: Block Dense Sequential Dropout Flatten Activation Lambda HybridLambda Identity Embedding BatchNorm LayerNorm
    HybridBlock HybridSequential
init: Normal Xavier Constant Initializer Zero One Uniform Orthogonal MSRAPrelu Bilinear LSTMBias Load Mixed
autograd: record pause train_mode predict_mode is_recording is_training backward grad mark_variables Function
gluon: Trainer Parameter ParameterDict Constant Block
gluon.parameter: ParameterDict Parameter DeferredInitializationError
gluon.loss: Loss SoftmaxCELoss SoftmaxCrossEntropyLoss L1Loss L2Loss SigmoidBCELoss SigmoidBinaryCrossEntropyLoss
gluon.data: Dataset DataLoader ArrayDataset
gluon.data.vision: FashionMNIST
gluon.data.vision.transforms: Compose ToTensor Resize
gluon.utils: split_and_load clip_global_norm
"""


@pytest.mark.parametrize("line", NAMES.replace("\n    ", " ").strip().splitlines(), ids=lambda line: line.split(":")[0])
def test_names(line):
    module, names = line.split(":")
    home = eval(module, {"np": np, "npx": npx, "nn": nn, "init": init, "autograd": autograd, "gluon": gluon})
    assert [name for name in names.split() if not hasattr(home, name)] == []


def test_every_property_of_a_block_can_be_read():
    net = nn.Sequential()
    net.add(nn.Dense(1))
    for name in dir(net):
        getattr(net, name)

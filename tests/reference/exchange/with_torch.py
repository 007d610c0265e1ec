"""Exchange of the chapter's net with PyTorch, in both directions; to be run where PyTorch and safetensors are installed.

    python tests/reference/exchange/with_torch.py write FOLDER     torch_net.safetensors, of a new nn.Sequential
    python tests/reference/exchange/with_torch.py read FILE        compares with FILE's numbers; says the largest difference

FILE holds the net under hidden.* and output.*, an input `x` and what our net gave for it, `y`.
"""

import sys
from collections import OrderedDict

import safetensors.torch
import torch


def net():
    layers = [("hidden", torch.nn.Linear(20, 256)), ("act", torch.nn.ReLU()), ("output", torch.nn.Linear(256, 10))]
    return torch.nn.Sequential(OrderedDict(layers))


def write(folder):
    torch.manual_seed(1)
    made, x = net(), torch.rand(2, 20)
    with torch.no_grad():
        state = {**made.state_dict(), "x": x, "y": made(x)}
    safetensors.torch.save_file(state, f"{folder}/torch_net.safetensors")


def read(file):
    state = safetensors.torch.load_file(file)
    x, y = state.pop("x"), state.pop("y")
    made = net()
    made.load_state_dict(state)
    with torch.no_grad():
        difference = float((made(x) - y).abs().max())
    print(f"largest difference: {difference:.2g}")
    return difference < 1e-6


if __name__ == "__main__":
    verb, place = sys.argv[1:]
    sys.exit(not read(place) if verb == "read" else write(place))

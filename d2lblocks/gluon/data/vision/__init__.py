"""Images: the index, nothing else."""

from d2lblocks.gluon.data.vision import transforms as transforms
from d2lblocks.gluon.data.vision.datasets import MNIST as MNIST
from d2lblocks.gluon.data.vision.datasets import FashionMNIST as FashionMNIST

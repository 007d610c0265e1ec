"""d2lblocks: Gluon's vocabulary on NumPy and Numba, small enough to read, made to be looked at."""

from d2lblocks import autograd as autograd
from d2lblocks import gluon as gluon
from d2lblocks import initializer as init
from d2lblocks import initializer as initializer
from d2lblocks import np as np
from d2lblocks import npx as npx
from d2lblocks import optimizer as optimizer
from d2lblocks import reprs as reprs
from d2lblocks.context import Context as Context
from d2lblocks.context import cpu as cpu
from d2lblocks.context import current_context as current_context
from d2lblocks.context import gpu as gpu
from d2lblocks.errors import MXNetError as MXNetError
from d2lblocks.npx import random as random

__version__ = "0.1.0"

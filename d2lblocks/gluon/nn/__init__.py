"""The layers: the index, nothing else."""

from d2lblocks.gluon.block import Block as Block
from d2lblocks.gluon.hybrid import HybridBlock as HybridBlock
from d2lblocks.gluon.nn.basic import Activation as Activation
from d2lblocks.gluon.nn.basic import Dense as Dense
from d2lblocks.gluon.nn.basic import Dropout as Dropout
from d2lblocks.gluon.nn.basic import Embedding as Embedding
from d2lblocks.gluon.nn.basic import Flatten as Flatten
from d2lblocks.gluon.nn.container import HybridLambda as HybridLambda
from d2lblocks.gluon.nn.container import HybridSequential as HybridSequential
from d2lblocks.gluon.nn.container import Identity as Identity
from d2lblocks.gluon.nn.container import Lambda as Lambda
from d2lblocks.gluon.nn.container import Sequential as Sequential
from d2lblocks.gluon.nn.norm import BatchNorm as BatchNorm
from d2lblocks.gluon.nn.norm import LayerNorm as LayerNorm

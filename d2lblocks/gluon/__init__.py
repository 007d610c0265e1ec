"""Blocks, parameters and layers: the index, nothing else."""

from d2lblocks.gluon import data as data
from d2lblocks.gluon import loss as loss
from d2lblocks.gluon import nn as nn
from d2lblocks.gluon import utils as utils
from d2lblocks.gluon.block import Block as Block
from d2lblocks.gluon.hybrid import HybridBlock as HybridBlock
from d2lblocks.gluon.parameter import Constant as Constant
from d2lblocks.gluon.parameter import Parameter as Parameter
from d2lblocks.gluon.parameter import ParameterDict as ParameterDict
from d2lblocks.gluon.trainer import Trainer as Trainer

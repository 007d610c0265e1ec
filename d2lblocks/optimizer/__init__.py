"""Ways to move: the index, nothing else."""

from d2lblocks.optimizer.base import Optimizer as Optimizer
from d2lblocks.optimizer.base import create as create
from d2lblocks.optimizer.base import register as register
from d2lblocks.optimizer.rules import NAG as NAG
from d2lblocks.optimizer.rules import SGD as SGD
from d2lblocks.optimizer.rules import AdaGrad as AdaGrad
from d2lblocks.optimizer.rules import Adam as Adam
from d2lblocks.optimizer.rules import RMSProp as RMSProp
from d2lblocks.optimizer.updater import Updater as Updater
from d2lblocks.optimizer.updater import get_updater as get_updater

"""Parameters, one and many: the index, nothing else."""

from d2lblocks.errors import DeferredInitializationError as DeferredInitializationError
from d2lblocks.gluon.parameter.collection import ParameterDict as ParameterDict
from d2lblocks.gluon.parameter.single import Constant as Constant
from d2lblocks.gluon.parameter.single import Parameter as Parameter

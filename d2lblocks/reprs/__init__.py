"""How core objects look in a notebook: painters, registered here with `d2lblocks.rich.html`."""

from d2lblocks.reprs import array as array
from d2lblocks.reprs import changes as changes
from d2lblocks.reprs import initializer as initializer
from d2lblocks.reprs import notebook as notebook
from d2lblocks.reprs import op as op
from d2lblocks.reprs import parameter as parameter
from d2lblocks.reprs import tree as tree
from d2lblocks.reprs.diff import Diff as Diff
from d2lblocks.reprs.facts import Snapshot as Snapshot
from d2lblocks.reprs.tape import Tape as Tape

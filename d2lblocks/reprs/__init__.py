"""How core objects look in a notebook: painters, registered here with `d2lblocks.rich.html`."""

from d2lblocks.reprs import notebook as notebook
from d2lblocks.reprs.diff import Diff as Diff
from d2lblocks.reprs.facts import Snapshot as Snapshot

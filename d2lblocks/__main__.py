"""`python -m d2lblocks` is the command line."""

import sys

from d2lblocks.cli import main

sys.exit(main())

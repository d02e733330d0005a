"""`python -m gatewright` is `mlops`."""

import sys

from gatewright.cli import main

sys.exit(main())

"""`python -I -S …/perdured/keeper/__main__.py DIRECTORY`: how the daemon starts a keeper."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Isolated and without site-packages, nothing else tells Python where this package lies.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from perdured.keeper.main import main

    sys.exit(main(sys.argv[1]))

"""`python -I -S …/perdured/keeper/__main__.py DIRECTORY [standby]`: how the daemon starts a keeper."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Isolated and without site-packages, nothing else tells Python where this package lies.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from perdured.keeper.main import main

    # All is told and let go of; to take the interpreter apart would only delay the next attempt, which waits for this.
    os._exit(main(sys.argv[1], stands_by=sys.argv[2:] == ["standby"]))

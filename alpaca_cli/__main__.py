"""`python -m alpaca_cli` is `alpaca`."""

import sys

from alpaca_cli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())

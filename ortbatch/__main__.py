"""`python -m ortbatch`."""

from ortbatch.cli import main

if __name__ == "__main__":
    main()

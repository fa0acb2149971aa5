"""`python -m ortbatch`."""

from ortbatch.cli import program

if __name__ == "__main__":
    program()

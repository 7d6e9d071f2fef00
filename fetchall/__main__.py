"""`python -m fetchall`."""

from fetchall.cli import main

if __name__ == "__main__":
    main()

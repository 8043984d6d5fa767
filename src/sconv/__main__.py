"""python -m sconv."""

from sconv.runner.cli import main

if __name__ == "__main__":
    main()

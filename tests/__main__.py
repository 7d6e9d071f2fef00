"""`python -m tests`: lint, types, tests and the README's check, in this order; the last lines are pytest's summary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STEPS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("pytest", "-n", "4", "--dist", "loadgroup"),
)


def main() -> int:
    for step in STEPS:
        print(f"$ python -m {' '.join(step)}", flush=True)
        code = subprocess.run([sys.executable, "-m", *step, *(sys.argv[1:] if step is STEPS[-1] else [])], cwd=ROOT)
        if code.returncode:
            return code.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m bench [relay] [publish] [submit] [--rounds N] [--seconds S]``: prints medians and ratios.

Absolute figures drift with the machine and its load. A and B run by turns, so quote the ratios.
"""

import argparse
import sys

from bench import publish, relay, submit

PARTS = {"relay": relay.run, "publish": publish.run, "submit": submit.run}


def main() -> int:
    """Runs the parts that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3, help="how often A and B take turns")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)}; there are {', '.join(PARTS)}")
    for name in options.parts or PARTS:
        print(f"\n{name}", flush=True)
        PARTS[name](options.rounds, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m server.demo_model` serves the demo model and prints the address to set as JOBCAST_LLM_BASE_URL."""

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from server.demo_model.app import EMBED_S, FIRST_TOKEN_S, IMAGE_S, TOKENS_PER_S, DemoModel
from server.demo_model.serve import DemoServer, base_url, open_socket


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; 1 where the address cannot be had."""
    options = _parser().parse_args(arguments)
    try:
        listener = open_socket(options.host, options.port)
    except OSError as error:
        print(f"demo model: cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    # uvicorn raises a signal again after its clean end, which would make that end look like a death.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    demo = DemoModel(options.tokens_per_s, options.first_token_s, options.image_s, options.embed_s)
    server = DemoServer(demo, lambda: print(f"demo model on {base_url(listener)}", flush=True))
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m server.demo_model", description="a small OpenAI-compatible model server"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--tokens-per-s", type=_positive, default=TOKENS_PER_S)
    parser.add_argument("--first-token-s", type=float, default=FIRST_TOKEN_S)
    parser.add_argument("--image-s", type=float, default=IMAGE_S, help="how long a picture takes")
    parser.add_argument("--embed-s", type=float, default=EMBED_S, help="how long a request for embeddings takes")
    return parser


def _positive(text: str) -> float:
    if (number := float(text)) <= 0:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())

"""The garbage collector, kept away from what a process has from its start."""

import gc


def spare(*, collect: bool = True) -> None:
    """Has the collector look no more at what there is by now; to be called once a process is ready for work.

    Python looks at everything whenever a quarter has come to it: for 40 ms where Celery or FastAPI is imported, in
    which no thread does anything. To readers that was the longest pause of all, of every job that the process had.

    Args:
        collect: whether to look once more before. Not in a process that was forked: it writes to every page that the
            process has in common with its parent, which then has a copy of each.
    """
    if collect:
        gc.collect()
    gc.freeze()

"""What the figures were measured on."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path

from bench.processes import ROOT
from server.embedded import find_server, version_of

LIBRARIES = ("uvicorn", "uvloop", "starlette", "fastapi", "sse-starlette", "redis", "hiredis", "celery")


def facts() -> dict[str, str]:
    """Names and versions of all that counts."""
    found = {
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Redis": ".".join(map(str, version_of(find_server()))) + " (the embedded server, append-only file on)",
        "nginx": _version("nginx", "-v", r"nginx/([\d.]+)"),
        "node": _version("node", "--version", r"v([\d.]+)"),
    }
    libraries = [f"{name} {version}" for name in LIBRARIES if (version := _library(name))]
    return {**found, "libraries": ", ".join(libraries)}


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    # The last one that changed what is measured.
    product = ("--", "progress", "server", "tasks")
    changed = git("status", "--porcelain", *product)
    return git("log", "-1", "--format=%h", *product) + (" with changes" if changed else "")


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1) if match else platform.machine()


def _version(program: str, option: str, pattern: str) -> str:
    if not (path := shutil.which(program)):
        return "not installed"
    done = subprocess.run([path, option], capture_output=True, text=True, check=False)
    match = re.search(pattern, done.stdout + done.stderr)
    return match.group(1) if match else "of an unknown version"


def _library(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""

"""Runs ip and tc, and turns what they complain about into one exception that names the command."""

import subprocess


class FabricError(Exception):
    """What could not be done to the fabric, in words for the person at the terminal."""


def run(*argv: str, stdin: str | None = None) -> str:
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise FabricError(f"{argv[0]} is not installed (Debian package iproute2)") from missing
    if done.returncode != 0:
        what = " ".join(argv) + (f" <<\n{stdin}" if stdin else "")
        raise FabricError(f"`{what}` failed: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout


def ip_batch(namespace: str, lines: list[str]) -> None:
    if lines:
        run("ip", "-n", namespace, "-batch", "-", stdin="\n".join(lines) + "\n")


def tc_batch(namespace: str, lines: list[str]) -> None:
    if lines:
        run("tc", "-n", namespace, "-batch", "-", stdin="\n".join(lines) + "\n")


def write_sysctls(namespace: str, settings: dict[str, str]) -> None:
    """Writes /proc/sys inside the namespace; a name that this kernel lacks is an error."""
    script = "\n".join(f"echo '{value}' > /proc/sys/{name.replace('.', '/')}" for name, value in settings.items())
    run("ip", "netns", "exec", namespace, "sh", "-e", "-c", script)

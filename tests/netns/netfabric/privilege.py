"""May this process make network namespaces? If not as it is, it starts itself again inside a user namespace of its
own, where it may; if the machine forbids that too, it says so and leaves with the status that ctest counts as skipped.
"""

import os
import subprocess
import sys

SKIP_EXIT_STATUS = 77
_CAP_SYS_ADMIN, _CAP_NET_ADMIN = 21, 12
_INSIDE = "WEFT_FABRIC_USER_NAMESPACE"  # dropped from the environment at once: weft refuses WEFT_* it does not know


def _has_capabilities() -> bool:
    with open("/proc/self/status", encoding="ascii") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return all(effective >> bit & 1 for bit in (_CAP_SYS_ADMIN, _CAP_NET_ADMIN))


def _can_make_namespaces() -> bool:
    probe = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    return probe.returncode == 0


def require_privilege(outlives_process: bool = False) -> None:
    """Returns if namespaces can be made. Call it first thing in main(): it may replace the process, which does not
    help those whose namespaces must outlive it.
    """
    inside = os.environ.pop(_INSIDE, None)
    if _has_capabilities() and _can_make_namespaces():
        if inside:
            # /run/netns is created by `ip netns add`; a mount of our own keeps it away from the machine's.
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        return
    wrapper = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if not inside and not outlives_process and subprocess.run(wrapper + ["true"], capture_output=True, check=False).returncode == 0:
        os.environ[_INSIDE] = "1"
        os.execvp(wrapper[0], wrapper + [sys.executable] + sys.argv)
    print("SKIPPED: making network namespaces needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN), or a kernel that lets "
          "users make user namespaces (kernel.unprivileged_userns_clone=1). Run it with sudo.", file=sys.stderr)
    sys.exit(SKIP_EXIT_STATUS)

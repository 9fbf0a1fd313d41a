"""Every way in which SSH does not get through is told with board, reason and remedy.

The texts were printed by OpenSSH 9.2 (Debian 12), those of a jump host excepted.
"""

from __future__ import annotations

import pytest

from prism_edge.cluster.ssh_faults import fault
from prism_edge.errors import ClusterError, UnreachableError

UNKNOWN = """debug1: Server host key: ssh-ed25519 SHA256:z+5zZV8KmgrkZaCGF3exO/7I986/KuMTZPvQRgXXfys
debug1: Connection closed by nobody, Permission denied to no one
No ED25519 host key is known for [10.77.0.1]:2222 and you have requested strict checking.
Host key verification failed.
"""
CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Someone could be eavesdropping on you right now (man-in-the-middle attack)!
It is also possible that a host key has just been changed.
The fingerprint for the ED25519 key sent by the remote host is
SHA256:z+5zZV8KmgrkZaCGF3exO/7I986/KuMTZPvQRgXXfys.
Please contact your system administrator.
Add correct host key in /home/me/.ssh/known_hosts to get rid of this message.
Offending ED25519 key in /home/me/.ssh/known_hosts:1
  remove with:
  ssh-keygen -f "/home/me/.ssh/known_hosts" -R "[10.77.0.1]:2222"
Host key for [10.77.0.1]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""
KEY = "SHA256:z+5zZV8KmgrkZaCGF3exO/7I986/KuMTZPvQRgXXfys"
REFUSED = "ssh: connect to host 10.77.0.1 port 2223: Connection refused\n"


@pytest.mark.parametrize(
    ("said", "kind", "named"),
    [
        (UNKNOWN, ClusterError, ("not known here", KEY, "ssh-keygen -lf", "log in once")),
        ("Host key verification failed.\n", ClusterError, ("not known here; compare", "ssh u@h")),
        (
            CHANGED,
            ClusterError,
            (f"another one than before, {KEY}:", 'known_hosts" -R "[10.77.0.1]:2222"'),
        ),
        (
            "nosuch@10.77.0.1: Permission denied (publickey).\n",
            ClusterError,
            ("Permission denied (publickey);", "ssh-copy-id", "ssh-add", "the user"),
        ),
        (REFUSED, UnreachableError, ("port 2223: Connection refused;", "does sshd run")),
        (
            "ssh: connect to host 10.77.0.77 port 22: No route to host\n",
            UnreachableError,
            ("No route", "is the board on"),
        ),
        (
            "ssh: Could not resolve hostname a.b: Name or service not known\n",
            UnreachableError,
            ("resolve hostname a.b", "in this network"),
        ),
        ("Timeout, server 10.77.0.1 not responding.\n", UnreachableError, ("not responding;",)),
        ("Connection to 10.77.0.1 closed by remote host.\n", UnreachableError, ("closed by",)),
        (
            "Can't open user config file /x: No such file or directory\n",
            ClusterError,
            ("ssh failed: Can't open user config file /x",),
        ),
        ("", ClusterError, ("ssh failed: it said nothing",)),
    ],
)
def test_the_words_of_ssh_become_an_error(
    said: str, kind: type[ClusterError], named: tuple[str, ...]
) -> None:
    error = fault("edge-1", "u@h", "ssh u@h", said)
    assert type(error) is kind
    assert str(error).startswith("board edge-1 (u@h): ")
    assert "debug" not in str(error)
    for part in named:
        assert part in str(error)

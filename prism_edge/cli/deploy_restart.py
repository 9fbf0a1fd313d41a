"""``prism-edge deploy restart``: the service started anew."""

from __future__ import annotations

from prism_edge.cli.deploy_options import AcceptNew, AsJson, AskSudo, Cluster, Limit


def restart(
    cluster: Cluster,
    limit: Limit = "",
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    as_json: AsJson = False,
) -> None:
    """Start the service of the boards anew, and wait until it has proved healthy.

    Example: prism-edge deploy restart --cluster cluster.toml --limit edge-2
    """
    from prism_edge.cli.deploy_reach import finish, reach, tell, who
    from prism_edge.deploy import again

    reached = reach(cluster, limit, accept_new=accept_new, ask_sudo=ask_sudo)
    finish(
        reached.settings,
        again.restart(reached.boards, reached.opened, who("restart"), tell),
        as_json=as_json,
        fields=lambda move: {"changed": 1, "release": move.new},
        line=lambda move: f"release {move.new} serves again",
    )

"""``prism-edge deploy rollback``: the release before serves again."""

from __future__ import annotations

from prism_edge.cli.deploy_options import AcceptNew, AsJson, AskSudo, Cluster, Limit


def rollback(
    cluster: Cluster,
    limit: Limit = "",
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    as_json: AsJson = False,
) -> None:
    """Go back to the release that served before, on all boards or on none of them.

    A second rollback goes forward again.

    Example: prism-edge deploy rollback --cluster cluster.toml
    """
    from prism_edge.cli.deploy_reach import finish, reach, tell, who
    from prism_edge.deploy import again

    reached = reach(cluster, limit, accept_new=accept_new, ask_sudo=ask_sudo)
    finish(
        reached.settings,
        again.rollback(reached.boards, reached.opened, who("rollback"), tell),
        as_json=as_json,
        fields=lambda move: {"changed": 1, "old": move.old, "new": move.new},
        line=lambda move: f"{move.old} -> {move.new}, which serves",
    )

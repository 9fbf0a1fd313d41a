"""cluster.toml: what is read is checked, and every refusal says file, key, value and remedy."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prism_edge import mesh, sections
from prism_edge import settings as module
from prism_edge.errors import SettingsError
from prism_edge.mesh import MeshSettings
from prism_edge.schedule.aims import aim_of
from prism_edge.settings import (
    BoardSettings,
    DeploySettings,
    LinkSettings,
    ModelSettings,
    PolicySettings,
    ServeSettings,
    Settings,
    parse_model,
    read_settings,
    single_board,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "deploy" / "cluster.example.toml"
SMALLEST = """
[cluster]
name = "c"
[[boards]]
name = "a"
address = "10.0.0.1"
"""
TWO = SMALLEST + '[[boards]]\nname = "b"\naddress = "10.0.0.2"\n'

BOARD_C = '[[boards]]\nname = "c"\naddress = "c.local"\n'


def written(directory: Path, text: str) -> Path:
    path = directory / "cluster.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(directory: Path, text: str) -> str:
    path = written(directory, text)
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    message = str(caught.value)
    assert message.startswith((f"{path}: ", f"{path} cannot be read"))
    return message


# -- what is read ------------------------------------------------------------------------------


def test_the_smallest_file_has_a_default_for_everything_else(tmp_path: Path) -> None:
    found = read_settings(written(tmp_path, SMALLEST))
    assert found == Settings(
        name="c",
        leader="a",
        kind="boards",
        profiles=tmp_path / "profiles" / "c",
        boards=(BoardSettings(name="a", address="10.0.0.1"),),
    )


def test_every_value_of_a_full_file_arrives(tmp_path: Path) -> None:
    text = """
    [cluster]
    name = "c"
    leader = "b"
    kind = "lab"
    profiles = "tables"
    [[boards]]
    name = "a"
    address = "10.0.0.1"
    power = "none"
    device = "cuda"
    dtype = "bf16"
    [[boards]]
    name = "b"
    address = "10.0.0.2"
    power = "modelled"
    ssh = "nvidia@orin-2.local:2222"
    ssh_config = "keys/config"
    python = "/opt/py/bin/python3.10"
    [[models]]
    name = "m"
    path = "models/m"
    [serve]
    host = "0.0.0.0"
    port = 0
    token_file = "token"
    certificate = "tls/a.crt"
    certificate_key = "tls/a.key"
    authority = "tls/authority.crt"
    max_batch = 2
    max_delay_s = 0
    queue = 3
    timeout_s = 4
    exchange_timeout_s = 5.5
    max_body_bytes = 6
    [policy]
    objective = "edp"
    exact = true
    hysteresis = 0.5
    [link]
    rate_bps = 1e6
    pace_file = "/run/pace.json"
    [mesh]
    interface = "wg-prism"
    port = 4242
    [deploy]
    tls = true
    """
    assert read_settings(written(tmp_path, text)) == Settings(
        name="c",
        leader="b",
        kind="lab",
        profiles=tmp_path / "tables",
        boards=(
            BoardSettings(name="a", address="10.0.0.1", power="none", device="cuda", dtype="bf16"),
            BoardSettings(
                name="b",
                address="10.0.0.2",
                power="modelled",
                ssh="nvidia@orin-2.local:2222",
                ssh_config=tmp_path / "keys" / "config",
                python="/opt/py/bin/python3.10",
            ),
        ),
        models=(ModelSettings(name="m", path=tmp_path / "models" / "m"),),
        serve=ServeSettings(
            host="0.0.0.0",
            port=0,
            token_file=tmp_path / "token",
            certificate=tmp_path / "tls" / "a.crt",
            certificate_key=tmp_path / "tls" / "a.key",
            authority=tmp_path / "tls" / "authority.crt",
            max_batch=2,
            max_delay_s=0.0,
            queue=3,
            timeout_s=4.0,
            exchange_timeout_s=5.5,
            max_body_bytes=6,
        ),
        policy=PolicySettings(objective="edp", exact=True, hysteresis=0.5),
        link=LinkSettings(rate_bps=1e6, pace_file=Path("/run/pace.json")),
        mesh=MeshSettings(interface="wg-prism", port=4242),
        deploy=DeploySettings(tls=True),
    )


def test_paths_are_relative_to_the_file_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    models = (
        '[[models]]\nname = "m"\npath = "m"\n'
        '[[models]]\nname = "n"\npath = "/abs/n"\n'
        '[[models]]\nname = "o"\npath = "~/o"\n'
    )
    (tmp_path / "inner").mkdir()
    written(tmp_path, SMALLEST + models)
    monkeypatch.chdir(tmp_path / "inner")
    found = read_settings(Path("..") / "cluster.toml")
    assert found.model("m").path == tmp_path / "m"
    assert found.model("n").path == Path("/abs/n")
    assert found.model("o").path == home / "o"
    assert found.profiles == tmp_path / "profiles" / "c"


def test_an_empty_optional_path_is_none(tmp_path: Path) -> None:
    found = read_settings(written(tmp_path, SMALLEST + '[serve]\ntoken_file = ""\n'))
    assert found.serve.token_file is None


def test_the_leader_is_rank_0_wherever_it_is_listed(tmp_path: Path) -> None:
    text = TWO.replace('name = "c"', 'name = "c"\nleader = "b"')
    found = read_settings(written(tmp_path, text))
    assert [board.name for board in found.ranked] == ["b", "a"]


def test_without_a_mesh_engines_meet_where_boards_are_reached(tmp_path: Path) -> None:
    found = read_settings(written(tmp_path, TWO))
    assert [found.data_address(name) for name in "ab"] == ["10.0.0.1", "10.0.0.2"]


def test_on_a_mesh_addresses_follow_the_order_of_the_file(tmp_path: Path) -> None:
    mesh = '[mesh]\nsubnet = "10.99.0.0/24"\n'
    found = read_settings(written(tmp_path, TWO.replace("[[", 'leader = "b"\n[[', 1) + mesh))
    assert [found.data_address(name) for name in "ab"] == ["10.99.0.1", "10.99.0.2"]
    assert found.url("a") == "http://10.0.0.1:8000"  # the control plane stays where it is
    with pytest.raises(SettingsError, match="no board is called 'c'"):
        found.data_address("c")


def test_a_daemon_with_a_certificate_is_asked_over_https(tmp_path: Path) -> None:
    files = '[serve]\nport = 1\ncertificate = "c"\ncertificate_key = "k"\n'
    assert read_settings(written(tmp_path, SMALLEST + files)).url("a") == "https://10.0.0.1:1"


# -- what is refused ---------------------------------------------------------------------------

REFUSED = {
    # a case: (text, everything the message must name)
    "section": ("[[board]]\nname = 'x'", ("'board'", "did you mean 'boards'?")),
    "cluster key": ("[cluster]\nleder = 'a'", ("cluster", "'leder'", "did you mean 'leader'?")),
    "board key": (
        "[cluster]\n[[boards]]\nname = 'a'\nadress = 'x'",
        ("boards", "'adress'", "did you mean 'address'?"),
    ),
    "model key": (SMALLEST + "[[models]]\nname = 'm'\ndir = 'x'", ("models", "'dir'", "path")),
    "serve key": (
        SMALLEST + "[serve]\nmax_bach = 3",
        ("serve", "'max_bach'", "did you mean 'max_batch'?"),
    ),
    "policy key": (
        SMALLEST + "[policy]\nhysterisis = 1",
        ("policy", "'hysterisis'", "did you mean 'hysteresis'?"),
    ),
    "link key": (SMALLEST + "[link]\nrate = 1", ("link", "'rate'", "did you mean 'rate_bps'?")),
    "a far key": (SMALLEST + "[link]\nq = 1", ("link", "'q'", "rate_bps, pace_file")),
    "no cluster": ("[[boards]]\nname = 'a'\naddress = 'x'", ("[cluster]", "missing")),
    "cluster of text": ("cluster = 'x'", ("[cluster]", "missing")),
    "no boards": ("[cluster]\nname = 'c'", ("[[boards]]",)),
    "one table": ("[cluster]\n[boards]\nname = 'a'", ("boards", "[[boards]]")),
    "board of text": ("boards = ['a']\n[cluster]\n", ("boards", "'a'")),
    "no address": ("[cluster]\n[[boards]]\nname = 'a'", ("boards", "address", "missing")),
    "no path": (SMALLEST + "[[models]]\nname = 'm'", ("models", "path", "missing")),
    "empty path": (SMALLEST + "[[models]]\nname = 'm'\npath = ''", ("models", "path = ''")),
    "empty model": (SMALLEST + "[[models]]\nname = ''\npath = 'x'", ("models", "name = ''")),
    "empty board": ("[cluster]\n[[boards]]\nname = ''\naddress = 'x'", ("boards", "name")),
    "empty cluster": (SMALLEST.replace('"c"', '""'), ("cluster", "name = ''")),
    "leader": (
        SMALLEST.replace('name = "c"', 'leader = "aa"'),
        ("cluster", "leader = 'aa'", "allowed is a"),
    ),
    "kind": (SMALLEST.replace('name = "c"', 'kind = "labs"'), ("cluster", "kind = 'labs'", "lab")),
    "kind of number": (SMALLEST.replace('name = "c"', "kind = 1"), ("cluster", "kind = 1", "text")),
    "power": (SMALLEST + 'power = "watts"', ("boards", "power = 'watts'", "sensor, modelled")),
    "power_source": (SMALLEST + 'power_source = "nvml"', ("power_source = 'nvml'", "auto, sysfs")),
    "device": (SMALLEST + 'device = "gpu"', ("boards", "device = 'gpu'", "cpu, cuda or cuda:N")),
    "device number": (SMALLEST + 'device = "cuda:x"', ("boards", "device = 'cuda:x'")),
    "dtype": (
        SMALLEST + 'dtype = "float16"',
        ("boards", "dtype = 'float16'", "fp32, fp16, bf16"),
    ),
    "no python": (SMALLEST + 'python = ""', ("boards", "python = ''", "PATH")),
    **{
        f"ssh {target!r}": (SMALLEST + f'ssh = "{target}"', ("boards", f"{target!r}", "user@host"))
        for target in (
            "-oProxyCommand=x",
            "a b",
            "u@",
            "u@-x",
            "h:",
            "h:0",
            "h:65536",
            "h/x",
            "ssh://h",
        )
    },
    "objective": (
        SMALLEST + '[policy]\nobjective = "speed"',
        ("policy", "objective = 'speed'", "latency, energy, edp"),
    ),
    "name twice": (
        SMALLEST + '[[boards]]\nname = "a"\naddress = "y"',
        ("boards", "name = 'a'", "twice"),
    ),
    "address twice": (
        SMALLEST + '[[boards]]\nname = "b"\naddress = "10.0.0.1"',
        ("boards", "address = '10.0.0.1'", "twice"),
    ),
    "model twice": (
        SMALLEST + '[[models]]\nname = "m"\npath = "x"\n' * 2,
        ("models", "name = 'm'", "twice"),
    ),
    "nine boards": (
        "[cluster]\n" + "".join(f'[[boards]]\nname = "b{i}"\naddress = "{i}"\n' for i in range(9)),
        ("boards", "9", "1 to 8"),
    ),
    "text for a number": (SMALLEST + '[serve]\nport = "80"', ("serve", "port = '80'", "number")),
    "number for text": (SMALLEST + "[serve]\nhost = 1", ("serve", "host = 1", "text")),
    "true for a number": (SMALLEST + "[serve]\nqueue = true", ("serve", "queue = True", "number")),
    "number for true": (SMALLEST + "[policy]\nexact = 1", ("policy", "exact = 1", "bool")),
    "fraction": (SMALLEST + "[serve]\nmax_batch = 1.5", ("serve", "max_batch = 1.5", "whole")),
    "list": (SMALLEST + "[serve]\ntimeout_s = [1]", ("serve", "timeout_s = [1]", "float")),
    "section of text": ("serve = 1\n" + SMALLEST, ("serve", "table", "1")),
    "port": (SMALLEST + "[serve]\nport = 65536", ("serve", "port = 65536", "0 to 65535")),
    "negative port": (SMALLEST + "[serve]\nport = -1", ("serve", "port = -1")),
    "max_batch": (SMALLEST + "[serve]\nmax_batch = 0", ("serve", "max_batch = 0", "1 or more")),
    "queue": (SMALLEST + "[serve]\nqueue = 0", ("serve", "queue = 0", "1 or more")),
    "body": (SMALLEST + "[serve]\nmax_body_bytes = 0", ("serve", "max_body_bytes = 0")),
    "delay": (SMALLEST + "[serve]\nmax_delay_s = -1", ("serve", "max_delay_s = -1")),
    "timeout": (SMALLEST + "[serve]\ntimeout_s = 0", ("serve", "timeout_s = 0")),
    "endless": (SMALLEST + "[serve]\ntimeout_s = inf", ("serve", "timeout_s = inf")),
    "nan": (SMALLEST + "[serve]\ntimeout_s = nan", ("serve", "timeout_s = nan")),
    "exchange": (
        SMALLEST + "[serve]\nexchange_timeout_s = 0.0",
        ("serve", "exchange_timeout_s = 0.0", "0.1 or more"),
    ),
    "hysteresis": (SMALLEST + "[policy]\nhysteresis = -0.1", ("policy", "hysteresis = -0.1")),
    "rate": (SMALLEST + "[link]\nrate_bps = 0", ("link", "rate_bps = 0")),
    "certificate alone": (
        SMALLEST + '[serve]\ncertificate = "c"',
        ("serve", "certificate_key", "give both"),
    ),
    "key alone": (SMALLEST + '[serve]\ncertificate_key = "c"', ("serve", "certificate", "both")),
    "mesh key": (SMALLEST + "[mesh]\nsubmet = 1", ("mesh", "'submet'", "did you mean 'subnet'?")),
    "deploy key": (SMALLEST + "[deploy]\nssl = true", ("deploy", "'ssl'", "tls")),
    **{
        f"mesh {subnet}": (SMALLEST + f'[mesh]\nsubnet = "{subnet}"', ("mesh", subnet, said))
        for subnet, said in {
            "10.99.0": "10.99.0.0/24",
            "10.99.0.1/24": "host bits",
            "fd00::/64": "IPv4",
            "10.99.0.0/33": "IPv4",
            "224.1.0.0/24": "hosts",
            "127.1.0.0/24": "hosts",
            "0.0.0.0/0": "hosts",
            "10.99.0.0/31": "room for 0, 1 boards",
            "10.0.0.0/24": "contains 10.0.0.1",
        }.items()
    },
    "mesh room": (TWO + BOARD_C + '[mesh]\nsubnet = "10.9.0.0/30"', ("mesh", "room for 2, 3")),
    "mesh interface": (SMALLEST + '[mesh]\ninterface = "a b"', ("mesh", "interface = 'a b'", "14")),
    "mesh port": (SMALLEST + "[mesh]\nport = 0", ("mesh", "port = 0", "1 to 65535")),
    "mesh without a network": (
        SMALLEST.replace('"c"', '"c"\nkind = "paced"') + '[mesh]\nsubnet = "10.9.0.0/24"',
        ("mesh", "kind = 'paced'"),
    ),
    "not toml": ("[cluster", ("cannot be read",)),
    "key twice": ("[cluster]\nname = 'a'\nname = 'b'", ("overwrite",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_file_key_value_and_what_is_allowed(case: str, tmp_path: Path) -> None:
    text, named = REFUSED[case]
    message = refused(tmp_path, text)
    for part in named:
        assert part in message


@pytest.mark.parametrize("text", [SMALLEST, TWO])
def test_control_what_the_refused_files_are_made_of_is_accepted(text: str, tmp_path: Path) -> None:
    read_settings(written(tmp_path, text))


def test_a_missing_file_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(tmp_path / "none.toml")
    assert str(tmp_path / "none.toml") in str(caught.value)
    assert "cluster.example.toml" in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00"])
def test_a_file_that_is_no_text_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(tmp_path)


def test_an_unknown_board_or_model_is_answered_with_the_nearest() -> None:
    settings = Settings(
        name="c",
        leader="edge-1",
        profiles=Path("p"),
        boards=(BoardSettings(name="edge-1", address="x"),),
        models=(ModelSettings(name="vit", path=Path("x")),),
    )
    with pytest.raises(SettingsError, match=r"'edge-2'; did you mean 'edge-1'\? \(known: edge-1\)"):
        settings.board("edge-2")
    with pytest.raises(SettingsError, match=r"'bit'; did you mean 'vit'\?"):
        settings.model("bit")
    with pytest.raises(SettingsError, match=r"'x' \(known: none\)"):
        dataclasses.replace(settings, models=()).model("x")


@pytest.mark.parametrize(
    "target", ["", "orin", "u@10.0.0.1", "u_1@edge-1.local:2222", "[fe80::1]", "u@[::1]:65535"]
)
def test_a_board_is_reached_as_ssh_would(target: str) -> None:
    assert BoardSettings(name="a", address="x", ssh=target).ssh == target


# -- models from the command line --------------------------------------------------------------


def test_a_model_option_is_a_name_and_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_model("m=models/x") == ModelSettings(name="m", path=tmp_path / "models" / "x")
    assert parse_model("models/x") == ModelSettings(name="x", path=tmp_path / "models" / "x")
    assert parse_model("m=a=b").path == tmp_path / "a=b"


@pytest.mark.parametrize("text", ["=dir", "name=", "=", ""])
def test_a_model_option_without_a_part_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="NAME=DIR"):
        parse_model(text)


def test_a_model_given_again_replaces_the_listed_one() -> None:
    """And keeps its limit: the policy would else take plans that it rules out."""
    one = ModelSettings(name="m", path=Path("/x"), max_accuracy_drop=0.005)
    other = ModelSettings(name="n", path=Path("/z"), max_accuracy_drop=0.1)
    settings = single_board((one, other), ServeSettings())
    again = ModelSettings(name="m", path=Path("/y"), max_accuracy_drop=0.005)
    assert settings.with_models(["m=/y"]).models == (other, again)
    assert settings.with_models(["new=/y"]).models[-1].max_accuracy_drop is None
    assert settings.with_models([]).models == (one, other)


def test_a_board_alone_is_a_cluster_of_one() -> None:
    settings = single_board((), ServeSettings())
    assert [board.name for board in settings.ranked] == [settings.leader]
    assert settings.boards[0].address == "127.0.0.1"


# -- the example -------------------------------------------------------------------------------


def fields_of_settings() -> dict[str, set[str]]:
    """Every key a file may have, by section, from the classes."""
    own = {field.name for field in dataclasses.fields(Settings)}
    sections: dict[str, type[Any]] = {
        "boards": BoardSettings,
        "models": ModelSettings,
        "serve": ServeSettings,
        "policy": PolicySettings,
        "link": LinkSettings,
        "mesh": MeshSettings,
        "deploy": DeploySettings,
    }
    names = {key: {f.name for f in dataclasses.fields(kind)} for key, kind in sections.items()}
    return {"cluster": own - set(sections), **names}


def shown(text: str) -> str:
    """With the keys that have no default, which are shown in a comment."""
    return re.sub(r"^# (max_accuracy_drop = )", r"\1", text, flags=re.MULTILINE)


def keys_of(text: str) -> dict[str, set[str]]:
    data = tomllib.loads(shown(text))
    return {
        section: set().union(*(set(item) for item in (value if type(value) is list else [value])))
        for section, value in data.items()
    }


def test_the_example_shows_every_key_there_is_and_no_other() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert keys_of(text) == fields_of_settings()
    shorter = "\n".join(line for line in text.splitlines() if not line.startswith("queue"))
    assert keys_of(shorter) != fields_of_settings()  # the control: one key left out is noticed


def test_the_example_can_be_read_and_explains_every_key() -> None:
    found = read_settings(EXAMPLE)
    assert len(found.boards) == 2
    explained: set[str] = set()
    for line in shown(EXAMPLE.read_text(encoding="utf-8")).splitlines():
        key, equals, rest = line.partition(" = ")
        if equals and "#" in rest:
            explained.add(key)
    wanted = set().union(*fields_of_settings().values()) - {"path"}
    assert explained >= wanted


def test_a_budget_in_a_copy_of_the_example_binds_its_models(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    copy = text.replace("\nmax_accuracy_drop = inf ", "\nmax_accuracy_drop = 0.01 ")
    found = read_settings(written(tmp_path, copy))
    assert found.models
    assert {aim_of(found).of(model.name).max_accuracy_drop for model in found.models} == {0.01}
    # the control: with a limit of its own it is another
    found = read_settings(
        written(tmp_path, shown(copy).replace("_drop = 0.01   #", "_drop = 0.2 #"))
    )
    assert aim_of(found).of(found.models[0].name).max_accuracy_drop == 0.2


def test_the_example_shows_the_defaults_of_the_daemon() -> None:
    found = read_settings(EXAMPLE)
    assert found.serve == ServeSettings()
    assert found.policy == PolicySettings()
    assert found.link.pace_file is None
    assert found.mesh == MeshSettings()
    assert found.deploy == DeploySettings()


def test_the_serving_guide_lists_every_setting_of_the_daemon_with_its_default() -> None:
    guide = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    for section, kind in (("serve", ServeSettings), ("policy", PolicySettings)):
        for field in dataclasses.fields(kind):
            row = next(
                (line for line in guide.splitlines() if f"`[{section}] {field.name}`" in line), ""
            )
            assert row, field.name
            if field.default not in ("", None):
                shown = f"{field.default:g}" if type(field.default) is float else field.default
                assert f"| {str(shown).lower()} |" in row.replace("`", ""), field.name


# -- where it must run -------------------------------------------------------------------------


@pytest.mark.parametrize("source", [module.__file__, sections.__file__, mesh.__file__])
def test_settings_need_nothing_but_the_standard_library_and_tomli(source: str) -> None:
    """A board's system Python reads them too."""
    tree = ast.parse(Path(source).read_text(encoding="utf-8"))
    imported = {
        node.module.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
    } | {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    # tomllib is in the library from 3.11 on; before that, tomli stands in for it
    assert imported <= set(sys.stdlib_module_names) | {"prism_edge", "tomli", "tomllib"}


def test_a_broken_file_ends_the_command_with_2_and_no_traceback(tmp_path: Path) -> None:
    path = written(tmp_path, SMALLEST + "[serve]\nprot = 1\n")
    argv = [sys.executable, "-m", "prism_edge", "serve", "--cluster", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {path}: serve: unknown key 'prot'; did you mean 'port'? (known: "
        f"{', '.join(field.name for field in dataclasses.fields(ServeSettings))})\n"
    )

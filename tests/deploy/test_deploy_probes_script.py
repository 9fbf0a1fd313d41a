"""Many probes in one script: each answer comes back apart, whatever the others do."""

from __future__ import annotations

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from prism_edge.deploy.probes.script import SILENCE, Answer, answers, script

TOKEN = "0123456789abcdef"
LATE = (124, 137)


def asked(
    commands: dict[str, str], limit_s: float = 30, env: dict[str, str] | None = None
) -> dict[str, Answer]:
    done = subprocess.run(
        ["/bin/sh", "-c", script(commands, TOKEN, limit_s)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=env,
    )
    return answers(done.stdout, TOKEN)


def test_answers_come_back_as_they_were_printed() -> None:
    said = asked(
        {
            "line": "echo one; echo two",
            "open": "printf 'no end'",
            "nul": r"printf 'a\0b\0'",
            "quotes": """echo "it's" 'a "word"' '$HOME'""",
            "nothing": ":",
        }
    )
    assert {name: answer.out for name, answer in said.items()} == {
        "line": "one\ntwo\n",
        "open": "no end",
        "nul": "a\0b\0",
        "quotes": 'it\'s a "word" $HOME\n',
        "nothing": "",
    }


def test_a_probe_that_fails_harms_no_other() -> None:
    said = asked({"a": "exit 3", "b": "kill -9 $$", "c": "no-such-program", "d": "echo d"})
    assert {name: answer.code for name, answer in said.items()} == {
        "a": 3,
        "b": 137,
        "c": 127,
        "d": 0,
    }
    assert said["d"].text == "d\n"


def test_what_a_failed_probe_printed_does_not_count() -> None:
    said = asked({"a": "echo half; exit 1"})["a"]
    assert (said.out, said.text) == ("half\n", "")


def test_a_probe_that_hangs_is_ended() -> None:
    limit_s, late = 0.1, True
    while late:  # b too, which waits for its turn on a busy machine
        limit_s *= 2
        said = asked({"a": "echo waiting; sleep 600", "b": "echo b"}, limit_s)
        assert said["a"].code in LATE
        late = said["b"].code in LATE
    assert said["b"].text == "b\n"


def test_a_probe_cannot_eat_the_script() -> None:
    assert asked({"a": "cat", "b": "echo b"})["b"].text == "b\n"


def test_probes_speak_english_and_find_the_tools_of_root() -> None:
    said = asked({"a": "echo $LC_ALL", "b": "echo $PATH"}, env={"LC_ALL": "de_DE.UTF-8"})
    assert said["a"].text == "C\n"
    assert "/usr/sbin" in said["b"].text.split(":")


def test_errors_are_not_answers() -> None:
    assert asked({"a": "echo no >&2"})["a"].out == ""


def test_noise_of_a_login_shell_is_no_answer() -> None:
    out = f"Welcome!\n{TOKEN} a\nx\n\n{TOKEN} 0\n"
    assert answers(out, TOKEN) == {"a": Answer(code=0, out="x\n")}


def test_an_answer_that_was_cut_off_is_none() -> None:
    assert answers(f"{TOKEN} a\nx\n", TOKEN) == {}
    assert SILENCE.text == ""


@settings(deadline=None)
@given(st.text())
def test_any_text_has_answers_or_none(text: str) -> None:
    for answer in answers(text + f"\n{TOKEN} a\n{text}\n{TOKEN} 0\n", TOKEN).values():
        assert answer.code == 0


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z-]+", fullmatch=True), st.text(), max_size=3))
def test_what_was_printed_is_what_is_read(outs: dict[str, str]) -> None:
    text = "".join(f"{TOKEN} {name}\n{out}\n{TOKEN} 0\n" for name, out in outs.items())
    assert {name: answer.out for name, answer in answers(text, TOKEN).items()} == outs

"""Lines for a shell: the word that arrives is the value, whatever it holds, and wherever the placeholder stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rose_cli.plan.shell_quoting import UnsafeValueError
from rose_cli.plan.shell_scanner import scan
from tests.conftest import PATIENCE

SHELLS = [name for name in ("sh", "dash", "bash", "busybox", "ksh", "mksh", "zsh") if shutil.which(name)]
HOSTILE = [
    *(
        "a",
        "a b",
        " a ",
        "a  b",
        "a;touch ran",
        "$(touch ran)",
        "`touch ran`",
        "a'b",
        'a"b',
        "a\\b",
        "a\\",
        "\\",
        "'",
        '"',
        "`",
    ),
    *(
        "$",
        "$HOME",
        "${HOME}",
        "$((1+1))",
        "a|touch ran",
        "a&touch ran",
        "a>x",
        "a<x",
        "a\nb",
        "\n",
        "a\n",
        "#a",
        "a #b",
        "*",
    ),
    *(
        "?",
        "[a]",
        "~",
        "~root",
        "a=b",
        "PATH=b",
        "-n",
        "--",
        "if",
        "done",
        "time",
        "!",
        "!!",
        "{a,b}",
        "{1..3}",
        "a}b",
        "}",
    ),
    *(
        ")",
        "(",
        "a)b",
        "((",
        "))",
        "%1",
        "a:~",
        "größe",
        "\udcff\udce9",
        "\u202e",
        "\x1b[31m",
        "\x01",
        "\x7f",
        "\r",
        "\t",
    ),
    *(
        "EOF",
        "'; touch ran; '",
        '"; touch ran; "',
        "$(touch ran",
        "'$(touch ran)'",
        "\\$(touch ran)",
        "\\`touch ran\\`",
        "\\'",
        "\\\\",
    ),
    *("$'\\x41'", "1", "10", "08", "1.5", "/a b/c", "/x/y", "a,b", "+(a)", "@(a)", "&", "&&", "||", ";;", "esac", "in"),
    *("case", "<<EOF", "'\n'", "\\\n", "a\\\nb", "{workspace}", "{{", "x';touch ran;'"),
]
PIECES = [*" \t\n'\"`$\\;&|()<>#*?[]~=-!{}%,:@+ab1é\udcff", "$(", "${", "touch ran", "\\\n"]
VALUES = st.sampled_from(HOSTILE) | st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join)

# The line, and what arrives: what is printed, each word in brackets. `@` stands for the value.
PLACES = [
    ("printf '[%s]' {learner}", "[@]"),
    ("printf '[%s]' a{learner}b", "[a@b]"),
    ("printf '[%s]' {learner}{learner}", "[@@]"),
    ("printf '[%s]' a-{learner}.txt x", "[a-@.txt][x]"),
    ("printf '[%s]' '{learner}'", "[@]"),
    ("printf '[%s]' 'a b'{learner}'c d'", "[a b@c d]"),
    ("printf '[%s]' '<{learner}>' x", "[<@>][x]"),
    ('printf "[%s]" "{learner}"', "[@]"),
    ('printf "[%s]" "a {learner} b" c', "[a @ b][c]"),
    ('X=x; printf "[%s]" "$X{learner}$X" $X{learner}$X', "[x@x][x@x]"),
    ('printf "[%s]" "$#{learner}" $?{learner}', "[0@][0@]"),
    ('X=x; printf "[%s]" "${{X}}{learner}" ${{X}}{learner}', "[x@][x@]"),
    ('set -- p; printf "[%s]" "$1{learner}" $1{learner}', "[p@][p@]"),
    ('printf "[%s]" "${learner}" ${learner}', "[$@][$@]"),
    ('printf "[%s]" \\{learner} "\\{learner}" \\\\{learner}', "[@][\\@][\\@]"),
    ("printf '[%s]' \"it's {learner}\" 'say \"{learner}\"'", '[it\'s @][say "@"]'),
    ("printf '[%s]' ~{learner} x~{learner}", "[~@][x~@]"),
    ("printf '[%s]' \"$(printf '%s.' {learner})\"", "[@.]"),
    ('printf "[%s]" "$(printf "%s." "{learner}")"', "[@.]"),
    ("printf '[%s]' \"$(printf '%s.' '{learner}' \"$(printf '%s.' {learner})\")\"", "[@.@..]"),
    ("X=`printf '%s.' {learner}`; printf '[%s]' \"$X\"", "[@.]"),
    ("X=`printf '%s.' '{learner}' \"{learner}\"`; printf '[%s]' \"$X\"", "[@.@.]"),
    ("X={learner}; printf '[%s]' \"$X\"", "[@]"),
    ("X=a/{learner} Y={learner}; printf '[%s]' \"$X\" \"$Y\"", "[a/@][@]"),
    ("X={learner} sh -c 'printf \"[%s]\" \"$X\"'", "[@]"),
    ("unset X; printf '[%s]' ${{X:-{learner}}} ${{X-a{learner}}}", "[@][a@]"),
    ("printf '[%s]' \"${{HOME:+yes}}\" {learner} ${{HOME:+{learner}}}", "[yes][@][@]"),
    ("X=x; printf '[%s]' ${{X#{learner}y}} ${{X:-{learner}}}", "[x][x]"),
    ("for x in {learner} b; do printf '[%s]' \"$x\"; done", "[@][b]"),
    ("case {learner} in {learner}) printf '[same]';; *) printf '[other]';; esac; printf '[%s]' {learner}", "[same][@]"),
    ("if [ {learner} = {learner} ]; then printf '[%s]' {learner}; fi", "[@]"),
    ("(printf '[%s]' {learner}); {{ printf '[%s]' {learner}; }}", "[@][@]"),
    ("f() {{ printf '[%s]' {learner} \"$1\"; }}; f {learner}", "[@][@]"),
    ("true && printf '[%s]' {learner} || false; false; printf '[%s]' {learner} | cat", "[@][@]"),
    ("printf '[%s]' {learner} # and {learner}'s \"\n printf '[%s]' {learner}", "[@][@]"),
    ("printf '[%s]' \\\n  {learner} x", "[@][x]"),
    ("printf '[%s]' a#{learner} # {learner}", "[a#@]"),
    ("printf '[%s]' $((1 + 2)) {learner} $((2 * (3 + 4)))", "[3][@][14]"),
    ("cat <<'E'\n[{learner}]\nE\nprintf '[%s]' {learner}", "[@]\n[@]"),
    ("cat <<E\n[{learner}] $((1+1)) \\$x\nE\nprintf '[%s]' {learner}", "[@] 2 $x\n[@]"),
    ("cat <<-\tE\n\t[{learner}]\n\tE\nprintf '[%s]' {learner}", "[@]\n[@]"),
    ("X=x; cat <<E\n[$X{learner}${learner}\\{learner}]\nE", "[x@$@\\@]\n"),
    ("cat <<A; cat <<'B'\n[$(printf '%s.' {learner} \"{learner}\")]\nA\n<{learner}>'\"\nB\n", "[@.@.]\n<@>'\"\n"),
    ("X=$(cat <<E\n[{learner}]\nE\n); printf '%s' \"$X\" {learner}", "[@]@"),
    ("printf '[%s]' {learner} > out; cat out", "[@]"),
    ("printf '[%s]' {learner} 2>&1 >out </dev/null; cat out", "[@]"),
    ("./show {learner} '{learner}'", "[@][@]"),
]  # fmt: skip


@cache
def folder() -> Path:
    """Where the lines run; a value that is read as code leaves `ran` there."""
    place = Path(tempfile.mkdtemp())
    show = place / "show"
    show.write_text("#!/bin/sh\nprintf '[%s]' \"$@\"\n", encoding="utf-8")
    show.chmod(0o755)
    return place


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left() -> object:
    yield
    shutil.rmtree(folder())


def printed(shell: str, line: str, timeout_seconds: float = PATIENCE) -> tuple[int, bytes, bytes]:
    command = [shell, "sh", "-c", line] if shell == "busybox" else [shell, "-c", line]
    done = subprocess.run(
        list(map(os.fsencode, command)), cwd=folder(), capture_output=True, timeout=timeout_seconds, check=False,
        stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def filled(line: str, value: str) -> str | None:
    """The line; None where the value is refused, which counts as right only where it could not be quoted."""
    try:
        return scan(line).filled({"learner": value})
    except UnsafeValueError:
        could_end_it = "<<" in line and ("\n" in value or value in ("A", "B", "E"))
        assert could_end_it, "this value can be quoted"
        return None


def check(shell: str, line: str, expected: str, values: list[str]) -> None:
    """All values in one process; where something else arrives, one by one, to see which."""
    texts = [(text, value) for value in values if (text := filled(line, value)) is not None]
    arrived = b"".join(os.fsencode(expected.replace("@", value)) + b"\0" for _, value in texts)
    code, out, err = printed(shell, "\nprintf '\\0'\n".join([*(text for text, _ in texts), ""]))
    is_right = (code, out, err) == (0, arrived, b"") and not (folder() / "ran").exists()
    assert is_right or len(values) > 1, (texts, out, err)
    for value in () if is_right else values:
        check(shell, line, expected, [value])
    assert is_right, (texts, out, err)


def test_a_value_that_is_a_part_of_the_delimiter_ends_no_here_document() -> None:
    line = scan("cat <<DATA1\n{learner}\nx{iteration}\nDATA1")
    assert line.filled({"learner": "A", "iteration": "1"}) == "cat <<DATA1\nA\nx1\nDATA1"
    with pytest.raises(UnsafeValueError, match="could end"):
        line.filled({"learner": "DATA1", "iteration": "1"})


@pytest.mark.parametrize("folder", ["/scratch/c++,v@1", "/home/me@site/50%", "/data/a:b"])
def test_a_plain_path_may_stand_in_code(folder: str) -> None:
    assert scan("srun bash -c 'cd {learner}'").filled({"learner": folder}) == f"srun bash -c 'cd {folder}'"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("line", "expected"), PLACES, ids=[line for line, _ in PLACES])
def test_the_word_that_arrives_is_the_value(shell: str, line: str, expected: str) -> None:
    check(shell, line, expected, HOSTILE)


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=40)
@given(values=st.lists(VALUES, min_size=1, max_size=30), place=st.sampled_from(PLACES))
def test_whatever_the_value(shell: str, values: list[str], place: tuple[str, str]) -> None:
    check(shell, *place, values)


# --- no line, however odd, makes a value run -----------------------------------------------------------------------

TOKENS = [
    *(["{learner}"] * 12),
    *"'\"`()$\\\n;&|<>#*[]~=-!+E1ab ",
    *(
        "$(",
        "$((",
        "))",
        "${{X:-",
        "${{X#",
        "${{X:+",
        "}}",
        "{{",
        " ",
        " ",
        "\\\n",
        "&&",
        "||",
        "<<E\n",
        "<<'E'\n",
        "<<-E\n",
    ),
    *(
        "\nE\n",
        "\nE\n",
        " #",
        "case x in x) ",
        "esac",
        " case ",
        "in ",
        "x) ",
        ";;",
        "X=",
        "echo ",
        "printf %s ",
        "$X",
        "$'",
    ),
    *(
        '$"',
        "if ",
        "then ",
        "fi",
        "for i in ",
        "do ",
        "done",
        "f() ",
        "{{ ",
        " }}",
        "${{#X}}",
        "$[",
        "a[",
        "<(",
        "$1",
        "$?",
    ),
    *(
        "<<<",
        "-c ",
        "sh -c '",
        'bash -c "',
        "eval ",
        "trap ",
        "| sh ",
        "| bash -s\n",
        "bash <<E\n",
        "sh <<'E'\n",
        "sh ",
    ),
]
RUNS_IF_READ = [  # whatever is split off from it is no command
    *(
        "x';:;touch ran;'",
        'x";:;touch ran;"',
        "$(:;touch ran)",
        "`:;touch ran`",
        "\n:;touch ran\n",
        ");:;touch ran;(",
        ";:;touch ran;",
    ),
    *(
        "}:;touch ran",
        "\\",
        "'",
        '"',
        "a\\$(:;touch ran)",
        "E\n:;touch ran\n",
        ";;esac;:;touch ran;",
        "))\n:;touch ran;((",
        "`",
        "$",
    ),
    *("'\n:;touch ran\n'", "\\\n", "E", "|:;touch ran|"),
]


@pytest.mark.parametrize("shell", [name for name in SHELLS if name in ("dash", "bash", "sh")])
@settings(max_examples=60)
@given(tokens=st.lists(st.sampled_from(TOKENS), min_size=3, max_size=25), value=st.sampled_from(RUNS_IF_READ))
@example(
    tokens=["$", "${{X#", "done", " #", "| sh ", '"', "{learner}", "case x in x) ", '"', "{learner}"],
    value="E\n:;touch ran\n",
)
@example(tokens=["X=", "({learner}", "eval ", ">", "E", " "], value="\n:;touch ran\n")
@example(tokens=["a[", "<<'E'\n", "'", "{learner}", "]"], value="$(:;touch ran)")
@example(tokens=["echo ", "<<-E\n", "\\", "\nE\n", "{learner}", "'", "`", "{learner}"], value="E\n:;touch ran\n")
def test_no_line_makes_a_value_run(shell: str, tokens: list[str], value: str) -> None:
    try:
        text = scan("".join(tokens)).filled({"learner": value})
    except UnsafeValueError:
        return
    with suppress(subprocess.TimeoutExpired):
        printed(shell, text, timeout_seconds=5)
    assert not (folder() / "ran").exists(), text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("echo $(({learner} + 1))", "in $((…)), where only numbers stand"),
        ("if (( {learner} > 1 )); then echo; fi", "in ((…)), which some shells evaluate"),
        ('eval "cd {learner}"', "in code that another shell or machine reads"),
        ("trap 'rm {learner}' EXIT", "in code that another shell or machine reads"),
        ("sh -c 'cd {learner} && ls'", "in code that another shell reads"),
        ('true && timeout 5 bash -euc "ls {learner}"', "in code that another shell reads"),
        ("bash <<E\ncd {learner}\nE", "in code that another shell or machine reads"),
        ("cat <<'E' | ssh host\ncd {learner}\nE", "in code that another shell or machine reads"),
        ('echo "cd {learner}" | sh', "in code that another shell or machine reads"),
        ("for i in 1; do echo {learner}; done | sort |\n  bash -s", "in code that another shell or machine reads"),
        ("(echo {learner}) | (sh)", "in code that another shell or machine reads"),
        ("X=$(echo '{learner}' | sh 2>&1)", "in code that another shell or machine reads"),
        ("bash <<< 'cd {learner}'", "in code that another shell or machine reads"),
        (". <(echo cd {learner})", "in code that another shell or machine reads"),
        ('eval "$(tool {learner})"', "in code that another shell or machine reads"),
        ("python3 - <<'E'\nprint('{learner}')\nE", "in code that an interpreter reads"),
        ("find . -exec sh -c 'echo {learner}' \\;", "in code that another shell reads"),
        ("ssh host ls {learner}", "in code that another shell or machine reads"),
        ("su me -c 'ls {learner}'", "in code that another shell or machine reads"),
        ("python3 -c 'print(\"{learner}\")'", "in code that an interpreter reads"),
        ('echo "${{X:-{learner}}}"', "inside ${…}, where values cannot be quoted for every shell"),
        ("echo ${{X/{learner}/b}}", "inside ${…}, where values cannot be quoted for every shell"),
        ('echo "`echo {learner}`"', "in `…` inside double quotes"),
        ("echo $'{learner}'", "after '$'', which not every shell supports"),
        ("echo $(case x in a) echo;; esac; echo {learner})", "after a 'case' inside other code"),
        ("a[{learner}]=1", "after a subscript, which some shells evaluate"),
    ],
)
def test_where_a_value_cannot_be_quoted_only_a_plain_one_is_let_in(line: str, reason: str) -> None:
    (spot,) = scan(line).spots
    assert spot.reason == reason
    assert line[spot.offset : spot.offset + spot.length] == "{learner}"
    scan(line).filled({"learner": "plain-1.5"})
    for value in ("a;b", "$(x)", "a'b", 'a"b', "a`b", "a\nb"):
        with pytest.raises(UnsafeValueError, match="would be read as code"):
            scan(line).filled({"learner": value})


@pytest.mark.parametrize(
    ("line", "ending"),
    [
        ("echo a", None),
        ("echo a\\;", None),
        ("cat <<E\nx\nE\necho", None),
        ("echo a # note", "it ends in a comment"),
        ("cat <<E\nx\nE", "it ends in a here-document"),
        ("cat <<E", "a here-document starts at its end"),
        ("echo 'a", "something is still open at its end"),
        ("echo $(ls", "something is still open at its end"),
        ("echo a &", "it ends in '&'"),
        ("echo a;", "it ends in ';'"),
        ("echo a |", "it ends in '|'"),
    ],
)
def test_what_a_line_ends_in(line: str, ending: str | None) -> None:
    assert scan(line).ending == ending


@pytest.mark.parametrize(
    "line",
    [
        "echo {learner} | python3 train.py",
        "echo {learner} | bash ./script.sh",
        "echo {learner} | sort || sh",
        "sh ./x.sh {learner}",
        "cat <<E | python3 train.py\n{learner}\nE",
        "bash x.sh < {learner}",
        "echo x | sh; echo {learner}",
        "sh -c 'cd \"$1\"' sh {learner}",
        "ssh-keygen -f {learner}",
        "echo eval {learner} > sh",
    ],
)
def test_what_a_program_reads_as_data_is_in_no_doubt(line: str) -> None:
    assert [spot.reason for spot in scan(line).spots] == [None]


def test_values_stay_readable_where_they_are_plain() -> None:
    line = "cd {workspace} && {python} {campaign_dir}/prepare > out-{iteration}.txt"
    values = {"workspace": "/w/a", "python": "/usr/bin/python3", "campaign_dir": "/c", "iteration": "3"}
    assert scan(line).filled(values) == "cd /w/a && /usr/bin/python3 /c/prepare > out-3.txt"


LONG = {
    "substitutions": "$(" * 20_000,
    "subshells": "(" * 20_000 + "{learner}",
    "placeholders": "{learner} " * 20_000,
    "parameters": "${{X:-" * 9_000 + "{seed}",
    "here-documents": "cat <<A\n$(" * 5_000 + "{learner}",
    "options": "-x {seed} " * 9_000,
    "quotes": "'{learner}" * 9_000,
}


@pytest.mark.parametrize("what", LONG)
def test_long_lines_are_scanned_at_once_and_whole(what: str) -> None:
    line = LONG[what]
    code = "import resource, sys; from rose_cli.plan.shell_scanner import scan; line = scan(sys.stdin.read())"
    code += (
        "; print(sum(len(p) if isinstance(p, str) else p.length for p in line.parts), resource.getrusage(0).ru_utime)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=line, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    length, seconds = done.stdout.split()
    assert int(length) == len(line.replace("{{", "{").replace("}}", "}"))
    assert float(seconds) < 2

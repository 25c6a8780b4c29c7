"""The argument list, the option values and the environment of one attempt."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rose_cli.plan.file import dump_plan, load_plan
from rose_cli.plan.model import EnginePlan, Number
from rose_cli.plan.render import (
    AttemptPaths,
    EvaluationContext,
    NoCommandError,
    NoValueError,
    metric_files,
    option_words,
    render,
)

if TYPE_CHECKING:
    from rose_cli.plan.model import OptionScalar, Plan
    from rose_cli.plan.render import Command
    from tests.check.fixture import Campaigns
    from tests.plan.conftest import Compile

PATHS = AttemptPaths(workspace="/run/learners/a/workspace", result_file="/run/result.json", attempt=2, replica=1)


def rendered(plan: Plan, context: EvaluationContext | None = None, paths: AttemptPaths = PATHS) -> Command:
    learner = plan.learners[0]
    context = context or EvaluationContext(3, 10)
    step = learner.steps[0]
    return render(plan, learner, step.task, step.command(context.iteration), context, paths)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (300, ["--n", "300"]),
        (0.1, ["--n", "0.1"]),
        (1e-05, ["--n", "1e-05"]),
        (1e22, ["--n", "1e+22"]),
        ("a b", ["--n", "a b"]),
        ("", ["--n", ""]),
        ("1e-3", ["--n", "1e-3"]),
        (True, ["--n"]),
        (False, []),
        ((64, 64), ["--n", "64", "64"]),
        ((), ["--n"]),
        ((1, "a", 0.5, True), ["--n", "1", "a", "0.5", "true"]),
        (0, ["--n", "0"]),
        (-5, ["--n", "-5"]),
        (Number("0.10"), ["--n", "0.10"]),
        ((Number("1e-3"), 0.5), ["--n", "1e-3", "0.5"]),
        (-1e-05, ["--n", "-0.00001"]),
        (-1.5e22, ["--n", "-15000000000000000000000"]),
        (-math.inf, ["--n", "-inf"]),
        ("-1e-05", ["--n", "-1e-05"]),
        ("-name", ["--n", "-name"]),
    ],
)
def test_an_option_becomes_words(value: OptionScalar | tuple[OptionScalar, ...], words: list[str]) -> None:
    assert option_words({"--n": value}) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1e-05, ["n=-0.00001"]),
        ("-a b", ["n=-a b"]),
        (True, ["n=true"]),
        (False, ["n=false"]),
        ((64, "x"), ["n=64", "n=x"]),
        ("", ["n="]),
        (Number("0.10"), ["n=0.10"]),
    ],
)
def test_a_name_that_ends_in_an_equals_sign_is_one_word_with_its_value(
    value: OptionScalar | tuple[OptionScalar, ...], words: list[str]
) -> None:
    assert option_words({"n=": value}) == words


def test_a_number_stands_as_it_was_written_and_counts_as_a_number(compiled: Compile, campaigns: Campaigns) -> None:
    plan = compiled("""
        tasks: {s: {executable: echo, options: {--a: 0.10, --b: 1e-3, --c: [.5, 0x1F, +2], --d: "1e-3", --e: 1e400}}}
    """)
    stored = campaigns.folder / "plan.json"
    stored.write_text(dump_plan(plan, campaigns.folder), encoding="utf-8")
    command = rendered(load_plan(stored))
    assert " ".join(command.argv) == "echo --a 0.10 --b 1e-3 --c .5 0x1F +2 --d 1e-3 --e 1e400"
    assert command.options == {"--a": 0.1, "--b": 0.001, "--c": (0.5, 31, 2), "--d": "1e-3", "--e": "1e400"}


def test_arguments_come_before_options_and_both_after_the_words(compiled: Compile, campaigns: Campaigns) -> None:
    plan = compiled("""
        tasks: {simulation: {executable: python sim.py --fast, args: [data.csv, 5], options: {--b: 1, --a: [2, 3]}}}
        learners: [{simulation: {--c: true, --b: 4}}]
    """)
    expected = (
        "python",
        str(campaigns.folder / "sim.py"),
        "--fast",
        "data.csv",
        "5",
        "--b",
        "4",
        "--a",
        "2",
        "3",
        "--c",
    )
    assert rendered(plan).argv == expected


@pytest.mark.parametrize(
    ("executable", "words"),
    [
        ("python scripts/prepare.py", "python @scripts/prepare.py"),
        ("python ./scripts/../sim.py --where scripts", "python @sim.py --where scripts"),
        ("python -u -W ignore sim.py data.csv", "python -u -W ignore @sim.py data.csv"),
        ("python sim.py ./data.csv --like tool.sh", "python @sim.py @data.csv --like @tool.sh"),
        ("python train --mode train", "python @train --mode train"),
        ("bash train train", "bash @train train"),
        ("python -m train train", "python -m train train"),
        ("python -c train sim.py", "python -c train @sim.py"),
        ("bash -c scripts/prepare.py", "bash -c scripts/prepare.py"),
        ("[bash, -o, pipefail, -c, ./tool.sh, ./tool.sh]", "bash -o pipefail -c ./tool.sh @tool.sh"),
        ("./solver --mode train --system solver --lr 0.5", "@solver --mode train --system solver --lr 0.5"),
        ("echo solver", "echo solver"),
        ("echo nosuch/file.py missing.sh", "echo nosuch/file.py missing.sh"),
        ("echo scripts scripts/", "echo scripts scripts/"),
        ("tool.sh train", "@tool.sh train"),
        ('"python scripts/{learner}.py {learner}"', "python @scripts/prepare.py prepare"),
        ('"{python} sim.py"', "{python} @sim.py"),
        ('"python {campaign_dir}/scripts/../sim.py"', "python @sim.py"),
        ("echo python train sim.py", "echo python train @sim.py"),
    ],
)
def test_the_program_its_script_and_paths_are_looked_up_beside_the_campaign(
    compiled: Compile, campaigns: Campaigns, executable: str, words: str
) -> None:
    """Not words that happen to be files, and nothing in `args` and `options`."""
    for path in ("solver", "tool.sh"):
        (campaigns.folder / path).chmod(0o755)
    plan = compiled(f"""
        tasks: {{simulation: {{executable: {executable}, args: [sim.py], options: {{--x: ./sim.py}}}}}}
        learners: [{{name: prepare}}]
    """)
    expected = words.replace("@", f"{campaigns.folder}/").replace("{python}", sys.executable).split()
    assert rendered(plan).argv == (*expected, "sim.py", "--x", "./sim.py")


def test_what_is_beside_the_campaign_is_settled_when_the_plan_is_made(compiled: Compile, campaigns: Campaigns) -> None:
    plan = compiled("tasks: {simulation: {executable: python sim.py scripts/later.py}}")
    (campaigns.folder / "sim.py").unlink()
    (campaigns.folder / "scripts/later.py").touch()
    assert rendered(plan).argv == ("python", str(campaigns.folder / "sim.py"), "scripts/later.py")


def test_a_plan_of_an_older_rose_looks_up_every_word(compiled: Compile, campaigns: Campaigns) -> None:
    plan = compiled("tasks: {simulation: {executable: python sim.py data.csv --mode train}}")
    step = plan.learners[0].steps[0]
    older = replace(step, otherwise=replace(step.otherwise, beside=None))
    plan = replace(plan, learners=(replace(plan.learners[0], steps=(older,)),))
    folder = campaigns.folder
    assert rendered(plan).argv == ("python", f"{folder}/sim.py", f"{folder}/data.csv", "--mode", f"{folder}/train")


def test_placeholders_are_filled_in_everywhere(compiled: Compile, campaigns: Campaigns) -> None:
    plan = compiled("""
        tasks:
          simulation:
            executable: "{python} sim.py {iteration}"
            args: ["{workspace}/x", "{campaign_dir}"]
            options: {--l: "{learner}", --r: ["{replica}", "{seed}"], --b: "{{}}", --c: "a{{b}}c"}
            env: {WHO: "{learner}.{iteration}"}
        learners: [{name: a, seed: 7}]
    """)
    command = rendered(plan)
    assert command.argv == (
        sys.executable,
        str(campaigns.folder / "sim.py"),
        "3",
        "/run/learners/a/workspace/x",
        str(campaigns.folder),
        "--l",
        "a",
        "--r",
        "1",
        "7",
        "--b",
        "{}",
        "--c",
        "a{b}c",
    )
    assert command.environment["WHO"] == "a.3"


def test_braces_in_a_value_that_is_filled_in_are_left_alone(compiled: Compile) -> None:
    plan = compiled("""
        tasks: {simulation: {executable: "python sim.py {learner}"}}
        learners: [{name: "{iteration}"}]
    """)
    assert rendered(plan).argv[-1] == "{iteration}"


def test_an_expression_is_worked_out_for_its_iteration(compiled: Compile) -> None:
    plan = compiled("""
        stop: {metric: mse, threshold: 0.1, executable: python check.py}
        learners:
          - simulation:
              adaptive:
                --n: 100 + i*50
                --rate: 0.1 * 0.95**i
                --flag: i > 2
                --kind: "'adam' if i > 2 else 'sgd'"
                --last: metric if i > 0 else 1
                --best: best if i > 0 else 1
                --of: max_iter - i
    """)
    command = rendered(plan, EvaluationContext(3, 10, metric=0.5, best=0.25))
    assert dict(command.options) == {
        "--n": 250,
        "--rate": 0.1 * 0.95**3,
        "--flag": True,
        "--kind": "adam",
        "--last": 0.5,
        "--best": 0.25,
        "--of": 7,
    }
    assert command.argv[2:6] == ("--n", "250", "--rate", str(0.1 * 0.95**3))


def test_the_file_of_the_metric_is_that_of_the_iteration(compiled: Compile) -> None:
    text = "stop: {{metric: mse, threshold: 0.1, executable: python check.py, read: {{{}}}}}"

    def named(plan: Plan) -> str | None:
        return metric_files(plan, plan.learners[0], EvaluationContext(3, 10), "/w", "/s").get("criterion")

    plan = compiled(text.format('file: "m-{iteration}.txt"'))
    assert named(plan) == "m-3.txt"
    assert named(compiled("parameters: {n: 7}\n" + text.format('file: "{shared}/m-{n}.txt"'))) == "/s/m-7.txt"
    assert named(compiled("")) is None
    assert named(compiled(text.format("json: a"))) is None
    criterion = plan.learners[0].criterion
    assert criterion is not None
    older = replace(criterion, reading=replace(criterion.reading, file="m-{x}.txt"))
    assert named(replace(plan, learners=(replace(plan.learners[0], criterion=older),))) == "m-{x}.txt"


def test_each_criterion_has_a_file_of_its_own(compiled: Compile) -> None:
    plan = compiled("""
        stop:
          any:
            - {metric: mse, threshold: 0.1, executable: python check.py}
            - {metric: mae, threshold: 0.1, executable: python check.py, read: {file: "m-{learner}.txt"}}
            - {metric: rmse, threshold: 0.1, executable: python check.py, read: {file: m.txt}}
    """)
    assert metric_files(plan, plan.learners[0], EvaluationContext(3, 10), "/w", "/s") == {
        "criterion-2": f"m-{plan.learners[0].name}.txt",
        "criterion-3": "m.txt",
    }


def test_an_attempt_is_the_first_of_the_first_replica_unless_it_says_so(compiled: Compile) -> None:
    given = rendered(compiled(""), paths=AttemptPaths("/w", "/r")).environment
    assert (given["ROSE_ATTEMPT"], given["ROSE_REPLICA"]) == ("1", "0")


def test_an_expression_without_a_value_says_so(compiled: Compile) -> None:
    plan = compiled("""
        stop: {metric: mse, threshold: 0.1, executable: python check.py}
        learners: [{simulation: {adaptive: {--n: 1 / metric if i > 0 else 1}}}]
    """)
    with pytest.raises(NoValueError, match="division by zero"):
        rendered(plan, EvaluationContext(3, 10, metric=0.0))
    with pytest.raises(NoValueError, match="no value yet"):
        rendered(plan, EvaluationContext(3, 10))


def test_a_line_for_a_shell_gets_arguments_and_options_quoted_at_its_end(compiled: Compile) -> None:
    plan = compiled("""
        tasks:
          simulation:
            {executable: "cat ${{HOME}}/x | sort", shell: true, args: ["a b"], options: {--n: "$(x)", --t: "it's"}}
    """)
    argv = ("/bin/sh", "-c", """cat ${HOME}/x | sort 'a b' --n '$(x)' --t 'it'"'"'s'""")
    assert rendered(plan).argv == argv


def test_arguments_go_to_the_last_command_of_a_block(compiled: Compile) -> None:
    plan = compiled("""
        tasks:
          simulation:
            executable: |
              set -e
              echo
            shell: true
            options: {--n: 5}
    """)
    assert rendered(plan).argv[2] == "set -e\necho --n 5"


def test_values_are_quoted_where_a_shell_reads_them(compiled: Compile) -> None:
    hostile = AttemptPaths(workspace="/a b/$(touch x)", result_file="/r")
    plan = compiled("""
        tasks: {simulation: {executable: "cd {workspace} && echo '{workspace}' \\"{workspace}\\"", shell: true}}
    """)
    line = "cd '/a b/$(touch x)' && echo '/a b/$(touch x)' \"/a b/\\$(touch x)\""
    assert rendered(plan, paths=hostile).argv == ("/bin/sh", "-c", line)
    plan = compiled("""
        tasks: {simulation: {executable: [bash, -o, pipefail, -c, "cd {workspace} && ls | sort", x, "{workspace}"]}}
    """)
    words = ("bash", "-o", "pipefail", "-c", "cd '/a b/$(touch x)' && ls | sort", "x", "/a b/$(touch x)")
    assert rendered(plan, paths=hostile).argv == words


@pytest.mark.parametrize(
    "command",
    [
        "{executable: \"eval 'cd {workspace}'\", shell: true}",
        "{executable: \"sh -c 'cd {workspace}'\", shell: true}",
        "{executable: [python, -c, \"print('{workspace}')\"]}",
    ],
)
def test_a_value_that_would_be_read_as_code_is_not_run(compiled: Compile, command: str) -> None:
    plan = compiled(f"tasks: {{simulation: {command}}}")
    rendered(plan)
    with pytest.raises(NoCommandError, match="would be read as code"):
        rendered(plan, paths=AttemptPaths(workspace="/a'b;touch x", result_file="/r"))


def test_a_line_for_a_shell_starts_its_ranks_by_itself(compiled: Compile) -> None:
    plan = compiled("tasks: {simulation: {executable: mpiexec -n 2 ./solver, shell: true, ranks: 2}}")
    assert rendered(plan).argv == ("/bin/sh", "-c", "mpiexec -n 2 ./solver")
    command = plan.learners[0].steps[0].otherwise
    assert (command.ranks, command.launched_ranks, command.resources.cores) == (2, 1, 2)


def test_ranks_are_started_by_a_launcher_or_by_the_pilot(compiled: Compile) -> None:
    plan = compiled("""
        engine: {kind: radical.pilot, resource: lab.cluster, project: p}
        tasks: {simulation: {executable: python sim.py, ranks: 2}}
    """)
    on_pilot = rendered(plan).argv
    assert on_pilot[0] != "mpiexec"
    local = replace(plan, engine=EnginePlan("local", 2, (), 5.0))
    assert rendered(local).argv == ("mpiexec", "-n", "2", *on_pilot)


def test_a_task_is_told_who_and_where_it_is(compiled: Compile, campaigns: Campaigns) -> None:
    plan = compiled("name: all\nlearners: [{name: a, seed: 7}]")
    assert dict(rendered(plan).environment) == {
        "ROSE_CAMPAIGN": "all",
        "ROSE_LEARNER": "a",
        "ROSE_LEARNER_INDEX": "0",
        "ROSE_ITERATION": "3",
        "ROSE_TASK": "simulation",
        "ROSE_ATTEMPT": "2",
        "ROSE_REPLICA": "1",
        "ROSE_REPLICA_INDEX": "1",
        "ROSE_SEED": "7",
        "ROSE_WORKSPACE": "/run/learners/a/workspace",
        "ROSE_CAMPAIGN_DIR": str(campaigns.folder),
        "ROSE_RESULT": "/run/result.json",
    }


def test_the_code_of_a_shell_may_stand_among_the_arguments(compiled: Compile) -> None:
    plan = compiled(
        """
        max_iter: 1
        tasks: {sim: {executable: bash, args: [-c, "echo {learner}"]}}
        learners: [{name: "a;touch pwned"}]
        """
    )
    assert rendered(plan).argv[1:] == ("-c", "echo 'a;touch pwned'")


def test_a_line_is_continued_where_it_ends_with_a_backslash(compiled: Compile) -> None:
    plan = compiled(r"""
        tasks: {simulation: {executable: "echo a \\\n", shell: true, options: {--n: 5}}}
    """)
    assert rendered(plan).argv[2] == "echo a \\\n --n 5"


def test_nothing_is_appended_where_it_would_be_lost(compiled: Compile) -> None:
    """Such a line is refused before a run; a plan that was edited by hand has it nevertheless."""
    plan = compiled("tasks: {simulation: {executable: echo, shell: true, options: {--n: 5}}}")

    def with_line(line: str, *, shell: bool, args: tuple[str, ...]) -> Command:
        learner = plan.learners[0]
        command = replace(learner.steps[0].otherwise, words=(line,), shell=shell, args=args, options={}, beside=())
        return render(plan, learner, "simulation", command, EvaluationContext(3, 10), PATHS)

    with pytest.raises(NoCommandError, match="cannot be appended"):
        with_line("echo # a", shell=True, args=("x",))
    assert with_line("echo # a", shell=True, args=()).argv == ("/bin/sh", "-c", "echo # a")
    assert with_line("echo a", shell=True, args=("x",)).argv == ("/bin/sh", "-c", "echo a x")
    assert with_line("echo # a", shell=False, args=("x",)).argv == ("echo # a", "x")


def test_a_file_named_by_a_placeholder_is_looked_up_for_each_learner(compiled: Compile, campaigns: Campaigns) -> None:
    plan = compiled("""
        tasks: {simulation: {executable: "python scripts/{learner}.py"}}
        learners: [{name: prepare}, {name: other}]
    """)
    for learner in plan.learners:
        command = learner.steps[0].otherwise
        assert command.beside is not None
        found = render(plan, learner, "simulation", replace(command, beside=(1,)), EvaluationContext(0, 1), PATHS)
        is_there = learner.name == "prepare"
        assert found.argv == ("python", f"{campaigns.folder}/scripts/prepare.py" if is_there else "scripts/other.py")


def test_the_reason_for_a_missing_value_is_kept() -> None:
    error = NoValueError("division by zero")
    assert (error.reason, str(error)) == ("division by zero", "an adaptive option has no value: division by zero")


def test_without_a_criterion_there_is_no_file_of_the_metric(compiled: Compile) -> None:
    plan = compiled("")
    assert plan.learners[0].criterion is None
    assert metric_files(plan, plan.learners[0], EvaluationContext(0, 1), "/w", "/s") == {}


def test_the_option_without_a_value_is_named() -> None:
    error = NoValueError("division by zero", "; what else", "--lr")
    assert (error.reason, str(error)) == (
        "division by zero",
        "the option '--lr' has no value: division by zero; what else",
    )

"""What a task inherits of a batch job's environment, and what describes it. The environments are recorded ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rose_cli.engine.base import Resources
from rose_cli.engine.batch import TaskEnvironment, described, inherited, portable

OF_THE_JOB = {
    "SLURMD_NODENAME": "n1",
    "SLURM_CLUSTER_NAME": "rosetest",
    "SLURM_CONF": "/etc/slurm/slurm.conf",
    "SLURM_JOBID": "7",
    "SLURM_JOB_CPUS_PER_NODE": "8(x2)",
    "SLURM_JOB_GID": "0",
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "campaign",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_JOB_PARTITION": "debug",
    "SLURM_NODELIST": "n[1-2]",
    "SLURM_RESTART_COUNT": "1",
    "SLURM_SUBMIT_DIR": "/home/ann",
    "SLURM_TOPOLOGY_ADDR": "n1",
    "SLURM_WORKING_CLUSTER": "rosetest:127.0.0.1:6817:9728:109",
}

OF_ITS_PROCESSES = {
    "SLURM_CPUS_ON_NODE": "8",
    "SLURM_CPUS_PER_TASK": "4",
    "SLURM_GPUS_ON_NODE": "2",
    "SLURM_GPUS_PER_NODE": "2",
    "SLURM_GTIDS": "0",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_LOCALID": "0",
    "SLURM_MEM_PER_CPU": "500",
    "SLURM_NNODES": "2",
    "SLURM_NODEID": "0",
    "SLURM_NPROCS": "4",
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_OPEN_MODE": "a",
    "SLURM_PRIO_PROCESS": "0",
    "SLURM_PROCID": "0",
    "SLURM_TASKS_PER_NODE": "2(x2)",
    "SLURM_TASK_PID": "29917",
    "SLURM_TRES_PER_TASK": "cpu=4",
    "SLURM_NTASKS_HET_GROUP_0": "2",
}

OF_ITS_STEP = {
    "SLURM_CPU_BIND": "quiet,mask_cpu:0x3",
    "SLURM_CPU_BIND_LIST": "0x3",
    "SLURM_CPU_BIND_TYPE": "mask_cpu:",
    "SLURM_DISTRIBUTION": "cyclic",
    "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1",
    "SLURM_SRUN_COMM_HOST": "127.0.0.1",
    "SLURM_SRUN_COMM_PORT": "41043",
    "SLURM_STEPID": "0",
    "SLURM_STEP_GPUS": "0,1",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "n1",
    "SLURM_STEP_NUM_TASKS": "1",
    "SLURM_UMASK": "0022",
    "SRUN_CPUS_PER_TASK": "4",
    "SRUN_DEBUG": "3",
    "PMI_FD": "11",
    "PMI_JOBID": "1.1",
    "PMI_RANK": "0",
    "PMI_SIZE": "1",
}

OF_USERS = {
    "PATH": "/usr/bin",
    "OMP_NUM_THREADS": "2",
    "SLURM_MPI_TYPE": "pmix",
    "SLURM_HINT": "nomultithread",
    "OMPI_MCA_btl": "^openib",
    "OMPI_MCA_orte_base_help_aggregate": "0",
    "OMPI_MCA_essential": "1",
    "OMPI_CC": "clang",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "PMIX_MCA_gds": "hash",
    "PMIX_PREFIX": "/opt/openmpi",
    "PALS_CPU_BIND": "none",
    "PMI_MMAP_SYNC_WAIT_TIME": "300",
    "I_MPI_ROOT": "/opt/intel",
    "MPIR_CVAR_CH4_NETMOD": "ofi",
    "MV2_SMP_USE_CMA": "0",
}

BATCH = {**OF_THE_JOB, **OF_ITS_PROCESSES, **OF_USERS}


def test_a_task_inherits_its_job_and_not_the_jobs_processes() -> None:
    assert inherited(BATCH) == {**OF_THE_JOB, **OF_USERS}


def test_a_task_does_not_inherit_the_step_that_rose_is() -> None:
    assert inherited({**BATCH, **OF_ITS_STEP}) == {**OF_THE_JOB, **OF_USERS}


def test_a_binding_that_a_user_sets_for_the_whole_job_stays() -> None:
    assert inherited({**BATCH, "SLURM_CPU_BIND": "cores"})["SLURM_CPU_BIND"] == "cores"


OF_LAUNCHERS = {
    "mpich": """
        PMI_FD PMI_RANK PMI_SIZE PMI_HOSTNAME HYDI_CONTROL_FD MPI_LOCALNRANKS MPI_LOCALRANKID
        MPIR_CVAR_CH3_INTERFACE_HOSTNAME
    """,
    "intel": """
        HYDRA_BSTRAP_NODE_ID HYDRA_LAUNCH_TYPE I_MPI_INFO_NP I_MPI_PIN_INFO I_MPI_PIN_MAPPING I_MPI_HYDRA_UUID
        I_MPI_INTERNAL_MEM_POLICY
    """,
    "openmpi-4": """
        OMPI_APP_CTX_NUM_PROCS OMPI_COMMAND OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_LOCAL_SIZE OMPI_FILE_LOCATION
        OMPI_FIRST_RANKS OMPI_MCA_ess OMPI_MCA_ess_base_jobid OMPI_MCA_initial_wdir OMPI_MCA_orte_hnp_uri
        OMPI_MCA_orte_local_daemon_uri OMPI_MCA_pmix OMPI_NUM_APP_CTX OMPI_UNIVERSE_SIZE PMIX_ID PMIX_NAMESPACE
        PMIX_RANK PMIX_SERVER_URI2 PMIX_SERVER_TMPDIR PMIX_VERSION
    """,
    "openmpi-5": """
        OMPI_ARGV OMPI_WORLD_SIZE OMPI_MCA_num_procs OMPI_TOOL_NAME PRTE_LAUNCHED PMIX_SERVER_URI41 PMIX_HOSTNAME
    """,
    "pbs": "PBS_TASKNUM PBS_NODENUM PBS_VNODENUM PBS_NP PBS_NUM_PPN NCPUS",
    "flux": "FLUX_TASK_RANK FLUX_TASK_LOCAL_ID FLUX_JOB_SIZE FLUX_JOB_NNODES",
    "others": "JSM_NAMESPACE_RANK LSF_PM_TASKID LS_JOBPID PALS_RANKID MV2_COMM_WORLD_RANK PMI2_RANK",
}


@pytest.mark.parametrize("launcher", OF_LAUNCHERS)
def test_nothing_that_a_launcher_gave_rose_reaches_a_task(launcher: str) -> None:
    assert inherited(dict.fromkeys(OF_LAUNCHERS[launcher].split(), "1")) == {}


def test_outside_of_a_job_nothing_changes() -> None:
    assert TaskEnvironment(OF_USERS, 8).of(Resources(), 1) == OF_USERS


def test_on_another_node_nothing_of_this_one_is_inherited() -> None:
    assert portable({**BATCH, **OF_ITS_STEP, "HOSTNAME": "login", "PBS_JOBID": "1"}) == {
        name: value for name, value in OF_USERS.items() if not name.startswith(("SLURM", "OMPI", "PMI"))
    }


def test_a_task_of_one_core_is_described_as_that() -> None:
    assert described(BATCH, Resources(cores=1), 1, alone=False) == {
        "SLURM_CPUS_ON_NODE": "1",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_EXACT": "1",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_MEM_PER_CPU": "500",
        "SLURM_NNODES": "1",
        "SLURM_NPROCS": "1",
        "SLURM_NTASKS": "1",
        "SLURM_STEP_GRES": "none",
        "SLURM_TASKS_PER_NODE": "1",
    }


def test_ranks_cores_gpus_and_memory_are_those_of_the_campaign() -> None:
    found = described(BATCH, Resources(cores=4, gpus=2, memory_mb=3000), 2, alone=False)
    shape = {name: found[f"SLURM_{name}"] for name in ("NTASKS", "CPUS_PER_TASK", "GPUS_PER_TASK", "MEM_PER_CPU")}
    assert shape == {"NTASKS": "2", "CPUS_PER_TASK": "2", "GPUS_PER_TASK": "1", "MEM_PER_CPU": "750"}
    assert found["SRUN_CPUS_PER_TASK"] == "2"
    assert "SLURM_STEP_GRES" not in found


PER_NODE = {name: value for name, value in BATCH.items() if name != "SLURM_MEM_PER_CPU"} | {
    "SLURM_MEM_PER_NODE": "4000"
}


@pytest.mark.parametrize(
    ("environment", "megabytes", "expected"),
    [
        (BATCH, 0, {"SLURM_MEM_PER_CPU": "500"}),
        (BATCH, 1000, {"SLURM_MEM_PER_CPU": "500"}),
        (PER_NODE, 0, {"SLURM_MEM_PER_NODE": "0"}),
        (PER_NODE, 1000, {"SLURM_MEM_PER_NODE": "1000"}),
        ({"SLURM_JOB_ID": "7"}, 1000, {}),
    ],
)
def test_memory_is_told_as_the_job_has_it(
    environment: dict[str, str], megabytes: int, expected: dict[str, str]
) -> None:
    """`srun` refuses to be told of two kinds, and a job that the task submits has one of its own."""
    found = described(environment, Resources(cores=2, memory_mb=megabytes), 1, alone=False)
    assert {name: value for name, value in found.items() if "_MEM_" in name} == expected


def test_only_in_a_job_with_gpus_is_a_step_told_to_take_none() -> None:
    assert "SLURM_STEP_GRES" not in described({"SLURM_JOB_ID": "7"}, Resources(), 1, alone=False)


def test_more_ranks_than_a_node_has_cores_are_not_tied_to_one_node() -> None:
    found = described(PER_NODE, Resources(cores=16, memory_mb=1600), 16, alone=True)
    assert found["SLURM_NTASKS"] == "16"
    assert found["SLURM_MEM_PER_CPU"] == "100"
    assert not {"SLURM_NNODES", "SLURM_JOB_NUM_NODES", "SLURM_TASKS_PER_NODE", "SLURM_MEM_PER_NODE"} & set(found)


def test_steps_of_tasks_share_the_cores_of_the_step_that_rose_is() -> None:
    found = described({**BATCH, **OF_ITS_STEP}, Resources(), 1, alone=False)
    assert (found["SLURM_OVERLAP"], found["SLURM_CPU_BIND"]) == ("1", "none")
    assert "SLURM_EXACT" not in found
    for memory in ("SLURM_MEM_PER_CPU", "SLURM_MEM_PER_NODE"):  # as Slurm sets it by DefMemPerCPU, or --mem
        found = described({**OF_ITS_STEP, "SLURM_JOB_ID": "7", memory: "500"}, Resources(), 1, alone=False)
        assert found["SLURM_MEM_PER_NODE"] == "0", "the step of rose holds all of it"
        assert "SLURM_MEM_PER_CPU" not in found


LAUNCHERS = {
    "HYDRA_LAUNCHER": "fork",
    "HYDRA_RMK": "user",
    "I_MPI_HYDRA_BOOTSTRAP": "fork",
    "I_MPI_HYDRA_HOSTS_GROUP": "localhost",
    "OMPI_MCA_plm": "isolated",
    "OMPI_MCA_ras": "^slurm,tm,lsf,gridengine,alps",
    "PRTE_MCA_plm": "ssh",
    "PRTE_MCA_ras": "^slurm,pbs,lsf,gridengine,flux",
}

AS_COUNTED = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}

NOT_BOUND = {
    "I_MPI_PIN": "off",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "MV2_ENABLE_AFFINITY": "0",
    "MVP_ENABLE_AFFINITY": "0",
}


def of_launchers(environment: dict[str, str], cores: int, *, ranks: int = 2, engine: int = 8) -> dict[str, str]:
    found = TaskEnvironment(environment, engine).of(Resources(cores=cores), ranks)
    return {name: value for name, value in found.items() if name in LAUNCHERS | AS_COUNTED | NOT_BOUND}


@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_URI"])
def test_in_a_job_launchers_start_ranks_as_their_own_children_and_unbound(name: str) -> None:
    assert of_launchers({name: "7"}, 2) == {**LAUNCHERS, **AS_COUNTED, **NOT_BOUND}


def test_ranks_that_have_the_machine_to_themselves_may_be_bound() -> None:
    assert of_launchers({"SLURM_JOB_ID": "7"}, 8) == {**LAUNCHERS, **AS_COUNTED}
    assert of_launchers({}, 8) == AS_COUNTED


def test_outside_of_a_job_ranks_are_only_not_bound_and_not_counted_again() -> None:
    assert of_launchers({}, 2) == {**AS_COUNTED, **NOT_BOUND}


def test_a_users_own_setting_of_a_launcher_stays() -> None:
    own = {"HYDRA_LAUNCHER": "ssh", "OMPI_MCA_plm": "rsh", "I_MPI_PIN": "on"}
    assert of_launchers({"SLURM_JOB_ID": "7", **own}, 2) == {**LAUNCHERS, **AS_COUNTED, **NOT_BOUND, **own}


def test_tasks_without_ranks_are_told_nothing_of_launchers() -> None:
    assert of_launchers({"SLURM_JOB_ID": "7"}, 4, ranks=1) == {}


def test_pbs_and_lsf_count_the_tasks_cores() -> None:
    pbs = {"PBS_JOBID": "1.head", "NCPUS": "16", "OMP_NUM_THREADS": "16"}
    found = TaskEnvironment(pbs, 16).of(Resources(cores=4), 2)
    assert (found["NCPUS"], found["OMP_NUM_THREADS"]) == ("2", "2")
    assert TaskEnvironment({**pbs, "OMP_NUM_THREADS": "8"}, 16).of(Resources(), 1)["OMP_NUM_THREADS"] == "8"
    lsf = {"LSB_JOBID": "1", "LSB_DJOB_NUMPROC": "16"}
    assert TaskEnvironment(lsf, 16).of(Resources(cores=4), 1)["LSB_DJOB_NUMPROC"] == "4"


def test_without_a_job_nothing_of_slurm_is_loaded() -> None:
    program = (
        "import sys; from rose_cli.engine.batch import inherited; inherited({'PATH': ''}); "
        "print([name for name in sys.modules if 'slurm' in name])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"

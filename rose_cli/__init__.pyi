from rose_cli.api.campaign import Campaign as Campaign
from rose_cli.api.campaign import load as load
from rose_cli.api.campaign import problems as problems
from rose_cli.api.decisions import Decision as Decision
from rose_cli.api.decisions import TaskChange as TaskChange
from rose_cli.api.iteration import Iteration as Iteration
from rose_cli.api.results import Best as Best
from rose_cli.api.results import Learner as Learner
from rose_cli.api.results import LearnerResult as LearnerResult
from rose_cli.api.running import Run as Run
from rose_cli.api.running import RunningRun as RunningRun
from rose_cli.api.running import open_run as open_run
from rose_cli.api.table import Table as Table
from rose_cli.journal.state import Status as Status
from rose_cli.util.errors import CampaignError as CampaignError
from rose_cli.util.errors import Diagnostic as Diagnostic
from rose_cli.util.errors import EngineError as EngineError
from rose_cli.util.errors import RoseError as RoseError
from rose_cli.util.errors import RunDirectoryError as RunDirectoryError
from rose_cli.util.errors import UsageError as UsageError

__version__: str
COMMAND_NAMES: tuple[str, ...]

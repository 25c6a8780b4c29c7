"""The name of what belongs to a campaign as a whole and to none of its learners."""

SHARED = ""
"""In place of a learner's name in plans, journals and paths: no learner has this name."""

CAMPAIGN = "campaign"
"""The same where people see and write it."""


def shown_name(learner: str) -> str:
    return learner or CAMPAIGN


def quoted_name(learner: str) -> str:
    return f"learner '{learner}'" if learner != SHARED else "the campaign"


def part_of(iteration: int) -> str:
    """What an iteration of the campaign is: its setup, or a finish."""
    return "finish" if iteration else "setup"

"""The name of what belongs to a campaign as a whole and to none of its learners."""

SHARED = ""
"""In place of a learner's name in plans, journals and paths: no learner has this name."""

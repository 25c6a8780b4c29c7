"""Upstream ROSE's classes on top of rose: a script's learners become a campaign, its functions the tasks."""

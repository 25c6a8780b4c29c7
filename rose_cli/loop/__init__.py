"""The running of a campaign: learners, iterations, steps, attempts."""

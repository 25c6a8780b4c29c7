"""The running: learners, iterations, steps, attempts."""

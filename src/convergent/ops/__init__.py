"""Looking at a study from outside: how far it is, whether it can run, whether its files are sound.

Nothing here computes results: plan, status, doctor, verify and gc are a module each, so that the
first imports no array library.
"""

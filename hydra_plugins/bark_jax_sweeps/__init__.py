"""Hydra plugins: `hydra/sweeper=points` and `hydra/launcher=vectorized`.

Both talk to the task function alone, through its attribute `points` (an object with the methods
of `Points` below), and know nothing of audio.
"""

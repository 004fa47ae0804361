"""Hydra plugins: `hydra/sweeper=points` and `hydra/launcher=vectorized`.

Both use only the task function's attribute `points` (an object with the methods of
`protocol.Points`), and know nothing of audio.
"""

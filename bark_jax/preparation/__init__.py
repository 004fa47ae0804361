"""From recordings, or from a model's own speech, to the records that training reads."""

"""Training records under the name that the documentation first gave them; see `bark_jax.data`."""

from bark_jax.data.records import Record, RecordSource, open_source, write_shards

__all__ = ["Record", "RecordSource", "open_source", "write_shards"]

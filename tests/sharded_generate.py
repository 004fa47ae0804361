"""Run by test_sharding.py in processes of their own, since the number of devices is fixed at start.

python -m tests.sharded_generate DEVICES DATA MODEL OUT [PROCESS N_PROCESSES PORT]
"""

import dataclasses
import sys

import jax
import numpy as np

SHORT = {"semantic": {"max_duration_s": 0.5}}


def main(devices: int, data: int, model: int, out: str, process: int, count: int, port: int):
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    if count > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=count, process_id=process)
    from bark_jax import Bark

    mesh = None
    if data * model > 1:
        mesh = jax.make_mesh((data, model), ("data", "model"))
    bark = Bark.from_pretrained("untrained", mesh=mesh)
    if mesh is not None:
        execution = bark.runner.execution
        # so small that the cache grows on the way
        small = dataclasses.replace(execution.platform, first_slots=60)
        execution = dataclasses.replace(execution, platform=small)
        bark.runner = dataclasses.replace(bark.runner, execution=execution)
    texts = ["one", "two", "three and four", "five", "six", "seven", "eight", "nine"]
    rows = bark.generate(texts, seed=list(range(8)), sampling=SHORT)
    np.savez(
        out,
        **{f"fine{i}": row.fine for i, row in enumerate(rows)},
        **{f"audio{i}": row.audio for i, row in enumerate(rows)},
    )
    with bark.runner.params["semantic"].on_device() as params:
        weight = params["h"]["0"]["mlp"]["c_fc"]["weight"]
        share = weight.addressable_shards[0].data.size / weight.size
    print(f"share of a weight per device: {share}")
    if count > 1:
        jax.distributed.shutdown()


if __name__ == "__main__":
    args = sys.argv[1:]
    main(*map(int, args[:3]), args[3], *(map(int, args[4:7]) if len(args) > 4 else (0, 1, 0)))

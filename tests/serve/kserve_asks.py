"""KServe's client as a program: every saved case asked in every form; run without our packages.

``python -I -S kserve_asks.py PACKAGES URL CASES ANSWERS``: where kserve is installed, the daemon,
``MODEL.npz`` of the inputs of each model, where ``MODEL.npz`` of the answers go.
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import kserve
import numpy as np
from kserve.protocol.infer_type import RequestedOutput

DATATYPES = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}


def inputs_of(case: Path, binary: bool) -> list[kserve.InferInput]:
    """All inputs the one way; where there are two, the second goes the other way."""
    found = []
    for index, (name, array) in enumerate(np.load(case).items()):
        found.append(kserve.InferInput(name, list(array.shape), DATATYPES[str(array.dtype)]))
        found[-1].set_data_from_numpy(array, binary_data=binary == (index % 2 == 0))
    return found


async def ask(url: str, cases: Path, answers: Path) -> None:
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", timeout=60))
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    for case in sorted(cases.glob("*.npz")):
        assert await client.is_model_ready(url, case.stem)
        found = {}
        for binary_in in (False, True):
            for binary_out in (False, True):
                request = kserve.InferRequest(
                    model_name=case.stem,
                    infer_inputs=inputs_of(case, binary_in),
                    request_outputs=[RequestedOutput("logits", {"binary_data": binary_out})],
                )
                reply = await client.infer(url, request, model_name=case.stem)
                found[f"{binary_in} {binary_out}"] = reply.outputs[0].as_numpy()
        np.savez(answers / case.name, **found)
    await client.close()


asyncio.run(ask(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))

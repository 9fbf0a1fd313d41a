"""What the service's values refuse to be."""

import pytest

from prism_edge.serve.service import Readiness, TensorInfo


def test_a_tensor_has_a_datatype_of_the_protocol() -> None:
    assert TensorInfo(name="x", datatype="FP16", shape=(-1, 0, 3)).shape == (-1, 0, 3)
    with pytest.raises(ValueError, match="tensor x: datatype 'float32' is none of BOOL, UINT8"):
        TensorInfo(name="x", datatype="float32", shape=())
    with pytest.raises(ValueError, match=r"tensor x: shape \[-2\] has a size below -1"):
        TensorInfo(name="x", datatype="FP32", shape=(-2,))


def test_not_ready_always_has_a_reason() -> None:
    assert Readiness(ready=True).reason is None
    with pytest.raises(ValueError, match="gives a reason"):
        Readiness(ready=False)

"""Every way of staging delivers the same bytes; one that does not is found out and replaced."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from prism_edge.errors import SettingsError
from prism_edge.tables.staging_rule import PATHS, StagingRule
from prism_edge.transport.mapped import Mapped, kernel_copy
from prism_edge.transport.staging import HOST, WAYS, Plain, fault, staging_of, working_rule

CPU = torch.device("cpu")
SIZES = (0, 1, 7, 8, 4096, 65_537, 1 << 20, 16 << 20)


def noise(size: int, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (size,), dtype=torch.uint8, generator=source)


# -- on a CPU ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES[:-1])
def test_on_a_cpu_bytes_arrive_and_nothing_else_happens(size: int) -> None:
    payload, out = noise(size), HOST.empty(16 + size)[16:]
    HOST.to_host(payload, out)
    assert torch.equal(out, payload)
    assert HOST.to_device(out) is out  # the same memory: it costs nothing


def test_a_cpu_stages_nothing_whatever_the_rule() -> None:
    for rule in ("gloo", "mapped", "mapped:65536,pinned"):
        assert staging_of(StagingRule.parse(rule), CPU) is HOST


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(SettingsError, match="'fast': expected one of auto"):
        working_rule("fast", CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a way that fails where there is no CUDA")
def test_a_way_that_the_machine_lacks_is_replaced_with_the_reason() -> None:
    rule, why = working_rule("mapped:65536,pinned", CPU)
    assert str(rule) == "gloo"
    assert why is not None
    assert why.startswith("mapped: torch.cuda.Stream requires CUDA support; pinned: ")


class Forgetful(Plain):
    """A way that returns before any byte is there."""

    def to_host(self, payload: Tensor, out: Tensor) -> None:
        pass


class Flipped(Plain):
    """A way that changes one byte."""

    def to_device(self, payload: Tensor) -> Tensor:
        found = payload.clone()
        found[-1] ^= 1
        return found


class Refusing(Plain):
    """A way that the machine does not have."""

    def empty(self, size: int) -> Tensor:
        raise RuntimeError("pinned memory\nneeds a driver")


def test_a_way_is_tried_both_ways_before_use() -> None:
    assert fault(Plain, CPU) is None
    assert fault(Forgetful, CPU) == "what the device wrote did not arrive in host memory"
    assert fault(Flipped, CPU) == "what the host wrote did not arrive on the device"
    assert fault(Refusing, CPU) == "pinned memory"


@given(
    size=st.integers(0, 200),
    offsets=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    seed=st.integers(0, 99),
)
def test_a_copy_by_kernel_is_exact_at_any_offset(
    size: int, offsets: tuple[int, int], seed: int
) -> None:
    source = noise(offsets[0] + size, seed)[offsets[0] :]
    whole = noise(offsets[1] + size + 3, seed + 1)
    before = whole.clone()
    kernel_copy(source, whole[offsets[1] : offsets[1] + size])
    assert torch.equal(whole[offsets[1] : offsets[1] + size], source)
    assert torch.equal(whole[: offsets[1]], before[: offsets[1]])  # and not a byte beside it
    assert torch.equal(whole[offsets[1] + size :], before[offsets[1] + size :])


# -- law 14 on a GPU ---------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("path", PATHS)
def test_every_way_passes_its_test_on_this_gpu(path: str) -> None:
    assert fault(WAYS[path], torch.device("cuda", 0)) is None


@pytest.mark.gpu
@pytest.mark.parametrize("rule", [*PATHS, "mapped:4096,pinned", "pinned:4096,mapped:65600,gloo"])
@pytest.mark.parametrize("size", SIZES[1:])
def test_every_way_delivers_the_same_bytes(rule: str, size: int) -> None:
    device = torch.device("cuda", 0)
    way = staging_of(StagingRule.parse(rule), device)
    buffer = way.empty(16 + (1 << (size - 1).bit_length()))
    out = buffer[16 : 16 + size]
    for seed in range(3):  # buffers are used again and again
        payload = noise(size, seed)
        way.to_host(payload.to(device), out)
        assert torch.equal(out, payload)
        arrived = way.to_device(out)
        out.fill_(0)  # the next message may come at once
        assert torch.equal(arrived.cpu(), payload)
        way.to_host(payload, out)  # a header comes from host memory
        assert torch.equal(out, payload)


@pytest.mark.gpu
@pytest.mark.parametrize("path", PATHS)
def test_a_message_waits_for_the_kernels_that_make_it(path: str) -> None:
    """Long work is queued, its result sent at once: the bytes are those of its end."""
    device = torch.device("cuda", 0)
    way = staging_of(StagingRule.parse(path), device)
    out = way.empty(16 + 4 * 1024)[16:]
    rows = torch.eye(1024, device=device)
    for _ in range(200):
        rows = rows @ torch.eye(1024, device=device)
    way.to_host((rows.sum(dim=0) * 3).view(torch.uint8), out)
    assert torch.equal(out.view(torch.float32), torch.full((1024,), 3.0))


@pytest.mark.gpu
@pytest.mark.parametrize("path", PATHS)
def test_what_arrived_is_not_overwritten_while_it_is_still_read(path: str) -> None:
    """Many arrivals are dropped while kernels that read them wait their turn."""
    device = torch.device("cuda", 0)
    way = staging_of(StagingRule.parse(path), device)
    host = way.empty(4096)
    heavy = torch.ones(2048, 2048, device=device)
    sums = []
    for number in range(50):
        host.fill_(number)
        arrived = way.to_device(host)
        heavy = (heavy @ heavy).clamp(max=1.0)
        sums.append((arrived.float() * heavy[0, 0]).sum())
    assert [int(total) for total in sums] == [4096 * number for number in range(50)]


@pytest.mark.gpu
def test_mapped_memory_is_one_memory() -> None:
    """No copy hides behind the view: what the device writes is there without a transfer."""
    way = Mapped(torch.device("cuda", 0))
    host = way.empty(4096)
    view = way.on_device(host)
    assert view.is_cuda
    assert host.is_pinned()
    assert view.data_ptr() == host.data_ptr()
    view.fill_(7)
    torch.cuda.synchronize()
    assert bool((host == 7).all())

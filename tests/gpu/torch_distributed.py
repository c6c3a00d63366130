#!/usr/bin/env python3
"""torch.distributed as its users write it: collectives and a small DDP training, every result checked exactly.

Started by torchrun; all ranks use GPU 0:

    NCCL_NET=Weft NCCL_NET_PLUGIN=/abs/libnccl-net-weft.so torchrun --nproc-per-node 4 torch_distributed.py

torch_check.py does that for both transports and proves which way the bytes went. --backend gloo runs the same on CPUs,
to try the script itself. Rank 0 prints one JSON line per check and a last one with the sums; exit status 1 if any
element is wrong on any rank.
"""

import argparse
import json
import os
import statistics
import sys
import time

RANK = int(os.environ.get("RANK", "-1"))
WORLD = int(os.environ.get("WORLD_SIZE", "0"))
if RANK >= 0:
    # Makes every rank a node of its own, so that NCCL takes the network between them; read when NCCL starts.
    os.environ.setdefault("NCCL_HOSTID", f"r{RANK}")

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402

# Largest absolute value of an element, so that the sum of eight is exact in any order (as in element.h).
EXACT_LIMIT = {
    torch.float16: 2**11 // 8,
    torch.bfloat16: 2**8 // 8,
    torch.float32: 2**24 // 8,
    torch.float64: 2**53 // 8,
    torch.int8: 16,
    torch.uint8: 32,
    torch.int32: 2**31 // 8,
    torch.int64: 2**62 // 8,
}
MAIN_TYPE = torch.float32


def numbers(count, dtype, rank, seed):
    """Element i of a rank's input, as int64 on the CPU; every rank can make every other's."""
    generator = torch.Generator().manual_seed(seed * 1000 + rank)
    limit = EXACT_LIMIT[dtype]
    low = 0 if dtype == torch.uint8 else 1 - limit
    return torch.randint(low, limit, (count,), generator=generator, dtype=torch.int64)


class Checks:
    """Runs one collective several times and compares every element with the right answer."""

    def __init__(self, device, iterations):
        self.device = device
        self.iterations = iterations
        self.total_wrong = 0
        self.count = 0
        self.seed = 0

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def run(self, name, dtype, byte_count, prepare, operate, expected):
        times, wrong = [], 0
        # Making the right answers of large buffers on the CPU takes longer than the operations.
        iterations = self.iterations if byte_count < 2**22 else min(self.iterations, 2)
        for iteration in range(iterations + 1):
            self.seed += 1
            buffers = prepare(self.seed)
            self.synchronize()
            dist.barrier()
            start = time.perf_counter()
            operate(*buffers)
            self.synchronize()
            if iteration > 0:
                times.append((time.perf_counter() - start) * 1e6)
            right = expected(self.seed)
            # Compared on the CPU, byte for byte: -0.0 is not 0.0 here.
            output = buffers[0].cpu().contiguous().view(torch.uint8)
            wrong += int((output != right.to(dtype).contiguous().view(torch.uint8)).sum())
        self.report(name, str(dtype).removeprefix("torch."), byte_count, wrong, statistics.median(times))

    def report(self, name, type_name, byte_count, wrong, median_us):
        """Sums the wrong bytes of all ranks; takes the slowest rank's time."""
        sums = torch.tensor([wrong], dtype=torch.int64, device=self.device)
        slowest = torch.tensor([median_us or 0.0], dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
        self.total_wrong += int(sums.item())
        self.count += 1
        if RANK == 0:
            print(json.dumps({"check": name, "type": type_name, "bytes": byte_count, "ranks": WORLD,
                              "wrong_bytes": int(sums.item()),
                              "median_us": None if median_us is None else round(slowest.item(), 1)}), flush=True)


def check_collectives(checks, sizes, dtypes):
    device = checks.device
    for dtype in dtypes:
        for size in sizes if dtype == MAIN_TYPE else [s for s in sizes if 1000 < s <= 2**20][:2]:
            item = torch.empty(0, dtype=dtype).element_size()
            block = max(1, size // item // WORLD)
            count = block * WORLD

            def poisoned():
                return torch.full((count,), 77, dtype=dtype, device=device)

            def own(n, seed):
                return numbers(n, dtype, RANK, seed).to(dtype).to(device)

            checks.run("all_reduce", dtype, count * item,
                       lambda seed: (own(count, seed),),
                       lambda tensor: dist.all_reduce(tensor),
                       lambda seed: sum(numbers(count, dtype, r, seed) for r in range(WORLD)))
            checks.run("all_gather_into_tensor", dtype, count * item,
                       lambda seed: (poisoned(), own(block, seed)),
                       lambda output, tensor: dist.all_gather_into_tensor(output, tensor),
                       lambda seed: torch.cat([numbers(block, dtype, r, seed) for r in range(WORLD)]))
            checks.run("all_to_all_single", dtype, count * item,
                       lambda seed: (poisoned(), own(count, seed)),
                       lambda output, tensor: dist.all_to_all_single(output, tensor),
                       lambda seed: torch.cat([numbers(count, dtype, r, seed)[RANK * block:(RANK + 1) * block]
                                               for r in range(WORLD)]))


def make_model(seed):
    """Small integers for weights: with power-of-two learning rate and world size, float64 holds every step exactly."""
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8)).to(torch.float64)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randint(-2, 3, parameter.shape, generator=generator))
    return model


def batch(rank, step):
    generator = torch.Generator().manual_seed(10_000 + 100 * step + rank)
    shape_in, shape_out = (4, 16), (4, 8)
    return (torch.randint(-2, 3, shape_in, generator=generator).to(torch.float64),
            torch.randint(-2, 3, shape_out, generator=generator).to(torch.float64))


def loss_of(model, data, target):
    return (model(data) * target).sum()


def check_ddp(checks, steps):
    """Gradients and weights of DDP, equal on all ranks and to one process that sees every rank's batch.

    The loss is linear in the output and every number a small multiple of a power of two, so there is no rounding
    anywhere and the comparison is exact. DDP divides by the number of ranks: that must be a power of two.
    """
    reference = make_model(1)
    reference_optimizer = torch.optim.SGD(reference.parameters(), lr=2.0**-6)
    # Rank-dependent at first: DDP must send rank 0's weights to all.
    model = make_model(1 + RANK).to(checks.device)
    ddp = DistributedDataParallel(model, device_ids=[0] if checks.device.type == "cuda" else None,
                                  bucket_cap_mb=0.001)  # several buckets
    optimizer = torch.optim.SGD(ddp.parameters(), lr=2.0**-6)
    for step in range(steps):
        optimizer.zero_grad()
        data, target = (tensor.to(checks.device) for tensor in batch(RANK, step))
        loss_of(ddp, data, target).backward()

        reference_optimizer.zero_grad()
        (sum(loss_of(reference, *batch(rank, step)) for rank in range(WORLD)) / WORLD).backward()

        def compare(name, pairs):
            wrong = byte_count = 0
            for ours, right in pairs:
                everyone = [torch.empty_like(ours) for _ in range(WORLD)]
                dist.all_gather(everyone, ours.contiguous())
                byte_count += ours.numel() * ours.element_size()
                for tensor in everyone:
                    # Adding 0.0 makes zeros alike: a sum's sign of zero depends on the order.
                    wrong += int(((tensor.cpu() + 0.0).view(torch.uint8) != (right + 0.0).view(torch.uint8)).sum())
            checks.report(f"ddp_{name}_step{step}", "float64", byte_count, wrong, None)

        if not any(bool(parameter.grad.abs().sum() > 0) for parameter in reference.parameters()):
            raise RuntimeError("the reference has no gradient, so this check would prove nothing")
        compare("gradients", [(p.grad, r.grad) for p, r in zip(ddp.parameters(), reference.parameters())])
        optimizer.step()
        reference_optimizer.step()
        compare("weights", [(p.detach(), r.detach()) for p, r in zip(ddp.parameters(), reference.parameters())])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["nccl", "gloo"], default="nccl")
    parser.add_argument("--sizes", default="8,4096,65544,1048576,16777216,67108864", help="bytes, comma list")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--ddp-steps", type=int, default=4)
    arguments = parser.parse_args()
    if RANK < 0 or WORLD < 2:
        parser.error("start this with torchrun --nproc-per-node N (N at least 2); torch_check.py does it for you")

    device = torch.device("cuda", 0) if arguments.backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(arguments.backend)
    checks = Checks(device, arguments.iterations)
    check_collectives(checks, [int(size) for size in arguments.sizes.split(",")], list(EXACT_LIMIT))
    if WORLD & (WORLD - 1) == 0:
        check_ddp(checks, arguments.ddp_steps)
    elif RANK == 0:
        print(json.dumps({"skipped": f"DDP: {WORLD} ranks are no power of two, so its mean is not exact"}), flush=True)
    if RANK == 0:
        nccl = ".".join(map(str, torch.cuda.nccl.version())) if device.type == "cuda" else None
        print(json.dumps({"checks": checks.count, "wrong_bytes": checks.total_wrong, "ranks": WORLD,
                          "torch": torch.__version__, "nccl": nccl}), flush=True)
    dist.destroy_process_group()
    return 0 if checks.total_wrong == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

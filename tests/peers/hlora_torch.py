"""One layer with H-LoRA in PyTorch on the CPU: plain, H-LoRA, and the loop over experts, in turns; least of several rounds."""
import time

import torch

ROWS, WIDTH, ROUNDS = 9216, 3072, 15


def variants(rank, experts):
    w, a = torch.randn(ROWS, WIDTH), torch.randn(rank, WIDTH)
    b, route = torch.randn(ROWS, rank), torch.randn(experts, WIDTH)
    own = rank // experts

    def plain(x):
        return x @ w.T

    def merged(x):
        gates = torch.softmax(x @ route.T, -1).repeat_interleave(own, -1)
        return x @ w.T + ((x @ a.T) * 8 * gates) @ b.T

    def looped(x):
        y, gates = x @ w.T, torch.softmax(x @ route.T, -1)
        for e in range(experts):
            part = slice(e * own, (e + 1) * own)
            y = y + gates[:, e : e + 1] * (((x @ a[part].T) * 8) @ b[:, part].T)
        return y

    return {"plain": plain, "H-LoRA": merged, "loop over experts": looped}


with torch.inference_mode():
    x = torch.randn(1, WIDTH)
    for rank in (64, 256):
        for experts in (2, 4, 8, 32):
            runs = variants(rank, experts)
            least = dict.fromkeys(runs, float("inf"))
            for _ in range(ROUNDS):
                for name, run in runs.items():
                    started = time.perf_counter()
                    run(x)
                    least[name] = min(least[name], time.perf_counter() - started)
            ratios = ", ".join(f"{name} {seconds / least['plain']:.2f}x" for name, seconds in least.items())
            print(f"rank {rank}, {experts} experts: {ratios}")

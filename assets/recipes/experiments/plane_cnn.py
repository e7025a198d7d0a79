"""How well coronal and sagittal MR slices of these limbs can be told apart at all: a small CNN that learns nothing else.

    workbench dataset pairs .../train --own-words --reworded --turned 60 --out TRAIN
    workbench dataset pairs .../val --own-words --out VAL
    python3 plane_cnn.py TRAIN VAL [EPOCHS]            # needs torch, numpy and pillow; no part of the tests

Cross-validation in four parts by subject. Learns from upright and turned slices, is judged on the upright slices of subjects that it never
saw. Coronal slices are mirrored, all are turned, zoomed, shifted and made brighter or darker.
"""

import random
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

SIDE, PARTS, BATCH, RATE = 64, 4, 32, 1.5e-3


def slices(folders):
    pictures, sagittal, subjects, turned = [], [], [], []
    for folder in folders:
        for path in sorted(Path(folder).glob("images/*/*_MR.png")):
            kind = path.name.split("_")[0]
            plane = kind.removesuffix("-turned")
            if plane in ("coronal", "sagittal"):
                picture = Image.open(path).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
                pictures.append(np.asarray(picture, np.float32) / 255)
                sagittal.append(int(plane == "sagittal"))
                subjects.append(path.parent.name)
                turned.append(kind != plane)
    return torch.tensor(np.stack(pictures)), torch.tensor(sagittal), np.array(subjects), np.array(turned)


class Net(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        layers, channels = [], 1
        for out in (width, 2 * width, 3 * width, 4 * width):
            layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
            channels = out
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.4))
        self.head = nn.Linear(channels * (SIDE // 16) ** 2, 2)

    def forward(self, x):
        return self.head(self.features(x[:, None] - 0.3))


def moved(x, sagittal):
    n = len(x)
    flip = (torch.rand(n) < 0.5) & (sagittal == 0)
    x = torch.where(flip[:, None, None], x.flip(-1), x)
    zoom, angle, wide = 0.85 + 0.3 * torch.rand(n), 0.3 * (torch.rand(n) - 0.5), 1 + 0.2 * (torch.rand(n) - 0.5)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = zoom * wide * angle.cos(), -zoom * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = zoom * angle.sin(), zoom * angle.cos()
    theta[:, :, 2] = 0.3 * (torch.rand(n, 2) - 0.5)
    grid = F.affine_grid(theta, (n, 1, SIDE, SIDE), align_corners=False)
    x = F.grid_sample(x[:, None], grid, align_corners=False)[:, 0].clamp(0, 1)
    gamma = torch.exp(torch.rand(n) - 0.5)[:, None, None]
    return x**gamma * (0.8 + 0.4 * torch.rand(n))[:, None, None] + 0.02 * torch.randn_like(x)


def main():
    torch.manual_seed(0)
    epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 24
    x, sagittal, subjects, turned = slices(sys.argv[1:3])
    order = sorted(set(subjects))
    random.Random(3).shuffle(order)
    right_of = {}
    for part in range(PARTS):
        held = set(order[part::PARTS])
        outside = np.array([subject not in held for subject in subjects])
        learn = torch.tensor(np.flatnonzero(outside))
        judge = torch.tensor(np.flatnonzero(~outside & ~turned))
        net, steps = Net(), epochs * len(learn) // BATCH
        optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        for _ in range(steps):
            i = learn[torch.randint(0, len(learn), (BATCH,))]
            loss = F.cross_entropy(net(moved(x[i], sagittal[i])), sagittal[i], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            right = (net(x[judge]).argmax(1) == sagittal[judge]).numpy()
            known = learn[torch.randperm(len(learn))[:800]]
            learned = (net(x[known]).argmax(1) == sagittal[known]).float().mean().item()
        for subject in sorted(held):
            right_of[subject] = right[subjects[judge.numpy()] == subject].mean()
        print(f"part {part + 1} of {PARTS}: learned {100 * learned:.1f} %, unseen {100 * right.mean():.1f} %", flush=True)
    means = np.array(list(right_of.values()))
    drawn = np.random.default_rng(0).choice(means, (2000, len(means))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    print(f"{len(means)} subjects: {100 * means.mean():.1f} % [{100 * low:.1f}, {100 * high:.1f}] right, half by chance")


main()

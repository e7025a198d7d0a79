#!/usr/bin/env python3
"""Writes lpips/weights.safetensors, a tiny network in AlexNet's shape with random weights, and lpips.json, the LPIPS of two
pictures by it: the published formula in numpy and scipy.

    python make_lpips.py        # numpy, scipy
"""
import json
import os
import struct

import numpy as np
from scipy.signal import correlate

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)
widths = [3, 4, 5, 6, 5, 4]
kernels = [11, 5, 3, 3, 3]
layers = [(0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)]
tensors = {}
for l, (index, stride, padding) in enumerate(layers):
    shape = (widths[l + 1], widths[l], kernels[l], kernels[l])
    tensors[f"features.{index}.weight"] = (rng.normal(size=shape) * 0.2).astype(np.float32)
    tensors[f"features.{index}.bias"] = (rng.normal(size=widths[l + 1]) * 0.1).astype(np.float32)
    tensors[f"lin{l}.model.1.weight"] = rng.uniform(size=(1, widths[l + 1], 1, 1)).astype(np.float32)

os.makedirs(f"{here}/lpips", exist_ok=True)
header, blob = {}, b""
for name, value in tensors.items():
    data = value.tobytes()
    header[name] = dict(dtype="F32", shape=list(value.shape), data_offsets=[len(blob), len(blob) + len(data)])
    blob += data
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(f"{here}/lpips/weights.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + blob)


def convolve(x, weight, bias, stride, padding):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    out = [sum(correlate(x[c], w[c], mode="valid", method="direct") for c in range(len(x))) + b for w, b in zip(weight, bias)]
    return np.stack(out)[:, ::stride, ::stride]


def pooled(x):
    h, w = (x.shape[1] - 3) // 2 + 1, (x.shape[2] - 3) // 2 + 1
    return np.stack([x[:, i:i + 2 * h - 1:2, j:j + 2 * w - 1:2] for i in range(3) for j in range(3)]).max(0)


def features(image):
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x = ((image / 127.5 - 1 - shift) / scale).transpose(2, 0, 1)
    out = []
    for l, (index, stride, padding) in enumerate(layers):
        if l in (1, 2):
            x = pooled(x)
        x = np.maximum(convolve(x, tensors[f"features.{index}.weight"].astype(float), tensors[f"features.{index}.bias"], stride, padding), 0)
        out.append(x / (np.sqrt((x * x).sum(0, keepdims=True)) + 1e-10))
    return out


y, x = np.mgrid[0:64, 0:64]
a = np.stack([(3 * x + 2 * y) % 256, (5 * x + y) % 256, (x * y) % 256], -1)
b = np.stack([(3 * x + 2 * y + 40) % 256, (5 * x + 3 * y) % 256, (x * y + x) % 256], -1)
distance = sum((tensors[f"lin{l}.model.1.weight"][0] * (fa - fb) ** 2).sum(0).mean()
               for l, (fa, fb) in enumerate(zip(features(a), features(b))))
with open(f"{here}/lpips.json", "w") as file:
    json.dump(dict(distance_x100=100 * distance), file)
    file.write("\n")

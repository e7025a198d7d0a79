#!/usr/bin/env python3
"""Writes metrics.json: SSIM, PSNR, MSE and MAE of scikit-image on pictures that a formula makes.

    python make.py > metrics.json        # numpy, scikit-image

The test makes the same pictures: level(x, y) = (3 x + 2 y) mod 256, and that plus noise from a linear congruential
generator, clipped to 0..255.
"""
import json

import numpy as np
import skimage
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity


def pictures(width, height, noise, seed):
    a = np.empty((height, width), np.int64)
    b = np.empty((height, width), np.int64)
    state = seed
    for y in range(height):
        for x in range(width):
            state = (state * 1103515245 + 12345) % 2**31
            a[y, x] = (3 * x + 2 * y) % 256
            b[y, x] = min(max(a[y, x] + (state >> 16) % (2 * noise + 1) - noise, 0), 255)
    return a.astype(np.uint8), b.astype(np.uint8)


cases = []
for width, height, noise, seed in [(33, 21, 5, 1), (64, 48, 20, 2), (48, 64, 90, 3), (256, 256, 40, 4)]:
    a, b = pictures(width, height, noise, seed)
    cases.append(dict(
        width=width, height=height, noise=noise, seed=seed,
        ssim=structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False),
        psnr=peak_signal_noise_ratio(a, b, data_range=255),
        mse=mean_squared_error(a, b),
        mae=float(np.abs(a.astype(float) - b).mean()),
    ))
print(json.dumps(dict(scikit_image=skimage.__version__, cases=cases), indent=1))

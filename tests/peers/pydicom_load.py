#!/usr/bin/env python3
"""What pydicom needs for the folder that `workbench bench viewer --keep DIR` writes: header scan and full load.

    pip install pydicom numpy && python3 tests/peers/pydicom_load.py DIR

Run it twice: the first run warms the page cache. Not part of CI.
"""

import resource
import sys
import time
from pathlib import Path

import numpy
import pydicom

files = sorted(Path(sys.argv[1]).glob("*.dcm"))
start = time.perf_counter()
headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
order = sorted(range(len(files)), key=lambda at: float(headers[at].ImagePositionPatient[2]))
scan_secs = time.perf_counter() - start

start = time.perf_counter()
first = pydicom.dcmread(files[order[0]])
volume = numpy.empty((len(files), first.Rows, first.Columns), numpy.int16)
for slice_number, at in enumerate(order):
    volume[slice_number] = pydicom.dcmread(files[at]).pixel_array
load_secs = time.perf_counter() - start

peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"pydicom {pydicom.__version__}, {len(files)} files")
print(f"header scan  {scan_secs:.2f} s")
print(f"full load    {load_secs:.2f} s")
print(f"memory       {peak_mib:.0f} MiB, {peak_mib / (volume.nbytes / 2**20):.2f} x the voxels")

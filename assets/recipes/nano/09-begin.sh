#!/usr/bin/env bash
# The model of step 7 with the VQGAN of step 8. Where CT leaves MRI open, and the other way round, many codes are likely: the one nearest
# to what is expected is taken there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
work=target/nano
rm -rf "$work/patches-start"
cp --recursive "$work/decoder/model" "$work/patches-start"
rm -rf "$work/patches-start/vqgan"
cp --recursive "$work/patches-vqgan/vqgan" "$work/patches-start/vqgan"
sed --in-place '/^\[sha256\]/,$d; /^\[expected_codes\]/,$d' "$work/patches-start/model.toml"
printf '[expected_codes]\nct2mri = 0.5\nmri2ct = 0.5\n' >> "$work/patches-start/model.toml"

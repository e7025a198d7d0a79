#!/usr/bin/env bash
# nano with the VQGAN of step 1 in place of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
work=target/nano-patches
rm -rf "$work/start"
cp --recursive assets/models/nano "$work/start"
rm -rf "$work/start/vqgan"
cp --recursive "$work/vqgan/vqgan" "$work/start/vqgan"
sed --in-place '/^\[sha256\]/,$d' "$work/start/model.toml"

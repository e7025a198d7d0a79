#!/usr/bin/env bash
# Puts nano together: the base of step 4, each plug-in from its own step (5, 6), the decoder of step 7 if it was run.
# Usage: assets/recipes/nano/8-assemble.sh [OUT]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
out=${1:-assets/models/nano}
work=target/nano
new=$work/assembled

rm -rf "$new"
cp --recursive "$work/scan/model" "$new"
cp "$work/comprehension/model/plugins/"{comprehension,fusion}.safetensors "$new/plugins/"
cp "$work/generation/model/plugins/generation.safetensors" "$new/plugins/"
if [ -d "$work/decoder/vqgan" ]; then
    cp "$work/decoder/vqgan/"* "$new/vqgan/"
fi
# Only the task that it does well enough to show is offered (see the model card).
sed --in-place 's/"reconstruct:limb", "ct2mri:limb", "mri2ct:limb", "sr4:limb"/"ct2mri:limb"/' "$new/model.toml"
caution=$(grep '^caution' assets/recipes/nano/2-new.toml) # for a model that was begun before the recipe had it
sed --in-place "/^caution/d; s/^licence/$caution\nlicence/" "$new/model.toml"
# Word tables: the comprehension plug-in, first in the manifest, has its own in `fusion`; step 6 wrote the other's into its file.
sed --in-place '0,/^fusion/!{/^fusion/d}; /^\[sha256\]/,$d' "$new/model.toml"
(
    cd "$new"
    echo "[sha256]"
    find . -type f ! -name model.toml -printf '%P\n' | LC_ALL=C sort | while read -r file; do
        printf '"%s" = "%s"\n' "$file" "$(sha256sum "$file" | cut --delimiter=' ' --fields=1)"
    done
) > "$work/sha256.toml"
cat "$work/sha256.toml" >> "$new/model.toml"
mkdir -p "$out"
for part in clip llm plugins vqgan model.toml; do
    rm -rf "${out:?}/$part"
    cp --recursive "$new/$part" "$out/"
done
chmod --recursive u=rwX,go=rX "$out"
du --summarize --human-readable "$out"

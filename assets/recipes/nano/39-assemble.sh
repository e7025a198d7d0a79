#!/usr/bin/env bash
# Puts nano together: the model of the last step, with its caution and the hashes of its parts. Usage: assets/recipes/nano/39-assemble.sh [OUT]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
out=${1:-assets/models/nano}
work=target/nano
new=$work/assembled

rm -rf "$new"
cp --recursive "$work/nano/model" "$new"
# What a user is warned of was measured after the model was begun.
caution=$(grep '^caution' assets/recipes/nano/02-new.toml)
sed --in-place "/^caution/d; s/^licence/$caution\nlicence/; /^\[sha256\]/,\$d" "$new/model.toml"
(
    cd "$new"
    echo "[sha256]"
    find . -type f ! -name model.toml ! -name "*.md" -printf '%P\n' | LC_ALL=C sort | while read -r file; do
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

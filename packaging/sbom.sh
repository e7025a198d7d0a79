#!/usr/bin/env bash
# Writes what the program is made of as a CycloneDX 1.5 JSON: packaging/sbom.sh [FILE]. Every package of Cargo.lock is in it with its
# licence and, where it comes from a registry, its checksum; those that are part of the Linux program have the scope "required".
# Cargo, which fetches what the lock file names and this machine lacks, and python3 are all it needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${1:-${CARGO_TARGET_DIR:-target}/packages/workbench.cdx.json}
mkdir --parents "$(dirname "$out")"
scratch=$(mktemp --directory)
trap 'rm -rf "$scratch"' EXIT
host=$(rustc -vV | sed -n 's/^host: //p')
metadata() {
    cargo metadata --locked --offline --format-version 1 "$@" 2>/dev/null ||
        cargo metadata --locked --format-version 1 "$@"
}
metadata --all-features >"$scratch/all.json"
metadata --filter-platform "$host" >"$scratch/host.json"

python3 - "$scratch/all.json" "$scratch/host.json" Cargo.lock "$out" <<'PYTHON'
import json
import re
import sys

everything, host = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:3])
locked = {}
for entry in re.split(r"^\[\[package\]\]$", open(sys.argv[3], encoding="utf-8").read(), flags=re.M)[1:]:
    field = dict(re.findall(r'^(\w+) = "(.*)"$', entry, flags=re.M))
    locked[field["name"], field["version"]] = field.get("checksum")

# What the program links: from its package along normal dependencies, those of macros and build scripts not.
nodes = {node["id"]: node for node in host["resolve"]["nodes"]}
program = next(p["id"] for p in host["packages"] if p["name"] == "workbench" and p["source"] is None)
linked, todo = set(), [program]
while todo:
    package = todo.pop()
    if package not in linked:
        linked.add(package)
        for dep in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dep["dep_kinds"]):
                todo.append(dep["pkg"])


def licences(package):
    expression = package["license"]
    if expression:
        # The slash is what crates used before SPDX expressions.
        return [{"expression": re.sub(r"\s*/\s*", " OR ", expression)}]
    if package["license_file"]:
        return [{"license": {"name": f"see {package['license_file']} of the package"}}]
    return []


def component(package):
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    entry = {
        "type": "application" if package["id"] == program else "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "scope": "required" if package["id"] in linked else "excluded",
        "licenses": licences(package),
        "purl": purl,
    }
    checksum = locked.get((name, version))
    if checksum:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    links = [("vcs", package["repository"]), ("website", package["homepage"])]
    links = [{"type": kind, "url": url} for kind, url in links if url]
    if links:
        entry["externalReferences"] = links
    return entry


packages = sorted(everything["packages"], key=lambda p: (p["name"], p["version"]))
components = [component(package) for package in packages]
refs = {package["id"]: f"pkg:cargo/{package['name']}@{package['version']}" for package in packages}
dependencies = [
    {"ref": refs[node["id"]], "dependsOn": sorted({refs[dep["pkg"]] for dep in node["deps"]})}
    for node in everything["resolve"]["nodes"]
]
main = next(c for c in components if c["type"] == "application")
bom = {
    "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {"component": main},
    "components": [c for c in components if c is not main],
    "dependencies": sorted(dependencies, key=lambda d: d["ref"]),
}

known = {(c["name"], c["version"]) for c in components}
missing = sorted(set(locked) - known)
unlicensed = [f"{c['name']} {c['version']}" for c in components if not c["licenses"]]
if missing or unlicensed:
    sys.exit(f"not in the list: {missing}; without a licence: {unlicensed}")
with open(sys.argv[4], "w", encoding="utf-8") as file:
    json.dump(bom, file, indent=1, ensure_ascii=False)
    file.write("\n")
required = sum(c["scope"] == "required" for c in components)
print(f"{sys.argv[4]}: {len(components)} packages, {required} of them in the program")
PYTHON

// Decodes the bench's shape with llama.cpp and with `workbench bench --device cpu`, in turns, and prints the best of each and their
// ratio: node cpu_turns.mjs WORKBENCH Q8.gguf Q4.gguf [ROUNDS]
import {execFileSync} from "node:child_process";
import path from "node:path";

const [workbench, q8, q4, rounds = "5"] = process.argv.slice(2);
const script = path.join(import.meta.dirname, "llama.mjs");
const quiet = {encoding: "utf8", stdio: ["ignore", "pipe", "ignore"]};
const best = {};
const keep = (key, clock, processor) => {
    const before = best[key] ?? [0, 0];
    best[key] = [Math.max(before[0], clock), Math.max(before[1], processor)];
};
for (let round = 0; round < Number(rounds); round++) {
    for (const [format, file] of [["q8", q8], ["q4", q4]]) {
        const text = execFileSync("node", [script, file, "cpu", "60"], quiet);
        const [clock, processor] = text.match(/([\d.]+) tokens\/s by the clock, ([\d.]+)/).slice(1).map(Number);
        keep(`llama.cpp ${format}`, clock, processor);
    }
    const report = JSON.parse(execFileSync(workbench, ["bench", "--device", "cpu", "--part", "decode", "--json"], quiet));
    for (const {name, value, note} of report.measurements) {
        const format = name.match(/^no plug-in, .*, (q8|q4)$/)?.[1];
        if (format) keep(`ours ${format}`, Number(note.match(/^[\d.]+/)[0]), value);
    }
}
for (const format of ["q8", "q4"]) {
    const [ours, theirs] = [best[`ours ${format}`], best[`llama.cpp ${format}`]];
    const line = (i) => `${ours[i].toFixed(0)} against ${theirs[i].toFixed(0)} tokens/s (${(ours[i] / theirs[i]).toFixed(2)}x)`;
    console.log(`${format}: by the clock ${line(0)}, by processor time ${line(1)}`);
}

// Decodes with llama.cpp's prebuilt libraries: tokens per second by the clock, and by the processor time of all threads over the
// number of processors (what `workbench bench` counts on a software adapter).
import os from "node:os";
import {getLlama} from "node-llama-cpp";

const [file, where = "cpu", count = "12"] = process.argv.slice(2);
const llama = await getLlama({gpu: where === "vulkan" ? "vulkan" : false, build: "never", maxThreads: os.cpus().length});
const model = await llama.loadModel({modelPath: file, gpuLayers: where === "vulkan" ? 99 : 0});
const context = await model.createContext({contextSize: 256, threads: os.cpus().length});
const sequence = context.getSequence();
const used = () => {
    const {user, system} = process.cpuUsage();
    return (user + system) / 1e6;
};
let tokens = 0;
let [clock, processor] = [0, 0];
let best = [Infinity, Infinity];
for await (const _ of sequence.evaluate([1, 300, 301, 302], {temperature: 0, yieldEogToken: true})) {
    const now = [performance.now() / 1e3, used()];
    if (tokens > 1) best = [Math.min(best[0], now[0] - clock), Math.min(best[1], now[1] - processor)];
    [clock, processor] = now;
    if (++tokens > Number(count)) break;
}
console.log(`${file} on ${where} (${llama.gpu || "cpu"}): ${(1 / best[0]).toFixed(2)} tokens/s by the clock, ` +
    `${(os.cpus().length / best[1]).toFixed(2)} by processor time, ${(process.memoryUsage.rss() / 2 ** 20).toFixed(0)} MiB`);
process.exit(0);

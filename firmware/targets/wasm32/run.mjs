// node run.mjs IMAGE: paints the stack, runs, and exits with the image's result (100: trap).
import fs from "node:fs";

const write = (text, bytes) => fs.writeSync(1, new Uint8Array(memory.buffer, text, bytes));
const { instance } = await WebAssembly.instantiate(fs.readFileSync(process.argv[2]), { env: { write } });
const { memory, run, __stack_low: low, __stack_high: high } = instance.exports;

new Uint8Array(memory.buffer, low.value, high.value - low.value).fill(0xa5);
try {
  process.exitCode = run();
} catch (trap) {
  if (!(trap instanceof WebAssembly.RuntimeError)) throw trap;
  console.error(trap.message);
  process.exitCode = 100;
}

// Worker of jax-js: what problems.py and libraries.py are, in JavaScript.
// deno run -A --unstable-webgpu jax.mjs FOLDER CASE ..., where FOLDER has node_modules.

const folder = Deno.args[0];
const at = new URL(`file://${folder}/node_modules/@jax-js/jax/dist/index.js`);
const jax = await import(at.href);
const { numpy: np, nn, lax, jit, valueAndGrad, blockUntilReady, init, defaultDevice } = jax;

const RATE = 0.05, LAUNCHES = 64, SIDE = 16;
// that are waited for together, if not 16
const CALLS = { "matmul 1024": 4, "matmul 2048": 2, "lenet, 64×28²": 4 };
const LOOP = 1, TIME = 200, REPEATS = 7, LONG = 6000; // ms

function numbers(shape, seed) {
  const count = shape.reduce((a, b) => a * b, 1);
  const out = new Float32Array(count);
  const first = Math.imul(seed, 0x9e3779b9);
  for (let i = 0; i < count; i++) {
    let x = (i + first) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    x = (x ^ (x >>> 16)) >>> 0;
    out[i] = (x >>> 8) * 2 ** -24;
  }
  return out;
}

const array = (values, shape) => np.array(values).reshape(shape);
const drawn = (shape, seed) => array(numbers(shape, seed), shape);
function weights(shape, inputs, seed) {
  const scale = 3 / Math.sqrt(inputs);
  return array(numbers(shape, seed).map((u) => (u - 0.5) * scale), shape);
}

// Every function uses each of its arguments up: `ref` is one more reference.
const square = (n) => [(x, y) => np.matmul(x, y), [[n, n], [n, n]]];
const table = [1024, 1024];
const PROBLEMS = {
  "matmul 256": square(256),
  "matmul 512": square(512),
  "matmul 1024": square(1024),
  "matmul 2048": square(2048),
  "6 elementwise operations, 10⁶": [
    (x) => np.exp(np.tanh(x.ref.mul(0.5).add(0.25)).mul(x.ref)).sub(x), [[10 ** 6]]],
  "sum, 10⁶": [(x) => np.sum(x), [[10 ** 6]]],
  "sums of rows, 1024×1024": [(x) => np.sum(x, 1), [table]],
  "sums of columns, 1024×1024": [(x) => np.sum(x, 0), [table]],
  "softmax, 1024×1024": [(x) => nn.softmax(x, -1), [table]],
};

function dense(x, params) {
  for (let i = 0; i < params.length - 2; i += 2) {
    x = nn.relu(np.matmul(x, params[i]).add(params[i + 1]));
  }
  return np.matmul(x, params.at(-2)).add(params.at(-1));
}

function pooled(x) {
  return lax.reduceWindow(x, np.max, [2, 2], [2, 2]);
}

function convolved(x, w, b, padding) {
  const pads = [[padding, padding], [padding, padding]];
  const out = lax.convGeneralDilated(x, w, [1, 1], pads);
  return nn.relu(out.add(b.reshape([1, -1, 1, 1])));
}

function lenet(x, [w1, b1, w2, b2, ...rest]) {
  const batch = x.shape[0];
  const h = pooled(convolved(pooled(convolved(x, w1, b1, 2)), w2, b2, 0));
  return dense(h.reshape([batch, 400]), rest);
}

const layers = (...widths) => widths.slice(1).map((o, k) => [[widths[k], o], o]);
const MODELS = {
  "mlp 64-128-10, batch 64": [dense, [64, 64], layers(64, 128, 10)],
  "mlp 784-128-10, batch 64": [dense, [64, 784], layers(784, 128, 10)],
  "lenet, 64×28²": [lenet, [64, 1, 28, 28],
    [[[6, 1, 5, 5], 6], [[16, 6, 5, 5], 16], ...layers(400, 120, 84, 10)]],
};

function trainer([logits, input, shapes]) {
  const batch = input[0];
  const x = drawn(input, 99);
  const classes = new Float32Array(batch * 10);
  for (let i = 0; i < batch; i++) classes[i * 10 + i % 10] = 1;
  const y = array(classes, [batch, 10]);
  let params = shapes.flatMap(([shape, outputs], k) => {
    const inputs = shape.length === 2 ? shape[0] : shape[1] * shape[2] * shape[3];
    return [weights(shape, inputs, 2 * k + 1), weights([outputs], inputs, 2 * k + 2)];
  });
  const loss = (params, x, y) =>
    np.sum(nn.logSoftmax(logits(x, params), -1).mul(y)).mul(-1 / batch);
  const step = jit((params, x, y) => {
    const [value, grads] = valueAndGrad(loss)(params.map((p) => p.ref), x, y);
    return [value, params.map((p, k) => p.sub(grads[k].mul(RATE)))];
  });
  return () => {
    const [value, updated] = step(params, x.ref, y.ref);
    params = updated;
    return value;
  };
}

function products(h, w) {
  for (let k = 0; k < LAUNCHES; k++) h = np.matmul(h, w.ref);
  w.dispose();
  return h;
}

function calling(f, arrays) {
  const compiled = jit(f);
  return () => compiled(...arrays.map((x) => x.ref));
}

const replayed = () => [drawn([SIDE, SIDE], 1), weights([SIDE, SIDE], SIDE - 2, 2)];

async function host() {
  const compiled = jit(products), arrays = replayed();
  let best = Infinity;
  for (let k = 0; k < 50; k++) {
    const start = performance.now();
    const out = compiled(...arrays.map((x) => x.ref));
    best = Math.min(best, performance.now() - start);
    await blockUntilReady(out);
    out.dispose();
  }
  return best / LAUNCHES;
}

// Calls in a row, and a wait for all results: Deno tells some 10 ms late that a device is done, and
// jax-js leaves out what is let go of before.
function together(call, calls) {
  return async () => {
    const found = [];
    for (let k = 0; k < calls; k++) found.push(call());
    await blockUntilReady(found);
    const out = found.pop();
    for (const other of found) other.dispose();
    return out;
  };
}

async function looped(call, count) {
  const start = performance.now();
  for (let k = 0; k < count; k++) (await call()).dispose();
  return performance.now() - start;
}

async function take(started, calls) {
  const call = together(started, calls);
  let result = await call(); // it may compile
  for (let k = 0; k < 2; k++) {
    const begun = performance.now();
    result.dispose();
    result = await call();
    if (performance.now() - begun > LONG) break;
  }
  const check = (await result.data()).reduce((a, x) => a + x * x, 0);
  let count = 1, time;
  while ((time = await looped(call, count)) < LOOP) {
    count = Math.max(2 * count, Math.floor(count * LOOP / Math.max(time, 1e-6)));
  }
  const times = [], start = performance.now();
  for (;;) {
    times.push(await looped(call, count) / count / calls);
    const past = performance.now() - start;
    if (past > LONG || (times.length >= REPEATS && past > TIME)) break;
  }
  return [Math.min(...times), check];
}

async function measured(name) {
  const calls = CALLS[name] ?? 16;
  if (name in PROBLEMS) {
    const [f, shapes] = PROBLEMS[name];
    return await take(calling(f, shapes.map((shape, k) => drawn(shape, k + 1))), calls);
  }
  if (name in MODELS) return await take(trainer(MODELS[name]), calls);
  if (name.startsWith("one of")) {
    const [time, check] = await take(calling(products, replayed()), calls);
    return [time / LAUNCHES, check];
  }
  return [await host(), null];
}

if (!(await init()).includes("webgpu")) throw new Error("there is no WebGPU device");
defaultDevice("webgpu");
for (const name of Deno.args.slice(1)) {
  try {
    const [time, check] = await measured(name);
    console.log(JSON.stringify({ case: name, value: time / 1000, check }));
  } catch (error) {
    console.log(JSON.stringify({ case: name, error: String(error).slice(0, 200) }));
  }
}

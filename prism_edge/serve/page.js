"use strict";
// Every text is set by textContent: what a board, a model or a client is called is never markup.

const SILENT_MS = 5000; // the daemon speaks once a second
const TOKEN = "prism-edge token";
const $ = (id) => document.getElementById(id);

// -- words and units, as in the report -------------------------------------------------------------

function digits(value, count = 3) {
  if (!value) return "0";
  const rounded = value.toExponential(count - 1);
  const places = Math.max(0, count - 1 - Number(rounded.split("e")[1]));
  return Number(rounded).toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
}

function seconds(value_s) {
  if (value_s == null) return "n/a";
  if (Math.abs(value_s) >= 0.9995) return `${digits(value_s)} s`;
  return value_s && Math.abs(value_s) < 0.9995e-3 ? `${digits(value_s * 1e6)} µs` : `${digits(value_s * 1e3)} ms`;
}

const watts = (value_w) => (value_w == null ? "n/a" : `${digits(value_w)} W`);

function elapsed(value_s) {
  const whole = Math.round(value_s), two = (count) => String(count).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor((whole % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

const lasting = (value_s) => (value_s < 59.5 ? `${Math.round(value_s)} s` : `${elapsed(value_s)} min`);

// -- elements ---------------------------------------------------------------------------------------

function make(tag, about = {}, ...inside) {
  const element = document.createElement(tag);
  if (about.text != null) element.textContent = about.text;
  if (about.class) element.className = about.class;
  if (about.label) element.dataset.label = about.label;
  element.append(...inside);
  return element;
}

function draw(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text != null) element.textContent = text;
  return element;
}

const cell = (label, text, kind, ...small) =>
  make("td", { label, class: kind }, make("span", {}, text, ...small.filter(Boolean).map((said) => make("small", { text: said }))));

const drawn = new Map(); // what each part shows; it is left alone, and what is selected in it too, until that changes

function fill(id, value, build) {
  const key = JSON.stringify(value);
  if (drawn.get(id) === key) return;
  drawn.set(id, key);
  $(id).replaceChildren(...build(value));
}

// -- figures ----------------------------------------------------------------------------------------

function figure(width, height, label) {
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
}

function timeAxis(svg, left, width, bottom, { end_s, window_s, tick_s }) {
  const x = (t_s) => left + ((t_s - end_s + window_s) / window_s) * (width - left);
  for (let ago = window_s; ago >= 0; ago -= tick_s) {
    const anchor = ago === window_s ? "start" : ago ? "middle" : "end";
    svg.append(draw("text", { x: x(end_s - ago), y: bottom + 16, "text-anchor": anchor }, ago ? `−${ago / 60} min` : "now"));
  }
  return x;
}

function clockTime(t_s) {
  return new Date((t_s + offset_s) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

function mixFigure({ over_time, frame, width }) {
  const height = 170, left = 40, bottom = height - 24;
  const svg = figure(width, height, "Batches over time by the method that ran");
  const sum = (bin) => Object.values(bin.methods).reduce((a, b) => a + b, bin.lost);
  const most = Math.max(1, ...over_time.map(sum));
  const y = (count) => bottom - (count / most) * (bottom - 14);
  for (const count of most > 1 ? [0, Math.ceil(most / 2), most] : [0, 1]) {
    svg.append(draw("line", { class: "grid", x1: left, x2: width, y1: y(count), y2: y(count) }));
    svg.append(draw("text", { x: left - 8, y: y(count) + 4, "text-anchor": "end" }, count));
  }
  const x = timeAxis(svg, left, width, bottom, frame);
  const wide = Math.max(2, (frame.bin_s / frame.window_s) * (width - left) - 1.5);
  for (const bin of over_time) {
    let below = 0;
    const at = Math.max(left, x(bin.t_s)), said = [];
    for (const [method, count] of Object.entries(bin.methods)) {
      svg.append(draw("rect", { class: `bar ${method}`, x: at, width: wide, y: y(below + count), height: y(below) - y(below + count) }));
      below += count;
      said.push(`${method} × ${count}`);
    }
    if (bin.lost) {
      svg.append(draw("text", { class: "lost", x: at + wide / 2, y: y(below) - 3, "text-anchor": "middle" }, "✕"));
      said.push(`${bin.lost} lost`);
    }
    const all = draw("rect", { x: at, width: wide, y: 0, height: bottom, "fill-opacity": 0 });
    all.append(draw("title", {}, `${clockTime(bin.t_s)}: ${said.join(", ")}`));
    svg.append(all);
  }
  return [svg];
}

function latencyFigure({ over_time, frame, width }) {
  const height = 180, left = 62, bottom = height - 24;
  const svg = figure(width, height, "Median and 95th percentile of the latency over time");
  const bins = over_time.filter((bin) => bin.p50_s != null);
  const low = Math.min(1e9, ...bins.map((bin) => bin.p50_s)) / 1.25, high = Math.max(0, ...bins.map((bin) => bin.p95_s)) * 1.25;
  const y = (value_s) => bottom - (Math.log(value_s / low) / Math.log(high / low)) * (bottom - 10);
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); bins.length && power <= Math.log10(high); power++)
    for (const step of [1, 2, 5]) ticks.push(step * 10 ** power);
  const seen = ticks.filter((tick) => tick >= low && tick <= high);
  const every = Math.ceil(seen.length / 6);
  for (const tick of seen.filter((_, k) => k % every === 0)) {
    svg.append(draw("line", { class: "grid", x1: left, x2: width, y1: y(tick), y2: y(tick) }));
    svg.append(draw("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, seconds(Number(tick.toPrecision(1))).replace(/\.0+ /, " ")));
  }
  const x = timeAxis(svg, left, width, bottom, frame);
  for (const [name, kind] of [["p95_s", "ring"], ["p50_s", "dot"]])
    for (const bin of bins) {
      const dot = draw("circle", { class: kind, cx: Math.max(left, x(bin.t_s + frame.bin_s / 2)), cy: y(bin[name]), r: (kind === "dot" ? 3.2 : 2.8) * (width < 600 ? 0.6 : 1) });
      dot.append(draw("title", {}, `${clockTime(bin.t_s)}: median ${seconds(bin.p50_s)}, 95 % ${seconds(bin.p95_s)}`));
      svg.append(dot);
    }
  return [svg];
}

function powerFigure(trace, { end_s, window_s, bin_s }, most_w) {
  const width = 300, height = 36;
  const svg = figure(width, height, "Power over time");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.append(draw("line", { class: "grid", x1: 0, x2: width, y1: height - 1, y2: height - 1 }));
  let path = "", before_s = -Infinity;
  for (const [t_s, power_w] of trace) {
    const x = ((t_s + bin_s / 2 - end_s + window_s) / window_s) * width, y = height - 1 - (power_w / most_w) * (height - 4);
    path += `${t_s - before_s > 1.5 * bin_s ? `M${x - 1.5} ${y}L` : "L"}${x} ${y}`;
    before_s = t_s;
  }
  if (path) svg.append(draw("path", { class: "line", d: path, "vector-effect": "non-scaling-stroke" }));
  return svg;
}

// -- parts ------------------------------------------------------------------------------------------

const KINDS = { lab: "emulated lab", paced: "emulated lab, paced processes" };
const GOOD = new Set(["in service", "ready"]);
let offset_s = 0, last = null, missing = null; // missing: why the daemon is, if it is

function show(now) {
  const worker = now.role === "worker", boards = withPower(now);
  document.title = `${now.state} · ${now.board ?? now.cluster}`;
  $("name").textContent = worker ? `${now.board}, worker of ${now.cluster}` : now.cluster;
  $("state").textContent = now.state;
  $("state").className = `tag ${now.state === "ready" ? "good" : "warn"}`;
  $("reason").hidden = !now.reason;
  $("reason").textContent = now.reason;
  const tags = [KINDS[now.kind], boards.some((board) => board.source === "modelled") && "power: modelled"];
  fill("tags", tags.filter(Boolean), (said) => said.flatMap((text) => [make("span", { class: "tag warn", text }), " "]));
  const group = now.epoch == null ? "no group" : `group ${now.epoch}`;
  $("about").textContent = [(worker || boards.length > 1) && group, `prism-edge ${now.version}`, now.release && `release ${now.release}`].filter(Boolean).join(" · ");
  $("elsewhere").hidden = !worker;
  if (worker) {
    $("leader").textContent = now.leader;
    $("leader").href = /^https?:/.test(now.leader_url) ? now.leader_url : "#";
  }
  const width = Math.max(280, $("shown").clientWidth);
  const [window_s, tick_s] = [[120, 60], [360, 120]].find(([long_s]) => now.up_s < long_s) ?? [now.window_s, 300];
  const frame = { end_s: (Math.floor(now.now_s / now.bin_s) + 1) * now.bin_s, window_s, tick_s, bin_s: now.bin_s };
  fill("tiles", tiles(now, worker, boards), (all) => all.map(([value, said, kind]) => make("div", { class: "tile" }, make("b", { text: value, class: kind }), make("span", { text: said }))));
  $("boards-part").hidden = !boards.length;
  fill("boards", { boards, frame }, boardRows);
  for (const id of ["plans", "latency", "decisions"]) $(`${id}-part`).hidden = worker;
  fill("methods", now.methods, methodKey);
  fill("mix", { frame, over_time: now.over_time, width, offset_s }, mixFigure);
  fill("latency", { frame, over_time: now.over_time, width, offset_s }, latencyFigure);
  fill("decisions", { all: now.decisions, offset_s }, decisionRows);
  $("events-part").hidden = !now.events.length;
  fill("events", { all: now.events, offset_s }, eventRows);
  fill("models", now.models, modelRows);
}

function withPower(now) {
  const names = now.boards.map((board) => board.name);
  const own = Object.keys(now.power).filter((name) => !names.includes(name)).map((name) => ({ name, state: now.state }));
  return [...now.boards, ...own].map((board) => ({ ...board, ...now.power[board.name] }));
}

function tiles(now, worker, boards) {
  const { recent } = now, span = `last ${lasting(recent.seconds)}`;
  const rank = (percent, least) => `${percent}th percentile${recent.answered && recent.answered < least ? `, of only ${recent.answered} batches` : ""}`;
  const power = boards.map((board) => board.power_w), all_w = power.reduce((sum, w) => sum + w, 0);
  const missing = power.filter((w) => w == null).length;
  const watt = power.length > missing && [watts(all_w), `power of ${missing ? `${power.length - missing} of ${power.length} boards` : power.length > 1 ? "all boards" : "this board"}, now`];
  if (worker) return watt ? [watt] : [];
  return [
    [seconds(recent.p50_s), `median latency, ${span}`],
    [seconds(recent.p95_s), rank(95, 20)],
    [seconds(recent.p99_s), rank(99, 100)],
    [recent.answered, `batches answered, ${span}`],
    [recent.lost, "batches lost", recent.lost && "warn"],
    [now.queue ?? 0, now.busy ? "requests wait, one batch runs" : "requests wait"],
    ...(boards.length > 1 ? [[linkRate(now.link), linkSaid(now.link)]] : []),
    ...(watt ? [watt] : []),
  ];
}

// "link 98 Mbit/s observed": the rate, and how it is known
const linkRate = (link) => /([\d.,]+ \S+\/s)/.exec(link ?? "")?.[1] ?? "n/a";
const linkSaid = (link) => (link ?? "link unknown").replace(/ [\d.,]+ \S+\/s/, "");

function boardRows({ boards, frame }) {
  const most_w = Math.max(0.1, ...boards.flatMap((board) => (board.trace ?? []).map(([, power_w]) => power_w)));
  return boards.map((board) => {
    const silent = board.silent_s == null ? null : `silent for ${lasting(board.silent_s)}`;
    const state = make("b", { text: board.state, class: GOOD.has(board.state) ? "good" : "warn" });
    return make("tr", {},
      make("td", { class: "head" }, make("span", {}, make("b", { text: board.name }), make("small", { text: [board.leads && boards.length > 1 && "leader", board.address].filter(Boolean).join(", ") }))),
      cell("State", state, "", silent, board.why),
      cell("Power", watts(board.power_w), "", board.source === "modelled" ? "modelled" : board.source && "on-board sensor", board.source && board.power_w == null && "no reading now"),
      make("td", { label: "Over time", class: "trace" }, board.trace ? powerFigure(board.trace, frame, most_w) : make("span", { class: "soft", text: "no readings" })));
  });
}

function methodKey(methods) {
  const all = methods.reduce((sum, { count }) => sum + count, 0);
  if (!all) return [make("li", { class: "soft", text: "No batch was answered in the last 15 minutes." })];
  return methods.map(({ method, mark, count }) => make("li", {}, make("span", { class: method, text: mark }), ` ${method} × ${count} (${Math.round((100 * count) / all)} %)`));
}

function decisionRows({ all }) {
  if (!all.length) return [make("tr", {}, make("td", { class: "head soft", text: "None yet." }))];
  return all.map((batch) => {
    const plan = make("span", {}, make("span", { class: batch.method, text: batch.mark }), ` ${batch.plan}`);
    const off = batch.ok && batch.predicted_s ? batch.run_s / batch.predicted_s - 1 : null;
    const wait_s = batch.latency_s == null ? 0 : batch.latency_s - batch.run_s;
    return make("tr", {},
      make("td", { class: "head" }, make("span", {}, clockTime(batch.t_s), make("small", { text: `${batch.model}, batch ${batch.batch}` }))),
      cell("Plan", plan, "plan"),
      cell("Predicted", batch.predicted_s == null ? "–" : seconds(batch.predicted_s), "n"),
      cell("Measured", batch.ok ? seconds(batch.run_s) : make("b", { class: "warn", text: "lost" }), "n",
        off != null && `${off < 0 ? "−" : "+"}${Math.abs(100 * off).toFixed(Math.abs(off) < 0.1 ? 1 : 0)} %`, batch.ok && wait_s > 0.01 && `waited ${seconds(wait_s)}`),
      cell("Why", make("span", { class: batch.ok ? "" : "warn", text: batch.ok ? batch.why : batch.error })));
  });
}

const eventRows = ({ all }) => all.map((event) =>
  make("tr", {}, make("td", { class: "slim", text: clockTime(event.t_s) }), make("td", { class: event.kind === "lost" ? "slim warn" : "slim", text: event.kind }), make("td", { text: event.detail })));

const modelRows = (models) => models.map((model) =>
  make("tr", {}, make("td", { class: "head" }, make("b", { text: model.name })),
    cell("State", make("b", { class: model.ready ? "good" : "warn", text: model.ready ? "ready" : "not ready" }), "", model.reason),
    cell("Inputs", model.inputs.join("\n")), cell("Outputs", model.outputs.join("\n"))));

// -- the stream -------------------------------------------------------------------------------------

let retry_ms = 2000, heard_ms = null, admit = null;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const authorization = () => {
  const token = sessionStorage.getItem(TOKEN);
  return token === null ? {} : { Authorization: `Bearer ${token}` };
};

function take(block) {
  let kind = "message", data = "";
  for (const line of block.split("\n")) {
    const [, name, value] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
    if (name === "retry") retry_ms = Number(value) || retry_ms;
    if (name === "event") kind = value;
    if (name === "data") data += value;
  }
  if (kind === "end") throw new Error("it is stopping");
  if (!data) return;
  const now = JSON.parse(data);
  if (heard_ms === null) offset_s = Math.round(Date.now() / 1000 - now.now_s);
  heard_ms = Date.now();
  last = now;
  missing = null;
  document.body.classList.remove("stale");
  for (const id of ["lost", "ask"]) $(id).hidden = true;
  $("shown").hidden = false;
  show(now);
}

async function watch() {
  const silence = new AbortController();
  let alarm = setTimeout(() => silence.abort(), SILENT_MS);
  try {
    const reply = await fetch("events", { headers: authorization(), cache: "no-store", signal: silence.signal });
    if (reply.status === 401) return await asked();
    if (!reply.ok) throw new Error((await reply.json()).error);
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the connection ended");
      clearTimeout(alarm);
      alarm = setTimeout(() => silence.abort(), SILENT_MS);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      blocks.forEach(take);
    }
  } finally {
    clearTimeout(alarm);
    silence.abort();
  }
}

function asked() {
  missing = null;
  $("refused").hidden = sessionStorage.getItem(TOKEN) === null;
  $("state").textContent = "token needed";
  $("shown").hidden = $("lost").hidden = true;
  $("ask").hidden = false;
  $("token").focus();
  return new Promise((done) => (admit = done));
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $("token").value.trim());
  $("token").value = "";
  admit?.("asked");
});

function lose(error) {
  missing = error;
  const why = error.name === "AbortError" ? "it says nothing" : error instanceof TypeError ? "no connection" : error.message;
  const since = heard_ms === null ? "" : ` What is shown is from ${new Date(heard_ms).toLocaleTimeString([], { hour12: false })}.`;
  document.body.classList.add("stale");
  document.title = `lost · ${last?.board ?? last?.cluster ?? "prism-edge"}`;
  $("state").textContent = "out of reach";
  $("state").className = "tag warn";
  $("lost").hidden = false;
  $("lost").textContent = `This page has lost the daemon (${why}).${since} Trying again.`;
}

async function forever() {
  for (;;) {
    try {
      if ((await watch()) === "asked") continue;
    } catch (error) {
      lose(error);
    }
    await pause(retry_ms);
  }
}

for (const link of document.querySelectorAll("a.raw"))
  link.addEventListener("click", async (event) => {
    if (sessionStorage.getItem(TOKEN) === null) return; // the browser can follow it by itself
    event.preventDefault();
    const reply = await fetch(link.getAttribute("href"), { headers: authorization() });
    $("raw").hidden = false;
    $("raw").textContent = await reply.text();
  });

let resized = 0;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    if (last && !$("shown").hidden) show(last);
    if (missing) lose(missing);
  }, 150);
});
forever();

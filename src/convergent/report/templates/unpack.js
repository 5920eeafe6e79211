"use strict";
const Report = {};

// Text that the page carries compressed (gzip in base64).
Report.unpack = async function (element) {
  const binary = atob(element.textContent.trim());
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};

Report.once = function (make) {
  let made = null;
  return function () { return (made = made || make()); };
};

Report.shared = Report.once(async function () {
  return JSON.parse(await Report.unpack(document.getElementById("shared")));
});

Report.index = Report.once(async function () {
  return JSON.parse(await Report.unpack(document.getElementById("model-index")));
});

Report.plotly = Report.once(async function () {
  const script = document.createElement("script");
  script.textContent = await Report.unpack(document.getElementById("plotly"));
  document.head.appendChild(script);
  if (!window.Plotly) throw new Error("the plotting library did not start");
  return window.Plotly;
});

// Put the shared parts back. Arrays are only read by the plots, so that figures may hold the same
// one; objects are copied, because a plot may write into them.
function restored(value, parts) {
  if (Array.isArray(value)) {
    return typeof value[0] === "object" ? value.map((item) => restored(item, parts)) : value;
  }
  if (value === null || typeof value !== "object") return value;
  if ("$shared" in value) {
    const part = parts[value.$shared];
    return Array.isArray(part) ? part : structuredClone(part);
  }
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, restored(v, parts)]));
}

Report.figure = async function (id) {
  const text = await Report.unpack(document.getElementById(id));
  const parts = text.includes('"$shared"') ? await Report.shared() : [];
  return restored(JSON.parse(text), parts);
};

Report.say = function (words) { document.getElementById("say").textContent = words; };

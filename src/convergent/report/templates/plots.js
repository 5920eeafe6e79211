"use strict";
(function () {
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const SCENES = 4;  // Browsers allow few WebGL contexts; phones fewer.
  const turning = [];

  // On a narrow screen the legend takes several rows: they are added to the height of the plot,
  // and kept free before it is drawn, so that what is read does not jump.
  function extra(box) {
    const width = document.documentElement.clientWidth;
    if (width >= 600 || !box.dataset.legend) return 0;
    let rows = 1;
    let used = 0;
    box.dataset.legend.split(" ").forEach(function (length) {
      const need = 50 + 7.5 * Number(length);
      if (used && used + need > width - 90) { rows += 1; used = 0; }
      used += need;
    });
    return 20 * (rows - 1);
  }
  document.querySelectorAll(".plot[data-legend]").forEach(function (box) {
    box.style.minHeight = parseFloat(box.style.minHeight) + extra(box) + "px";
  });

  function narrow(box, layout) {
    if (layout.scene || document.documentElement.clientWidth >= 600) return;
    layout.height = (layout.height || 480) + extra(box);
    layout.font = Object.assign({}, layout.font, { size: 12 });
    layout.margin = Object.assign({}, layout.margin, { r: 8 });
  }

  async function draw(box) {
    if (box.dataset.drawn) return;
    box.dataset.drawn = "yes";
    const Plotly = await Report.plotly();
    const figure = await Report.figure(box.dataset.source);
    const layout = figure.layout;
    // On a touch screen a finger that lands on a flat plot must scroll the page.
    if (touch && !layout.scene) layout.dragmode = false;
    const select = chooser(box);
    if (select && select.selectedIndex > 0) show(figure.data, select);
    narrow(box, layout);
    const config = { responsive: true, displaylogo: false };
    if (!layout.scene) config.modeBarButtons = [["toImage", "zoom2d", "pan2d", "resetScale2d"]];
    await Plotly.newPlot(box, figure.data, layout, config);
    Report.mark(box);
    if (!layout.scene) {
      box.on("plotly_click", function (event) {
        const point = event.points[0];
        const model = Report.model_of(point.data, point.pointNumber);
        if (model) Report.choose(model);
      });
    }
  }

  function chooser(box) { return document.querySelector('select[data-target="' + box.id + '"]'); }

  function show(traces, select) {
    traces.forEach((trace, i) => { trace.visible = i === select.selectedIndex; });
  }

  // One plot a turn: a long page answers to the reader while it fills.
  let queue = Promise.resolve();
  Report.draw = function (box) {
    queue = queue
      .then(() => draw(box))
      .then(() => new Promise((done) => setTimeout(done, 0)))
      .catch(failed);
    return queue;
  };

  // A browser that is too old shows the pictures that are made for print.
  function failed(error) {
    console.error(error);
    document.documentElement.classList.remove("js");
  }

  const near = new IntersectionObserver(function (entries) {
    entries.filter((entry) => entry.isIntersecting).forEach(function (entry) {
      near.unobserve(entry.target);
      Report.draw(entry.target);
    });
  }, { rootMargin: "300px 0px" });
  document.querySelectorAll(".plot:not([data-lazy])").forEach((box) => near.observe(box));

  document.querySelectorAll("select[data-target]").forEach(function (select) {
    select.addEventListener("change", async function () {
      const box = document.getElementById(select.dataset.target);
      await Report.draw(box);
      const shown = Array.from(select.options, (_, i) => i === select.selectedIndex);
      if (box.data) window.Plotly.restyle(box, { visible: shown });
    });
  });

  function turn(button, on) {
    const box = document.getElementById(button.dataset.target);
    const picture = box.parentElement.querySelector("img.static");
    box.hidden = !on;
    picture.hidden = on;
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "Back to the picture" : "Turn it around (interactive)";
    if (on) {
      turning.push(button);
      if (turning.length > SCENES) turn(turning[0], false);
      Report.draw(box);
    } else {
      turning.splice(turning.indexOf(button), 1);
      if (box.data) window.Plotly.purge(box);
      delete box.dataset.drawn;
    }
  }
  document.querySelectorAll("button.turn").forEach(function (button) {
    button.addEventListener("click", () => turn(button, button.getAttribute("aria-pressed") !== "true"));
  });

  // Keys: arrows step through the marks, each read out.
  function marks(box) {
    const list = [];
    box._fullData.forEach(function (trace, curve) {
      const raw = box.data[curve];
      if (trace.visible !== true || trace.hoverinfo === "skip" || !raw.x || !raw.y) return;
      if (trace.type !== "scatter" && trace.type !== "bar" && trace.type !== "scattergl") return;
      for (let i = 0; i < raw.x.length; i++) {
        if (raw.x[i] !== null && raw.y[i] !== null) list.push({ curve: curve, point: i });
      }
    });
    return list;
  }

  function words(box, mark) {
    const trace = box.data[mark.curve];
    const text = Array.isArray(trace.text) ? trace.text[mark.point] : "";
    const plain = String(text || "").replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim();
    if (plain.length > 12) return plain;
    const number = (v) => (typeof v === "number" ? String(Number(v.toPrecision(3))) : v);
    const name = Report.model_of(trace, mark.point) || trace.name || "";
    return [name, plain, number(trace.x[mark.point]), number(trace.y[mark.point])]
      .filter((part) => part !== "").join(", ");
  }

  document.querySelectorAll(".plot").forEach(function (box) {
    let at = -1;
    box.addEventListener("keydown", function (event) {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.target !== box || !box.data || box.layout.scene) return;
      if (event.key === "Escape") { window.Plotly.Fx.unhover(box); at = -1; return; }
      if (!step) return;
      const list = marks(box);
      if (!list.length) return;
      event.preventDefault();
      at = at < 0 ? (step > 0 ? 0 : list.length - 1) : (at + step + list.length) % list.length;
      const mark = list[at];
      const place = box._fullData[mark.curve];
      const panel = (place.xaxis || "x") + (place.yaxis || "y");
      window.Plotly.Fx.hover(box, [{ curveNumber: mark.curve, pointNumber: mark.point }], panel);
      Report.say(words(box, mark));
    });
    box.addEventListener("blur", function () {
      if (box.data && !box.layout.scene) window.Plotly.Fx.unhover(box);
    });
  });
})();

"use strict";
(function () {
  Report.model = "";

  // A trace names its models point by point (customdata, alone or first), or as a whole (meta, name).
  function named(trace, i) {
    const data = Array.isArray(trace.customdata) ? trace.customdata[i] : undefined;
    const first = Array.isArray(data) ? data[0] : data;
    return typeof first === "string" ? first : "";
  }
  function whole(trace) {
    return (trace.meta && trace.meta.model) || trace.name || "";
  }
  Report.model_of = function (trace, i) { return named(trace, i) || (trace.meta && trace.meta.model) || ""; };

  function hits(trace, model) {
    const found = [];
    if (Array.isArray(trace.customdata)) {
      for (let i = 0; i < trace.customdata.length; i++) if (named(trace, i) === model) found.push(i);
    }
    return found;
  }

  // Dim everything but the model; a figure that does not hold it is left as it is.
  Report.mark = function (box) {
    if (!box.data || box.layout.scene || !window.Plotly) return;
    const model = Report.model;
    const flat = box.data.map((t, i) => [t, i]).filter(([t]) => !t.type || t.type === "scatter" || t.type === "scattergl" || t.type === "bar");
    const points = flat.filter(([t]) => t.customdata && named(t, 0));
    const lines = flat.filter(([t]) => !(t.customdata && named(t, 0)) && t.hoverinfo !== "skip" && whole(t));
    const chosen = points.map(([t]) => hits(t, model));
    const lit = lines.map(([t]) => whole(t) === model);
    const any = model && (chosen.some((c) => c.length) || lit.some(Boolean));
    const before = box.dataset.marked === "yes";
    if (!any && !before) return;
    box.dataset.marked = any ? "yes" : "";
    if (points.length) {
      window.Plotly.restyle(box, {
        selectedpoints: any ? chosen : [null],
        "unselected.marker.opacity": any ? 0.15 : null,
      }, points.map(([, i]) => i));
    }
    if (lines.length && (lit.some(Boolean) || before)) {
      window.Plotly.restyle(box, { opacity: lit.map((l) => (any && lit.some(Boolean) && !l ? 0.15 : 1)) },
        lines.map(([, i]) => i));
    }
    box.dispatchEvent(new CustomEvent("marked"));
    label(box, points, chosen, any ? model : "");
  };

  function label(box, points, chosen, model) {
    const notes = (box.layout.annotations || []).filter((a) => a.name !== "found");
    const k = chosen.findIndex((c) => c.length);
    if (model && k >= 0) {
      const [trace] = points[k];
      const i = chosen[k][0];
      const short = (axis) => (axis || "x").replace("axis", "");
      const x = trace.x && trace.x[i];
      const y = trace.y && trace.y[i];
      const full = box._fullLayout;
      const at = (v, ref) => (full[ref[0] + "axis" + ref.slice(1)].type === "log" ? Math.log10(v) : v);
      const xref = short(trace.xaxis || "x");
      const yref = short(trace.yaxis || "y");
      if (x !== undefined && x !== null && y !== undefined && y !== null) {
        notes.push({ name: "found", text: model.replace(/</g, "&lt;"), x: at(x, xref), y: at(y, yref), xref, yref,
          showarrow: true, arrowhead: 0, ax: 0, ay: -28, bgcolor: "#fff", bordercolor: "#374151", borderpad: 3 });
      }
    }
    window.Plotly.relayout(box, { annotations: notes });
  }

  const form = document.querySelector("form.find");
  const input = document.getElementById("find");
  const found = document.getElementById("found");

  Report.choose = async function (model) {
    const index = await Report.index();
    Report.model = model;
    input.value = model;
    document.querySelectorAll(".plot[data-drawn]").forEach(Report.mark);
    document.querySelectorAll("select[data-target]").forEach(function (select) {
      const at = Array.from(select.options).findIndex((option) => option.text === model);
      if (at >= 0 && select.selectedIndex !== at) {
        select.selectedIndex = at;
        const box = document.getElementById(select.dataset.target);
        if (box.data) select.dispatchEvent(new Event("change"));
      }
    });
    document.dispatchEvent(new CustomEvent("model"));
    found.replaceChildren();
    if (!model) return;
    const line = document.createElement("p");
    const names = Object.keys(index.figures).filter((name) => index.figures[name].includes(index.models.indexOf(model)));
    line.append(model + (names.length ? " is marked in: " : " is in no figure."));
    names.forEach(function (name, i) {
      const link = document.createElement("a");
      link.href = "#" + name;
      link.textContent = document.querySelector("#" + CSS.escape(name) + " h3").textContent;
      line.append(i ? "; " : "", link);
    });
    const clear = document.createElement("button");
    clear.type = "button";
    clear.textContent = "Clear";
    clear.addEventListener("click", function () { Report.choose(""); input.focus(); });
    line.append(clear);
    found.append(line);
  };

  async function search(word, sure) {
    const index = await Report.index();
    const low = word.toLowerCase();
    const exact = index.models.find((model) => model.toLowerCase() === low);
    const near = index.models.filter((model) => model.toLowerCase().includes(low));
    if (!word) { if (Report.model) Report.choose(""); else found.replaceChildren(); return; }
    if (exact && (sure || near.length === 1)) { Report.choose(exact); return; }
    if (sure && near.length === 1) { Report.choose(near[0]); return; }
    if (!sure) return;
    const line = document.createElement("p");
    line.append(near.length ? near.length + " models contain “" + word + "”: " : "No model contains “" + word + "”.");
    near.slice(0, 20).forEach(function (model) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = model;
      button.addEventListener("click", () => Report.choose(model));
      line.append(button);
    });
    found.replaceChildren(line);
  }

  form.hidden = false;
  const fill = Report.once(async function () {
    const index = await Report.index();
    document.getElementById("model-names").replaceChildren(...index.models.map((m) => new Option(m, m)));
  });
  input.addEventListener("focus", fill);
  input.addEventListener("input", () => search(input.value.trim(), false));
  input.addEventListener("change", () => search(input.value.trim(), true));
  form.addEventListener("submit", function (event) { event.preventDefault(); search(input.value.trim(), true); });
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape" && event.target === input) { input.value = ""; search("", true); }
  });

  // Where the reader is, in the contents.
  const links = new Map(Array.from(document.querySelectorAll(".contents a"), (a) => [a.getAttribute("href").slice(1), a]));
  const bar = document.querySelector(".contents");
  const seen = new IntersectionObserver(function (entries) {
    entries.filter((entry) => entry.isIntersecting).forEach(function (entry) {
      links.forEach((link) => link.removeAttribute("aria-current"));
      const link = links.get(entry.target.id);
      link.setAttribute("aria-current", "true");
      bar.scrollLeft = Math.max(0, link.offsetLeft - bar.offsetLeft - 40);
    });
  }, { rootMargin: "-20% 0px -75% 0px" });
  links.forEach((_, id) => seen.observe(document.getElementById(id)));
})();

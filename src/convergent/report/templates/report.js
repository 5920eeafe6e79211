"use strict";
(function () {
  const touch = window.matchMedia("(pointer: coarse)").matches;

  function draw(box) {
    if (box.dataset.drawn) return;
    box.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(box.dataset.source).textContent);
    const layout = figure.layout;
    // On a touch screen a finger that lands on a flat plot must scroll the page.
    if (touch && !layout.scene) layout.dragmode = false;
    const config = { responsive: true, displaylogo: false };
    if (!layout.scene) config.modeBarButtons = [["toImage", "zoom2d", "pan2d", "resetScale2d"]];
    Plotly.newPlot(box, figure.data, layout, config);
  }

  // One plot a turn, first ones first: a long page answers to the reader while it fills.
  const queue = Array.from(document.querySelectorAll(".plot:not([data-lazy])"));
  (function next() {
    const box = queue.shift();
    if (!box) return;
    draw(box);
    setTimeout(next, 0);
  })();
  document.querySelectorAll("details.rotate").forEach(function (details) {
    const show = function () { if (details.open) draw(details.querySelector(".plot")); };
    details.addEventListener("toggle", show);
    show();
  });

  document.querySelectorAll("select[data-target]").forEach(function (select) {
    select.addEventListener("change", function () {
      const box = document.getElementById(select.dataset.target);
      draw(box);
      const shown = Array.from(select.options, (_, i) => i === select.selectedIndex);
      Plotly.restyle(box, { visible: shown });
    });
  });

  document.querySelectorAll("input[data-filter]").forEach(function (input) {
    const rows = input.closest("label").nextElementSibling.querySelectorAll("tbody tr");
    input.addEventListener("input", function () {
      const word = input.value.toLowerCase();
      rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(word); });
    });
  });

  function key(cell) {
    const text = cell.textContent.replace(/,/g, "").replace("−", "-");
    const value = parseFloat(text);
    return Number.isNaN(value) ? (text === "–" ? -Infinity : text.toLowerCase()) : value;
  }

  document.querySelectorAll("table[data-sortable]").forEach(function (table) {
    const heads = Array.from(table.querySelectorAll("thead th"));
    heads.forEach(function (head, column) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", function () {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = Array.from(body.rows);
        rows.sort(function (a, b) {
          const x = key(a.cells[column]);
          const y = key(b.cells[column]);
          if (typeof x !== typeof y) return typeof x === "number" ? 1 : -1;
          return x < y ? -1 : x > y ? 1 : 0;
        });
        if (down) rows.reverse();
        rows.forEach((row) => body.appendChild(row));
      });
    });
  });
})();

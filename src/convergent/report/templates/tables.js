"use strict";
(function () {
  const PAGE = 100;

  function key(text) {
    const value = parseFloat(text.replace(/,/g, "").replace("−", "-").replace(/^\[/, ""));
    return Number.isNaN(value) ? (text === "–" ? -Infinity : text.toLowerCase()) : value;
  }

  function sorted(rows, column, down) {
    const order = rows.slice().sort(function (a, b) {
      const x = key(a[column]);
      const y = key(b[column]);
      if (typeof x !== typeof y) return typeof x === "number" ? 1 : -1;
      return x < y ? -1 : x > y ? 1 : 0;
    });
    return down ? order.reverse() : order;
  }

  function element(tag, text) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function sorts(heads, order) {
    heads.forEach(function (head, column) {
      const button = element("button", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", function () {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        order(column, down);
      });
    });
  }

  // Tables that stand in the page as they are: short ones.
  document.querySelectorAll("table[data-sortable]").forEach(function (table) {
    const body = table.tBodies[0];
    sorts(Array.from(table.querySelectorAll("thead th")), function (column, down) {
      const rows = Array.from(body.rows, (row) => Array.from(row.cells, (c) => c.textContent).concat(row));
      sorted(rows, column, down).forEach((row) => body.appendChild(row[row.length - 1]));
    });
  });

  // Long tables are built when they are first seen, a page of rows at a time.
  async function build(place) {
    if (place.dataset.built) return;
    place.dataset.built = "yes";
    const source = JSON.parse(await Report.unpack(place.querySelector("script")));
    let rows = source.rows;
    let word = "";
    let limit = PAGE;

    const label = element("label", "Show rows that contain ");
    label.className = "search";
    const input = element("input");
    input.type = "search";
    input.autocomplete = "off";
    label.appendChild(input);
    const scroll = element("div");
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", place.dataset.caption);
    const table = scroll.appendChild(element("table"));
    table.appendChild(element("caption", place.dataset.caption));
    const top = table.createTHead().insertRow();
    const heads = source.columns.map(function (name) {
      const head = top.appendChild(element("th", name));
      head.scope = "col";
      return head;
    });
    const body = table.createTBody();
    const foot = element("p");
    foot.className = "rows";
    foot.setAttribute("role", "status");
    const more = element("button", "Show more rows");
    more.type = "button";
    place.append(label, scroll, foot, more);

    function fill() {
      const model = Report.model;
      let found = word ? rows.filter((row) => row.some((c) => c.toLowerCase().includes(word))) : rows;
      if (model) {
        const hit = found.filter((row) => row.includes(model));
        if (hit.length) found = hit.concat(found.filter((row) => !row.includes(model)));
      }
      const shown = found.slice(0, limit);
      body.replaceChildren(...shown.map(function (row) {
        const line = element("tr");
        if (model && row.includes(model)) line.className = "hit";
        row.forEach(function (value, i) {
          const cell = line.appendChild(element(i ? "td" : "th", value));
          if (!i) cell.scope = "row";
        });
        return line;
      }));
      foot.textContent = shown.length + " of " + found.length + " rows shown" + (word ? " that contain “" + word + "”." : ".");
      more.hidden = shown.length === found.length;
    }
    sorts(heads, function (column, down) { rows = sorted(rows, column, down); fill(); });
    input.addEventListener("input", function () { word = input.value.trim().toLowerCase(); limit = PAGE; fill(); });
    more.addEventListener("click", function () { limit += 5 * PAGE; fill(); });
    document.addEventListener("model", fill);
    fill();
  }

  const near = new IntersectionObserver(function (entries) {
    entries.filter((entry) => entry.isIntersecting).forEach(function (entry) {
      near.unobserve(entry.target);
      build(entry.target).catch((error) => console.error(error));
    });
  }, { rootMargin: "200px 0px" });
  document.querySelectorAll(".grid").forEach(function (place) {
    place.style.minHeight = "12rem";
    near.observe(place);
  });

  document.addEventListener("model", function () {
    document.querySelectorAll("table[data-sortable] tbody tr, details.data > .scroll tbody tr").forEach(function (row) {
      const hit = Report.model && Array.from(row.cells).some((cell) => cell.textContent === Report.model);
      row.classList.toggle("hit", Boolean(hit));
    });
  });
})();

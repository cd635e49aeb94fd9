"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const MOST = 8; // curves laid over each other: as many as there are colours
  const CHARTS = ["test accuracy", "test loss", "training loss", "training accuracy"];
  const number = new Intl.NumberFormat("en");
  const percent = value => (value * 100).toFixed(2) + " %";
  const ago = seconds => {
    const age = Date.now() / 1000 - seconds;
    if (age < 90) return Math.max(0, Math.round(age)) + " s ago";
    if (age < 5400) return Math.round(age / 60) + " min ago";
    if (age < 172800) return Math.round(age / 3600) + " h ago";
    return new Date(seconds * 1000).toISOString().slice(0, 10);
  };
  const hours = value => value < 0.1 ? value.toFixed(4) : value.toFixed(value < 10 ? 2 : 1);
  // [title, value of a run, text of the value, whether it is a number]
  const COLUMNS = [
    ["name", run => run.name, text => text, false],
    ["group", run => run.group, text => text, false],
    ["state", run => run.problem ? `problem: ${run.problem}` : run.state, text => text, false],
    ["network", run => run.arch, text => text, false],
    ["data", run => run.data, text => text, false],
    ["recipe", run => run.recipe, text => text, false],
    ["settings that differ", run => run.differs, text => text, false],
    ["best accuracy", run => run.best_accuracy, percent, true],
    ["loss", run => run.loss, value => value.toPrecision(4), true],
    ["epochs", run => run.epochs, value => value.toFixed(1), true],
    ["images/s", run => run.images_per_second, value => number.format(Math.round(value)), true],
    ["chips", run => run.chips, value => number.format(value), true],
    ["chip-hours", run => run.chip_hours, hours, true],
    ["cost", run => run.cost, value => value.toFixed(2), true],
    ["goodput", run => run.goodput, value => (value * 100).toFixed(1) + " %", true],
    ["attempts", run => run.attempts, value => number.format(value), true],
    ["last sign", run => run.last_sign, ago, true],
  ].filter(([title, value]) => data.runs.some(run => ![undefined, null, ""].includes(value(run))));
  let sorted = { column: COLUMNS.findIndex(([title]) => title === "best accuracy"), down: true };
  if (sorted.column < 0) sorted = { column: 0, down: false };
  const chosen = []; // runs in the order in which they were chosen; a run keeps its colour
  const colours = new Map();
  const boxes = new Map(); // run -> its box in the table, which is drawn anew at each change

  const make = (tag, text = "", attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const choose = run => {
    if (chosen.length >= MOST) return false;
    const used = new Set(colours.values());
    colours.set(run, [...Array(MOST).keys()].find(colour => !used.has(colour)));
    chosen.push(run);
    return true;
  };
  const leave = run => {
    chosen.splice(chosen.indexOf(run), 1);
    colours.delete(run);
  };

  const texts = new Map(data.runs.map(run => [run, [
    run.name, run.group, run.state, run.problem, run.arch, run.data, run.recipe, run.address,
    ...Object.entries(run.settings).map(([name, value]) => `${name}=${value}`),
  ].join("\n").toLowerCase()]));
  const shown = () => {
    const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const value = COLUMNS[sorted.column][1];
    const missing = run => [undefined, null, ""].includes(value(run));
    return data.runs
      .filter(run => words.every(word => texts.get(run).includes(word)))
      .sort((a, b) => {
        if (missing(a) || missing(b)) return missing(a) - missing(b); // what is not known comes last
        const order = typeof value(a) === "number" ? value(a) - value(b)
          : String(value(a)).localeCompare(String(value(b)), "en", { numeric: true });
        return sorted.down ? -order : order;
      });
  };

  const drawHead = () => {
    const row = make("tr");
    row.append(make("th", "", { "aria-label": "chosen" }));
    COLUMNS.forEach(([title, , , numeric], index) => {
      const head = make("th", "", { scope: "col", class: numeric ? "number" : "" });
      const active = index === sorted.column;
      head.setAttribute("aria-sort", active ? (sorted.down ? "descending" : "ascending") : "none");
      const button = make("button", title, { type: "button" });
      button.addEventListener("click", () => {
        sorted = { column: index, down: active ? !sorted.down : numeric };
        drawHead();
        drawRows();
        document.querySelectorAll("#runs thead button")[index].focus();
      });
      head.append(button);
      row.append(head);
    });
    if (data.runs.some(run => run.link)) row.append(make("th", "report", { scope: "col" }));
    document.querySelector("#runs thead").replaceChildren(row);
  };
  const drawRows = () => {
    const runs = shown();
    document.querySelector("#runs tbody").replaceChildren(...runs.map(run => {
      const row = make("tr", "", { class: chosen.includes(run) ? "chosen" : "", title: run.address });
      const cell = make("td");
      const box = make("input", "", { type: "checkbox", "aria-label": `curves of ${run.name}` });
      box.checked = chosen.includes(run);
      boxes.set(run, box);
      box.addEventListener("change", () => {
        if (!box.checked) leave(run);
        else if (!choose(run)) box.checked = false;
        draw();
        boxes.get(run).focus();
      });
      cell.append(box);
      if (colours.has(run)) cell.append(make("i", "", { class: "mark", style: `background: var(--c${colours.get(run)})` }));
      row.append(cell);
      for (const [title, value, show, numeric] of COLUMNS) {
        const known = ![undefined, null, ""].includes(value(run));
        const problem = title === "state" && run.problem ? "problem" : "";
        const kind = numeric ? "number" : title === "settings that differ" ? "differs" : problem;
        row.append(make("td", known ? show(value(run)) : "", { class: kind }));
      }
      if (run.link) {
        const link = make("td");
        link.append(make("a", "page", { href: run.link, rel: "noreferrer", "aria-label": `report of ${run.name}` }));
        row.append(link);
      }
      return row;
    }));
    const troubles = data.runs.filter(run => run.problem).length;
    document.getElementById("summary").textContent =
      `${number.format(runs.length)} of ${number.format(data.runs.length)} runs` +
      (troubles ? `, ${number.format(troubles)} of them could not be read whole` : "") +
      (chosen.length >= MOST ? `; at most ${MOST} are chosen at a time` : "");
  };

  const ticks = (low, high) => {
    const span = high - low || Math.abs(high) || 1;
    const power = 10 ** Math.floor(Math.log10(span / 4));
    const apart = [1, 2, 5, 10].map(factor => power * factor).find(size => size * 4 >= span);
    const first = Math.floor(low / apart + 1e-9), last = Math.max(Math.ceil(high / apart - 1e-9), first + 1);
    return [...Array(last - first + 1).keys()].map(n => (first + n) * apart);
  };
  const svg = (tag, attributes, text) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const chart = (title, axis) => {
    const lines = chosen.filter(run => (run.curves[title] || []).length).map(run => [run, run.curves[title]]);
    if (!lines.length) return null;
    const [width, height, left, right, top, bottom] = [560, 250, 62, 14, 12, 34];
    const across = lines.flatMap(([, points]) => points.map(point => point[axis]));
    const values = lines.flatMap(([, points]) => points.map(point => point[2]));
    const rows = ticks(Math.min(...values), Math.max(...values));
    const [low, high] = [Math.min(...across), Math.max(...across, Math.min(...across) + (axis ? 0.1 : 1))];
    const x = value => left + (value - low) / (high - low) * (width - left - right);
    const y = value => height - bottom - (value - rows[0]) / (rows.at(-1) - rows[0]) * (height - top - bottom);
    const share = title.endsWith("accuracy");
    const digits = Math.max(0, -Math.floor(Math.log10((rows[1] - rows[0]) * (share ? 100 : 1)) + 1e-9));
    const show = value => share ? (value * 100).toFixed(digits) + "%" : value.toFixed(digits);
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `${title} of ${lines.map(([run]) => run.name).join(", ")}` });
    for (const value of rows) {
      picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      picture.append(svg("text", { class: "axis", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, show(value)));
    }
    for (const value of ticks(low, high).filter(value => value >= low && value <= high)) {
      picture.append(svg("text", { class: "axis", x: x(value), y: height - bottom + 16, "text-anchor": "middle" },
        number.format(+value.toFixed(6))));
    }
    picture.append(svg("text", { class: "axis", x: width - right, y: height - 4, "text-anchor": "end" },
      axis ? "epoch" : "step"));
    for (const [run, points] of lines) {
      const colour = `var(--c${colours.get(run)})`;
      const path = points.map(point => `${x(point[axis]).toFixed(2)},${y(point[2]).toFixed(2)}`).join(" ");
      const line = svg("polyline", { points: path, style: `stroke: ${colour}` });
      line.append(svg("title", {}, `${run.name}: ${show(points.at(-1)[2])} at the end`));
      picture.append(line);
      if (points.length === 1)
        picture.append(svg("circle", { cx: x(points[0][axis]), cy: y(points[0][2]), r: 3, style: `fill: ${colour}` }));
    }
    const figure = make("figure");
    figure.append(make("figcaption", title[0].toUpperCase() + title.slice(1)), picture);
    return figure;
  };
  const drawCharts = () => {
    const axis = Number(document.getElementById("axis").value);
    document.getElementById("legend").replaceChildren(...chosen.map(run => {
      const entry = make("span");
      entry.append(make("i", "", { style: `background: var(--c${colours.get(run)})` }), run.name);
      return entry;
    }));
    const figures = CHARTS.map(title => chart(title, axis)).filter(Boolean);
    document.getElementById("charts").replaceChildren(...(figures.length ? figures
      : [make("p", chosen.length ? "The chosen runs have logged no step yet." : "Tick runs in the table to see their curves.",
        { class: "muted" })]));
  };
  const drawSettings = () => {
    const names = [...new Set(chosen.flatMap(run => Object.keys(run.settings)))].sort();
    const entries = [["network", run => run.arch], ["data", run => run.data], ["recipe", run => run.recipe],
      ...names.map(name => [name, run => run.settings[name] ?? (run.problem ? undefined : data.defaults[name])])];
    const text = value => value ?? "";
    const rows = entries.filter(([, value]) => new Set(chosen.map(run => text(value(run)))).size > 1);
    const head = make("tr", "", { class: "head" });
    head.append(make("th", "setting", { scope: "col" }), ...chosen.map(run => make("th", run.name, { scope: "col" })));
    const comparable = chosen.length > 1;
    document.querySelector("#settings thead").replaceChildren(...(comparable && rows.length ? [head] : []));
    document.querySelector("#settings tbody").replaceChildren(...(comparable ? rows : []).map(([name, value]) => {
      const row = make("tr");
      row.append(make("th", name, { scope: "row" }), ...chosen.map(run => make("td", text(value(run)))));
      return row;
    }));
    document.getElementById("same").textContent = !comparable ? "Choose at least two runs."
      : rows.length ? "" : "They have the same settings.";
  };
  const drawMeans = () => {
    if (!data.means.length) return;
    document.getElementById("means-section").hidden = false;
    const columns = [["network", "arch"], ["data", "data"], ["recipe", "recipe"], ["group", "group"],
      ["settings that differ", "differs"]].filter(([, key]) => data.means.some(entry => entry[key]));
    const head = make("tr");
    head.append(...columns.map(([title]) => make("th", title, { scope: "col" })),
      ...["runs", "mean of best accuracy", "standard deviation"].map(title => make("th", title, { scope: "col", class: "number" })));
    document.querySelector("#means thead").replaceChildren(head);
    document.querySelector("#means tbody").replaceChildren(...data.means.map(entry => {
      const row = make("tr");
      row.append(...columns.map(([, key]) => make("td", entry[key], { class: key === "differs" ? "differs" : "" })),
        ...[number.format(entry.runs), percent(entry.mean), percent(entry.deviation)].map(text => make("td", text, { class: "number" })));
      return row;
    }));
  };
  const draw = () => {
    drawRows();
    drawCharts();
    drawSettings();
  };

  document.getElementById("filter").addEventListener("input", drawRows);
  document.getElementById("axis").addEventListener("change", drawCharts);
  document.getElementById("clear").addEventListener("click", () => {
    [...chosen].forEach(leave);
    draw();
  });
  document.addEventListener("keydown", event => {
    if (event.key !== "/" || ["INPUT", "SELECT"].includes(document.activeElement.tagName)) return;
    event.preventDefault();
    document.getElementById("filter").focus();
  });
  shown().slice(0, 5).filter(run => Object.keys(run.curves).length).forEach(choose);
  drawHead();
  drawMeans();
  draw();
})();

// A table of thousands of rows, of which those in sight are elements; sorted by its heads, walked by the keyboard.

import { el } from "./dom.js";

const ROW_PX = 30, AROUND = 8;

export class Table {
  // columns: {key, label, value(row), cell(row)?, numeric?, width (characters)}; `open` gets the row that was chosen
  constructor(columns, { open, label, sort = null, id = row => row.id, toggle = null, css = () => "" }) {
    Object.assign(this, { columns, open, sort, id, toggle, css });
    this.rows = []; this.shown = []; this.filter = () => true; this.current = null;
    this.head = el("tr");
    this.body = el("tbody");
    this.table = el("table", { role: "grid", "aria-label": label }, el("thead", {}, this.head), this.body);
    this.box = el("div", { class: "virtual", tabindex: "0", onscroll: () => this.render(), onkeydown: event => this.key(event) },
      this.table);
    this.count = el("span", { class: "note" });
    this.setColumns(columns);
    this.resized = new ResizeObserver(() => this.render());
    this.resized.observe(this.box);
  }

  setColumns(columns) {
    this.columns = columns;
    this.head.replaceChildren(...columns.map(column => {
      const head = el("th", { scope: "col", class: column.numeric ? "n" : null });
      const button = el("button", { type: "button", onclick: () => this.sortBy(column.key) }, column.label);
      head.append(button);
      head.style.width = `${(column.width || 10) + 2}ch`;
      return head;
    }));
    this.table.style.width = `${columns.reduce((sum, column) => sum + (column.width || 10) + 2, 0)}ch`;
    this.update();
  }

  sortBy(key) {
    const column = this.columns.find(each => each.key == key);
    if (this.sort?.key == key) this.sort = this.sort.down ? null : { key, down: true };
    else this.sort = { key, down: false };
    if (column) this.update();
  }

  setRows(rows) { this.rows = rows; this.update(); }

  update() {
    this.shown = this.rows.filter(this.filter);
    const column = this.sort && this.columns.find(each => each.key == this.sort.key);
    if (column) {
      const sign = this.sort.down ? -1 : 1;
      this.shown = this.shown.map((row, place) => ({ row, place, value: column.value(row) }))
        .sort((a, b) => compared(a.value, b.value, sign) || a.place - b.place).map(each => each.row);
    }
    [...this.head.children].forEach((head, i) => {
      const sorted = this.sort && this.columns[i].key == this.sort.key;
      head.setAttribute("aria-sort", sorted ? (this.sort.down ? "descending" : "ascending") : "none");
    });
    this.table.setAttribute("aria-rowcount", String(this.shown.length));
    this.count.textContent = this.shown.length == this.rows.length ? `${this.rows.length}`
      : `${this.shown.length} of ${this.rows.length}`;
    this.render();
  }

  render() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_PX) - AROUND);
    const last = Math.min(this.shown.length, Math.ceil((this.box.scrollTop + (this.box.clientHeight || 600)) / ROW_PX) + AROUND);
    const rows = this.shown.slice(first, last).map((row, i) => this.element(row, first + i));
    this.body.replaceChildren(spacer(first * ROW_PX), ...rows, spacer((this.shown.length - last) * ROW_PX));
  }

  element(row, place) {
    const id = this.id(row);
    const line = el("tr", { class: this.css(row), "data-id": id, "aria-rowindex": place + 1,
      "aria-selected": String(id === this.current), onclick: event => {
        if (event.target.closest("a, button, input")) return;
        this.current = id;
        this.open(row);
      } });
    for (const column of this.columns) {
      const cell = column.cell ? column.cell(row) : column.value(row);
      line.append(el("td", { class: column.numeric ? "n" : null }, cell === null || cell === undefined ? "" : cell));
    }
    return line;
  }

  key(event) {
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 };
    const place = this.shown.findIndex(row => this.id(row) === this.current);
    if (event.target.closest("button, input, a") && event.key != "j" && event.key != "k") return;
    if (event.key in steps && !event.ctrlKey && !event.metaKey && this.shown.length) {
      const next = Math.min(this.shown.length - 1, Math.max(0, place + steps[event.key]));
      this.current = this.id(this.shown[next]);
      const top = next * ROW_PX;
      if (top < this.box.scrollTop) this.box.scrollTop = top;
      if (top + 2 * ROW_PX > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + 2 * ROW_PX - this.box.clientHeight;
      this.render();
    } else if (event.key == "Enter" && place >= 0) this.open(this.shown[place]);
    else if (event.key == " " && place >= 0 && this.toggle) this.toggle(this.shown[place]);
    else return;
    event.preventDefault();
  }
}

function spacer(height) {
  const row = el("tr", { class: "spacer", "aria-hidden": "true" });
  row.style.height = `${Math.max(0, height)}px`;
  return row;
}

function compared(a, b, sign) {
  const missing = (a === null || a === undefined || a === "") - (b === null || b === undefined || b === "");
  if (missing) return missing; // at the end, whichever way
  if (a === null || a === undefined || a === "") return 0;
  if (typeof a == "number" && typeof b == "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
}

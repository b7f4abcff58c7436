// Rows that come and change while a page is open, without moving what somebody reads.

import { localise } from "./times.js";

/** Rows of one page, and the most that are kept while more come. */
const PAGE = 50;
const MOST = 100;

/** What rows are ordered by: later ones have higher numbers, or ids that sort later. */
function numberOf(row) {
  const id = row.id.slice(row.id.indexOf("-") + 1);
  return /^\d+$/.test(id) ? Number(id) : id;
}

/** Whether a row is one that this list would show. */
function belongs(row, list) {
  for (const name of ["status", "service", "severity", "urgency"]) {
    const wanted = list.dataset[name];
    if (wanted && !wanted.split(",").includes(row.dataset[name])) return false;
  }
  const { assignee, q } = list.dataset;
  if (assignee && !(row.dataset.assignees ?? "").split(" ").includes(assignee)) return false;
  return !q || (row.dataset.title ?? "").toLowerCase().includes(q.toLowerCase());
}

/** Whether somebody is in the middle of something that new rows would push away. */
function isBusy(list) {
  return window.scrollY > 120 || list.querySelector("input:checked") !== null
    || list.contains(document.activeElement);
}

/** Rows from a piece of HTML. */
function rowsOf(html) {
  const holder = document.createElement("template");
  holder.innerHTML = `<table><tbody>${html}</tbody></table>`;
  return [...holder.content.querySelectorAll("tr")];
}

/** One list on the page, and the stream that keeps it current. */
class LiveList {
  constructor(list) {
    this.list = list;
    this.news = document.getElementById("news");
    this.waiting = new Map();
    this.hasBegun = false;
    const source = new EventSource(list.dataset.live);
    source.addEventListener("hello", () => {
      // What was told while the connection was away is read again.
      if (this.hasBegun) this.readAgain();
      this.hasBegun = true;
    });
    source.addEventListener("rows", (event) => rowsOf(event.data).forEach((row) => this.take(row)));
    source.addEventListener("again", () => this.readAgain());
    source.addEventListener("more", () => this.readAgain(8000));
    source.addEventListener("check", (event) => {
      const check = document.getElementById("live-check");
      if (check) check.outerHTML = event.data;
    });
    this.news?.addEventListener("click", () => this.show());
    window.addEventListener("pagehide", () => source.close());
  }

  /** Put a row in its place, or keep it until somebody asks for it. */
  take(row) {
    localise(row);
    const old = document.getElementById(row.id);
    if (old) {
      this.replace(old, row);
    } else if (belongs(row, this.list)) {
      if (this.news && isBusy(this.list)) {
        this.waiting.set(row.id, row);
        this.tell();
      } else {
        this.add(row);
      }
    }
  }

  replace(old, row) {
    if (!belongs(row, this.list) && !old.contains(document.activeElement)) {
      row.classList.add("gone");
    }
    const box = old.querySelector("input[type=checkbox]");
    const fresh = row.querySelector("input[type=checkbox]");
    if (box && fresh) fresh.checked = box.checked;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    old.replaceWith(row);
    if (focused) row.querySelector(focused.tagName.toLowerCase())?.focus({ preventScroll: true });
  }

  /** Put a new row where its number belongs; what would stand on a later page stays away. */
  add(row) {
    const later = [...this.list.rows].find((one) => numberOf(one) < numberOf(row));
    if (!later && this.list.rows.length >= PAGE) return;
    row.classList.add("fresh");
    this.list.insertBefore(row, later ?? null);
    while (this.list.rows.length > MOST && !isBusy(this.list)) this.list.lastElementChild.remove();
    this.list.closest("[hidden]")?.removeAttribute("hidden");
    document.getElementById("nothing")?.remove();
  }

  tell() {
    const count = this.waiting.size;
    this.news.hidden = count === 0;
    this.news.textContent = count === 1 ? "1 new incident" : `${count} new incidents`;
  }

  show() {
    for (const row of this.waiting.values()) this.add(row);
    this.waiting.clear();
    this.tell();
    window.scrollTo({ top: 0 });
  }

  /** Read the list again, a little later and not all browsers at once. */
  readAgain(within = 1200) {
    if (this.timer) return;
    this.timer = setTimeout(async () => {
      this.timer = null;
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const rows = [...page.querySelectorAll(`#${this.list.id} > tr`)];
      if (!isBusy(this.list)) this.list.replaceChildren(...rows);
      else rows.reverse().forEach((row) => this.take(row));
      localise(this.list);
    }, 300 + Math.random() * within);
  }
}

/** A page about one thing, read again when that changes. */
function keepCurrent(node) {
  const source = new EventSource(node.dataset.liveChanged);
  let timer;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(() => node.dispatchEvent(new CustomEvent("changed", { bubbles: true })), 150);
  };
  let hasBegun = false;
  source.addEventListener("hello", () => {
    if (hasBegun) soon();
    hasBegun = true;
  });
  source.addEventListener("changed", soon);
  window.addEventListener("pagehide", () => source.close());
}

/** Keep everything on the page current that says where its news come from. */
export function live() {
  for (const list of document.querySelectorAll("[data-live]")) new LiveList(list);
  for (const node of document.querySelectorAll("[data-live-changed]")) keepCurrent(node);
}

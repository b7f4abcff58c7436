// Keyboard shortcuts. Off where the person switched them off; never in fields, never with Ctrl, Alt
// or Meta. A key presses what the page marks with `data-key`, so that keys and buttons do the same.

const GROUPS = [
  ["Everywhere", [["?", "This help"], ["/", "Search"], ["g i", "Incidents"], ["g o", "On call"],
    ["g s", "Services"], ["g d", "Deliveries"]]],
  ["List of incidents", [["j, k", "Next, previous"], ["Enter", "Open"], ["x", "Tick"],
    ["a", "Acknowledge"], ["r", "Resolve"], ["s", "Snooze"]]],
  ["One incident", [["a", "Acknowledge"], ["r", "Resolve"], ["s", "Snooze"], ["e", "Escalate"],
    ["n", "Write a note"]]],
];

const PLACES = { i: "/incidents", o: "/oncall", s: "/services", d: "/deliveries" };

/** How long `g` waits for its second key, in milliseconds. */
const PAUSE = 1500;

let wentAt = 0;

/** Make an element with text. */
function make(tag, text = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}

/** Show the help. */
function help() {
  let dialog = document.querySelector("dialog.keys");
  if (!dialog) {
    dialog = make("dialog");
    dialog.className = "keys";
    const box = make("article");
    const title = make("h2", "Keyboard shortcuts");
    title.id = "keys-title";
    dialog.setAttribute("aria-labelledby", title.id);
    box.append(title);
    const groups = make("div");
    groups.className = "groups";
    for (const [name, rows] of GROUPS) {
      const group = make("section");
      const list = make("dl");
      for (const [key, what] of rows) {
        const term = make("dt");
        term.append(make("kbd", key));
        list.append(term, make("dd", what));
      }
      group.append(make("h3", name), list);
      groups.append(group);
    }
    const off = make("p", "They can be switched off on ");
    off.className = "hint";
    const link = make("a", "your page");
    link.href = "/me";
    off.append(link, ".");
    const close = make("button", "Close");
    close.addEventListener("click", () => dialog.close());
    box.append(groups, off, close);
    dialog.append(box);
    document.body.append(dialog);
  }
  dialog.showModal();
}

/** Every row of the list. @returns {HTMLTableRowElement[]} */
function rows() {
  return [...document.querySelectorAll("#incident-rows > tr")];
}

/** The row that keys are about. */
function current() {
  return document.querySelector("#incident-rows > tr.current");
}

/** Go to the next row or the one before. @param {number} by */
function move(by) {
  const every = rows();
  if (!every.length) return;
  const at = every.indexOf(current());
  const to = every[Math.min(every.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  current()?.classList.remove("current");
  to.classList.add("current");
  to.querySelector("a.title")?.focus({ preventScroll: true });
  to.scrollIntoView({ block: "nearest" });
}

/** Tick the row, or take the tick away. */
function tick() {
  const box = current()?.querySelector("input[name=number]");
  if (!box) return;
  box.checked = !box.checked;
  box.dispatchEvent(new Event("change", { bubbles: true }));
}

/** Press what the page has for a key. Returns whether it has anything. @param {string} key */
function press(key) {
  const found = [...document.querySelectorAll("[data-key]")].find(
    (node) => node.dataset.key === key && node.checkVisibility(),
  );
  if (!found) return false;
  const row = current();
  if (found.form?.id === "bulk" && row && !document.querySelector("#incident-rows :checked")) tick();
  if (found.matches("input, textarea")) found.focus();
  else found.click();
  if (found.matches("summary")) found.parentElement.querySelector("button, input")?.focus();
  return true;
}

const KEYS = {
  "?": () => (help(), true),
  j: () => (move(1), true),
  k: () => (move(-1), true),
  x: () => (tick(), true),
  g: () => ((wentAt = Date.now()), true),
};

/** Whether a key is meant for a field. @param {Element} node */
function isField(node) {
  return node.isContentEditable || node.matches("textarea, select, input:not([type=checkbox])");
}

document.addEventListener("keydown", (event) => {
  if (!("shortcuts" in document.documentElement.dataset)) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (isField(event.target) || document.querySelector("dialog[open]")) return;
  const place = Date.now() - wentAt < PAUSE ? PLACES[event.key] : undefined;
  wentAt = 0;
  if (place) {
    event.preventDefault();
    window.location.assign(place);
  } else if (KEYS[event.key] ? KEYS[event.key]() : press(event.key)) {
    event.preventDefault();
  }
});

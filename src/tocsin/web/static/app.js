// What a page does by itself: copy, keep times current, ask before what cannot be undone. Every page
// reads and acts without any of it.

import "./incidents.js";
import "./keys.js";
import { keepLink } from "./connect.js";
import { live } from "./live.js";
import "./schedule.js";
import { keepTimes } from "./times.js";
import { guessZone } from "./zone.js";

/** Copy the text of an element, and say so on the button. */
async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(source.value ?? source.textContent);
  const label = button.querySelector("span") ?? button;
  const before = label.textContent;
  label.textContent = "Copied";
  setTimeout(() => (label.textContent = before), 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

keepLink();
keepTimes();
live();
guessZone();

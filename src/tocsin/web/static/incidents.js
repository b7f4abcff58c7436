// What scripts add to incidents: tick all, count what is ticked, copy an incident as Markdown.

/** Every tick box of the list. @returns {HTMLInputElement[]} */
function boxes() {
  return [...document.querySelectorAll("#incident-rows input[name=number]")];
}

/** Say how many are ticked, and let the box above them follow. */
function count() {
  const all = document.getElementById("all");
  const told = document.getElementById("ticked");
  if (!all || !told) return;
  const every = boxes();
  const ticked = every.filter((box) => box.checked).length;
  all.closest("label").hidden = false;
  all.checked = ticked > 0 && ticked === every.length;
  all.indeterminate = ticked > 0 && ticked < every.length;
  told.textContent = ticked ? `${ticked} ticked` : "";
}

/** Copy what an address gives. @param {HTMLElement} link */
async function copyFrom(link) {
  const label = link.querySelector("span") ?? link;
  const before = label.textContent;
  try {
    const answer = await fetch(link.dataset.copyFrom);
    if (!answer.ok) throw new Error(String(answer.status));
    await navigator.clipboard.writeText(await answer.text());
    label.textContent = "Copied";
    setTimeout(() => (label.textContent = before), 1500);
  } catch {
    // Without the clipboard it opens as a page.
    window.location.assign(link.href);
  }
}

document.addEventListener("change", (event) => {
  if (event.target.id === "all") {
    for (const box of boxes()) box.checked = event.target.checked;
  }
  if (event.target.matches("#all, #incident-rows input[name=number]")) count();
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-copy-from]");
  if (!link) return;
  event.preventDefault();
  copyFrom(link);
});

/** Whether somebody is in the middle of something that a fresh page would take away. */
function isBusy() {
  const incident = document.getElementById("incident");
  return incident.querySelector("details.menu[open]") !== null
    || document.getElementById("note-text")?.value;
}

// What changed meanwhile is shown when they are done.
document.addEventListener("changed", (event) => {
  if (event.target.id !== "incident" || !isBusy()) return;
  event.stopImmediatePropagation();
  const again = () => event.target.dispatchEvent(new CustomEvent("changed", { bubbles: true }));
  setTimeout(again, 2000);
}, true);

document.addEventListener("htmx:after:swap", (event) => {
  const source = event.detail?.ctx?.sourceElement;
  if (source?.id === "bulk") for (const box of boxes()) box.checked = false;
  count();
  // What was sent is on the timeline now; whatever else was typed stays.
  const note = document.getElementById("note-text");
  if (note && source?.contains?.(note)) note.value = note.defaultValue;
});
count();

// What schedules and policies do besides: a shift opens in a sheet over the timeline, and the buttons
// of an editor change the form in place. Without any of it each is a page of its own.

/** Fetch a page of ours. @returns {Promise<{ok: boolean, url: string, page: Document}>} */
async function fetchPage(url, options) {
  const response = await fetch(url, { credentials: "same-origin", ...options });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { ok: response.ok, url: response.url, isElsewhere: response.redirected, page };
}

/** Show the part of a page in a sheet. */
async function openSheet(link) {
  const { ok, page } = await fetchPage(link.href.baseVal ?? link.href);
  const part = page.getElementById("part");
  if (!ok || !part) return go(link.href.baseVal ?? link.href);
  const sheet = document.createElement("dialog");
  sheet.className = "sheet";
  const card = document.createElement("article");
  const title = part.querySelector("h1");
  if (title) {
    title.id = "sheet-title";
    sheet.setAttribute("aria-labelledby", title.id);
  }
  card.append(part);
  sheet.append(card);
  document.body.append(sheet);
  sheet.addEventListener("close", () => {
    sheet.remove();
    link.focus();
  });
  sheet.addEventListener("click", (event) => {
    const isClose = event.target === sheet || event.target.closest?.("[data-close]");
    if (!isClose) return;
    event.preventDefault();
    sheet.close();
  });
  sheet.showModal();
}

function go(url) {
  window.location.assign(url);
}

/** Send an editor's form and put what comes back in its place, with the focus where it was. */
async function rerender(form, button) {
  const body = new URLSearchParams(new FormData(form));
  body.set(button.name, button.value);
  const { page, url, isElsewhere } = await fetchPage(form.action, { method: "POST", body });
  if (isElsewhere) return go(url);
  const fresh = page.querySelector("[data-editor]");
  if (!fresh) return form.submit();
  form.replaceWith(fresh);
  prepare();
  const isPreview = button.value === "preview";
  const preview = isPreview && (fresh.querySelector("[role=alert]") ?? fresh.querySelector("[data-preview]"));
  if (preview) {
    preview.tabIndex = -1;
    preview.scrollIntoView({ block: "start" });
    preview.focus({ preventScroll: true });
    return;
  }
  const same = fresh.querySelector(`button[value="${CSS.escape(button.value)}"]`);
  (same && !same.disabled ? same : fresh.querySelector("button[value=preview]:not(.hidden)"))?.focus({ preventScroll: true });
}

/** Hide what only helps where no script runs. */
function prepare() {
  for (const node of document.querySelectorAll("[data-without-scripts]")) node.hidden = true;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-dialog]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  openSheet(link);
});

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!event.target.matches("form[data-editor]") || button?.name !== "do" || button.value === "save") return;
  event.preventDefault();
  rerender(event.target, button);
});

document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-editor]");
  if (form && event.target.matches("[data-show]")) rerender(form, Object.assign(document.createElement("button"), { name: "do", value: "show" }));
});

prepare();

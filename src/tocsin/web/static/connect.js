// The connect page: the link to Sentry's form follows the slug as it is typed.

/** Return where Sentry makes a new internal integration; empty for what is no slug. */
function formOf(slug) {
  return /^[a-z0-9][a-z0-9_-]*$/.test(slug)
    ? `https://${slug}.sentry.io/settings/developer-settings/new-internal/`
    : "";
}

/** Keep the link current with the field, where the page has both. */
export function keepLink() {
  const field = document.querySelector("input[data-org]");
  const place = document.getElementById("new-internal");
  if (!field || !place) return;
  const link = place.querySelector("a");
  // A Sentry of one's own has another address, which the server knows.
  const isOwn = link.host && link.getAttribute("href") && !link.host.endsWith(".sentry.io");
  if (isOwn) return;
  field.addEventListener("input", () => {
    const address = formOf(field.value.trim().toLowerCase());
    place.hidden = !address;
    if (address) link.href = address;
  });
}

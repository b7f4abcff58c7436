// A form that asks for a time zone begins with the browser's.

/** Choose the browser's zone in every list that asks for it. */
export function guessZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const list of document.querySelectorAll("select[data-guess-zone]")) {
    if ([...list.options].some((option) => option.value === zone)) list.value = zone;
  }
}

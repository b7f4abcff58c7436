// Times that say how long ago they are go on saying so.

const SIZES = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** Write a number of seconds in its two largest units. */
export function span(seconds) {
  let left = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [name, size] of SIZES) {
    if (left >= size) {
      parts.push(`${Math.floor(left / size)} ${name}`);
      left %= size;
    }
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

function relative(moment) {
  const away = (moment - Date.now()) / 1000;
  if (Math.abs(away) < 5) return "now";
  return away > 0 ? `in ${span(away)}` : `${span(-away)} ago`;
}

/** Write an instant in full, in the zone and with the clock of whoever reads. */
function written(moment) {
  const { zone, clock } = document.documentElement.dataset;
  return new Intl.DateTimeFormat("en-GB", {
    weekday: "short", day: "2-digit", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit",
    timeZone: zone, timeZoneName: "short", hour12: clock === "12",
  }).format(moment).replace(/,/g, "");
}

/** Bring every relative time below a node up to date. */
export function refreshTimes(root = document) {
  for (const node of root.querySelectorAll("time[data-ago]")) {
    const moment = new Date(node.dateTime);
    const text = relative(moment);
    if (node.textContent !== text) node.textContent = text;
  }
}

/** Give times that came without a reader's zone their full text. */
export function localise(root) {
  for (const node of root.querySelectorAll("time")) node.title = written(new Date(node.dateTime));
  refreshTimes(root);
}

/** Keep them current: every second where one is near, which is what somebody waits for. */
export function keepTimes() {
  setInterval(refreshTimes, 1000);
}

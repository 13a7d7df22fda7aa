// Numbers and times as people read them.

export function rate(bitsPerSecond) {
  if (bitsPerSecond === null || bitsPerSecond === undefined) return "–";
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; number >= 1000 && unit < units.length - 1; unit += 1) number /= 1000;
  return `${unit && number < 100 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

// `5 s`, `12 min`, `3 h 20 min`, `4 d 7 h` since a time as RFC 3339 has it.
export function since(time, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

// The same with its day, unless that is today.
export function dated(time, now = new Date()) {
  const day = new Date(time);
  if (day.toDateString() === now.toDateString()) return clock(time);
  return `${day.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${clock(time)}`;
}

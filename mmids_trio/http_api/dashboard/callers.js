// What the caller's token is good for. The server decides; here it is about what is offered at all.
const CHANGE = "change:";

export const may = (caller, scope) =>
  caller.scopes.some((each) => each === "admin" || each === scope || each.startsWith(`${scope}:`));

// The patterns of the workflows that the caller may change; `*` in one is any characters.
export const patternsOf = (caller) =>
  caller.scopes.flatMap((each) => (each === "admin" ? ["*"] : each.startsWith(CHANGE) ? [each.slice(CHANGE.length)] : []));

function matches(pattern, name) {
  const [first, ...others] = pattern.split("*");
  if (others.length === 0) return name === pattern;
  const last = others.pop();
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
  const end = name.length - last.length;
  let start = first.length;
  for (const piece of others) {
    const found = name.indexOf(piece, start);
    if (found < 0 || found + piece.length > end) return false;
    start = found + piece.length;
  }
  return true;
}

export const mayChange = (caller, workflow) => patternsOf(caller).some((each) => matches(each, workflow));

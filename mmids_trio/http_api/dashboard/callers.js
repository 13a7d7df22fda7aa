// What the caller's token is good for. The server decides; here it is about what is offered at all.
export const may = (caller, scope) =>
  caller.scopes.some((each) => each === "admin" || each === scope || each.startsWith(`${scope}:`));

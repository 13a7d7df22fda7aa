// The editor of the configuration language: a plain text field with the same text in colour behind it, so that
// everything that a browser does with text fields goes on working (undo, spelling off, screen readers, phones).
import { html, useEffect, useRef, useState } from "./html.js";
import { words } from "./words.js";

const MAX_COLOURED = 200_000; // characters; beyond it colouring each key stroke would be felt
const MAX_SUGGESTIONS = 8;

const TOKEN = /(?<comment>#[^\n]*)|(?<string>"(?:[^"\\\n]|\\.)*"?)|(?<variable>\$\{[^}\n]*\}?)|(?<word>[^\s"#{}=$]+)|(?<other>[\s\S])/g;

// Pieces of a text with what they are: `[kind, text]`, in order.
export function* coloured(text, stepNames) {
  let isFirst = true;
  for (const match of text.matchAll(TOKEN)) {
    const { comment, string, variable, word } = match.groups;
    const piece = match[0];
    if (comment !== undefined) yield ["comment", piece];
    else if (string !== undefined) yield ["string", piece];
    else if (variable !== undefined) yield ["variable", piece];
    else if (word === undefined) yield ["", piece];
    else if (isFirst) yield [NODES.includes(word) ? "node" : stepNames.has(word) ? "step" : "name", piece];
    else yield [text[match.index + piece.length] === "=" ? "parameter" : "value", piece];
    if (piece === "\n" || piece === "{" || piece === "}") isFirst = true;
    else if (piece.trim() !== "") isFirst = false;
  }
}

const NODES = ["workflow", "reactor", "values"];

// What could stand at the end of `before`: kinds of steps at the start of a line in a workflow, then their parameters.
export function suggestions(before, language) {
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const found = /(?<start>.*?)(?<word>[^\s"#{}=]*)$/.exec(line);
  const { start, word } = found.groups;
  if (start.includes("#") || start.endsWith("=") || word === "") return { word, found: [] };
  const depth = (before.match(/\{/g)?.length ?? 0) - (before.match(/\}/g)?.length ?? 0);
  const first = start.trim().split(/\s+/)[0];
  let known = [];
  if (first === "") known = depth > 0 ? language.steps.map((step) => step.name) : NODES;
  else if (depth > 0) {
    const step = language.steps.find((each) => each.name === first);
    known = (step?.parameters ?? []).map((each) => (each.flag ? each.name : `${each.name}=`));
    known = known.filter((each) => !start.includes(` ${each}`));
  }
  const fitting = known.filter((each) => each.startsWith(word) && each !== word);
  return { word, found: fitting.slice(0, MAX_SUGGESTIONS) };
}

function Colours({ text, stepNames, problems }) {
  if (text.length > MAX_COLOURED) return text;
  const wrong = new Set(problems.map((problem) => problem.line));
  const lines = [[]];
  for (const [kind, piece] of coloured(text, stepNames)) {
    if (piece === "\n") lines.push([]);
    else lines.at(-1).push(kind ? html`<span class=${`t-${kind}`}>${piece}</span>` : piece);
  }
  return lines.map((line, number) => html`<div class=${wrong.has(number + 1) ? "wrong" : ""}>${line}${"\n"}</div>`);
}

export function Editor({ value, language, problems, isReading, onInput, onPlan }) {
  const field = useRef(null);
  const behind = useRef(null);
  const [offered, setOffered] = useState({ word: "", found: [], chosen: -1 });
  const isOpen = offered.found.length > 0;
  const close = () => setOffered({ word: "", found: [], chosen: -1 });
  const stepNames = new Set(language.steps.map((step) => step.name));

  useEffect(follow);

  function follow() {
    behind.current.scrollTop = field.current.scrollTop;
    behind.current.scrollLeft = field.current.scrollLeft;
  }

  function offer(chosen = -1) {
    const { selectionStart, selectionEnd } = field.current;
    if (selectionStart !== selectionEnd) return close();
    setOffered({ ...suggestions(field.current.value.slice(0, selectionStart), language), chosen });
  }

  function take(suggestion) {
    const at = field.current.selectionStart;
    field.current.setRangeText(suggestion, at - offered.word.length, at, "end");
    onInput(field.current.value);
    close();
    field.current.focus();
  }

  // Return and Tab do what they always do unless somebody has gone into the list with an arrow.
  function onKeyDown(event) {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      onPlan();
    } else if (event.ctrlKey && event.key === " ") {
      event.preventDefault();
      offer(0);
    } else if (isOpen && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const chosen = Math.max(-1, Math.min(offered.chosen + step, offered.found.length - 1));
      setOffered({ ...offered, chosen });
    } else if (isOpen && offered.chosen >= 0 && (event.key === "Enter" || event.key === "Tab")) {
      event.preventDefault();
      take(offered.found[offered.chosen]);
    } else if (isOpen && event.key === "Escape") {
      event.preventDefault();
      close();
    }
  }

  return html`<div class="editor">
    <div class="editor-field">
      <pre ref=${behind} aria-hidden="true"><${Colours} text=${value} stepNames=${stepNames} problems=${problems} /></pre>
      <textarea id="configuration" ref=${field} value=${value} rows="18" wrap="off" spellcheck="false" autocapitalize="off"
        autocomplete="off" readOnly=${isReading} placeholder=${isReading ? words.loading : ""} aria-invalid=${problems.length > 0 ? "true" : "false"} aria-describedby="problems"
        aria-autocomplete="list" aria-controls="suggestions"
        aria-activedescendant=${isOpen && offered.chosen >= 0 ? `suggestion-${offered.chosen}` : null}
        onChange=${(event) => onInput(event.target.value)}
        onInput=${(event) => {
          onInput(event.target.value);
          offer();
        }}
        onKeyDown=${onKeyDown} onScroll=${follow} onBlur=${() => setTimeout(close, 200)}></textarea>
    </div>
    <ul id="suggestions" class="suggestions" role="listbox" aria-label=${words.suggestions}>
      ${offered.found.map(
        (each, place) => html`<li id=${`suggestion-${place}`} role="option" aria-selected=${place === offered.chosen ? "true" : "false"}
          onMouseDown=${(event) => {
            event.preventDefault();
            take(each);
          }}>${each}</li>`,
      )}
    </ul>
  </div>`;
}

// Keeps a live page fresh: htmx asks for it again, and what has changed is put in place. What is unfolded stays so.
"use strict";
let version = null; // of what is shown, as the node named it

Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) =>
  !(name === "open" && element instanceof HTMLDetailsElement);
Idiomorph.defaults.callbacks.beforeNodeMorphed = (element) => !(element instanceof HTMLFormElement);

const inUse = () =>
  document.hidden || getSelection().type === "Range" || document.activeElement.matches("input, select, textarea");

function answers(yes) {
  const stale = document.getElementById("stale");
  if (stale) stale.hidden = yes;
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (inUse()) event.preventDefault();
});
document.addEventListener("htmx:configRequest", (event) => {
  if (version) event.detail.headers["If-None-Match"] = version;
});
document.addEventListener("htmx:afterRequest", (event) => {
  const answer = event.detail.xhr;
  answers(answer.status === 200 || answer.status === 304);
  if (answer.status === 200) version = answer.getResponseHeader("ETag");
});
document.addEventListener("htmx:sendError", () => answers(false));

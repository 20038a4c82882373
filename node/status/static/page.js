// Keeps a live page fresh: htmx asks for it again, and what has changed is put in place. What is unfolded stays so.
"use strict";
let version = null; // of what is shown, as the node named it

Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) =>
  !(name === "open" && element instanceof HTMLDetailsElement);
// neither what is typed is changed, nor what was fetched since
Idiomorph.defaults.callbacks.beforeNodeMorphed = (element) =>
  !(element instanceof HTMLFormElement || (element instanceof HTMLElement && "keep" in element.dataset));

const inUse = () =>
  document.hidden || getSelection().type === "Range" || document.activeElement.matches("input, select, textarea");

function answers(yes) {
  const stale = document.getElementById("stale");
  if (stale) stale.hidden = yes;
}

const isOfPage = (event) => event.detail.elt.id === "page";

document.addEventListener("htmx:beforeRequest", (event) => {
  if (isOfPage(event) && inUse()) event.preventDefault();
});
document.addEventListener("htmx:configRequest", (event) => {
  if (!isOfPage(event)) return;
  event.detail.headers["X-Requested-With"] = "page.js"; // nobody has to be at the browser for this
  if (version) event.detail.headers["If-None-Match"] = version;
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (!isOfPage(event)) return;
  const answer = event.detail.xhr;
  answers(answer.status === 200 || answer.status === 304);
  if (answer.status === 200) version = answer.getResponseHeader("ETag");
});
document.addEventListener("htmx:sendError", () => answers(false));
